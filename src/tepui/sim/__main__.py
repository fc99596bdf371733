"""Play seeds: `python -m tepui.sim --seeds 1-200 --tasks 10000`."""

from __future__ import annotations

import time

import click

from tepui.sim.run import failure_of


@click.command()
@click.option("--seeds", default="1", help="One seed, or a range such as 1-200.")
@click.option("--tasks", default=10_000, help="Tasks of all frameworks together.")
@click.option("--check-every", default=1, help="Assert the invariants each so many steps.")
def main(seeds: str, tasks: int, check_every: int) -> None:
    """Run the production cores over clusters with faults; exit 1 when an invariant breaks."""
    first, _, last = seeds.partition("-")
    failed = 0
    for seed in range(int(first), int(last or first) + 1):
        began = time.monotonic()
        failure, world = failure_of(seed, tasks, check_every)
        took_s = time.monotonic() - began
        virtual_s = world.elapsed_ms / 1000
        print(f"seed {seed}: {world.steps} steps, {virtual_s:.1f} s of theirs in {took_s:.1f} s")
        if failure is not None:
            failed += 1
            print(failure)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
