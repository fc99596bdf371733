"""One case played, the line that repeats it, and a smaller case that fails as well."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from tepui.sim.cluster.world import Case, Stuck, World, case_of

FAULTS = (AssertionError, Stuck, KeyError, AttributeError, IndexError, TypeError, ValueError)
TRIES_MAX = 400  # cases that are played to find a smaller one


class Played(Struct, frozen=True):
    """How a case went."""

    case: Case
    steps: int
    elapsed_ms: int
    failure: str | None = None  # what went wrong
    where: str = ""


def play(case: Case, check_every: int = 1) -> Played:
    """Play the case to its end."""
    world = World(case, check_every=check_every)
    try:
        world.run()
    except FAULTS as error:
        return Played(
            case,
            world.audit.steps,
            world.elapsed_ms,
            f"{type(error).__name__}: {error}",
            "".join(traceback.format_exception(error)[-4:]),
        )
    return Played(case, world.audit.steps, world.elapsed_ms)


def line_of(case: Case, check_every: int = 1) -> str:
    """What repeats the case."""
    usual = case_of(case.seed, case.tasks)
    line = f"python -m tepui.sim --seeds {case.seed} --tasks {case.tasks}"
    if case.masters != usual.masters:
        line += f" --masters {case.masters}"
    if case.agents != usual.agents:
        line += f" --agents {case.agents}"
    if case.faults_ms != usual.faults_ms:
        line += f" --faults-ms {case.faults_ms}"
    if case.kinds != usual.kinds:
        line += f" --faults {','.join(sorted(case.kinds)) or 'none'}"
    return line + ("" if check_every == 1 else f" --check-every {check_every}")


def failure_of(seed: int, tasks: int, check_every: int = 1) -> str | None:
    """None, or what went wrong with the seed and how to see it again."""
    played = play(case_of(seed, tasks), check_every)
    return None if played.failure is None else story_of(played, check_every)


def story_of(played: Played, check_every: int = 1) -> str:
    """What went wrong, where, and how to see it again."""
    return (
        f"{played.where}after {played.steps} steps, {played.elapsed_ms} ms; repeat it with:\n"
        f"    {line_of(played.case, check_every)}"
    )


def shrink(case: Case, check_every: int = 1) -> Played:
    """A smaller case that fails, too: of less tasks, machines, kinds of faults, or time with them."""
    smallest = play(case, check_every)
    assert smallest.failure is not None, "only what fails can be shrunk"
    tries = 0
    again = True
    while again and tries < TRIES_MAX:
        again = False
        for smaller in _smaller(smallest):
            tries += 1
            played = play(smaller, check_every)
            if played.failure is not None:
                smallest, again = played, True
                break
    return smallest


def _smaller(played: Played) -> Iterator[Case]:
    """The largest steps first."""
    case = played.case
    for tasks in sorted({case.tasks // 4, case.tasks // 2, case.tasks * 3 // 4, case.tasks - 1}):
        if 2 <= tasks < case.tasks:
            yield replace(case, tasks=tasks)
    for kind in sorted(case.kinds):
        yield replace(case, kinds=case.kinds - {kind})
    if case.masters > 1:
        yield replace(case, masters=case.masters - 1)
    if case.agents > 1:
        yield replace(case, agents=case.agents - 1)
    for faults_ms in (case.faults_ms // 2, case.faults_ms * 3 // 4, played.elapsed_ms):
        if 0 < faults_ms < case.faults_ms:
            yield replace(case, faults_ms=faults_ms)
