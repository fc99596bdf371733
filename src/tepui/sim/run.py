"""One simulation from a seed, and the line that repeats it."""

from __future__ import annotations

import traceback

from tepui.sim.world import Stuck, World


def failure_of(seed: int, tasks: int, check_every: int = 1) -> tuple[str | None, World]:
    """Play the seed to its end; None, or what went wrong and how to see it again."""
    world = World(seed, tasks=tasks, check_every=check_every)
    try:
        world.run()
    except (AssertionError, Stuck, KeyError) as error:
        return (
            f"{''.join(traceback.format_exception(error)[-4:])}"
            f"at step {world.steps}; repeat it with:"
            f" python -m tepui.sim --seeds {seed} --tasks {tasks} --check-every {check_every}"
        ), world
    return None, world
