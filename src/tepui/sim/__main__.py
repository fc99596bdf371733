"""Play seeds: `python -m tepui.sim --seeds 1-1000 --tasks 120 --jobs 4`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import click
from msgspec.structs import replace

from tepui.sim.cluster import faults
from tepui.sim.cluster.run import Played, play, shrink, story_of
from tepui.sim.cluster.world import Case, case_of


@click.command()
@click.option("--seeds", default="1", help="One seed, or a range such as 1-200.")
@click.option("--tasks", default=120, help="Tasks of all frameworks together.")
@click.option("--masters", type=int, help="How many masters; else the seed chooses.")
@click.option("--agents", type=int, help="How many agents; else the seed chooses.")
@click.option("--faults", "kinds", help=f"Of {', '.join(faults.KINDS)}; else the seed chooses.")
@click.option("--faults-ms", type=int, help="How long there are faults; else the seed chooses.")
@click.option("--check-every", default=1, help="Look at whole states each so many steps.")
@click.option("--jobs", default=1, help="Seeds that are played at the same time.")
@click.option("--shrink", "shrinks", is_flag=True, help="Look for a smaller case of each failure.")
def main(
    seeds: str,
    tasks: int,
    masters: int | None,
    agents: int | None,
    kinds: str | None,
    faults_ms: int | None,
    check_every: int,
    jobs: int,
    shrinks: bool,
) -> None:
    """Run the production cores in clusters whose every process may die; exit 1 when one goes wrong."""
    first, _, last = seeds.partition("-")
    try:
        given = None if kinds is None else faults.parse(kinds)
        numbers = range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    cases = []
    for seed in numbers:
        case = case_of(seed, tasks)
        cases.append(
            replace(
                case,
                masters=masters or case.masters,
                agents=agents or case.agents,
                kinds=case.kinds if given is None else given,
                faults_ms=faults_ms or case.faults_ms,
            )
        )
    began = time.monotonic()
    failed = 0
    for count, played in enumerate(_played(cases, check_every, jobs), 1):
        if count % 100 == 0:
            print(f"{count} of {len(cases)} seeds, {failed} failed", flush=True)
        if len(cases) == 1:
            print(f"seed {played.case.seed}: {played.steps} steps, {played.elapsed_ms / 1000:g} s")
        if played.failure is not None:
            failed += 1
            print(story_of(played, check_every), flush=True)
            if shrinks:
                print(f"a smaller one:\n{story_of(shrink(played.case, check_every), check_every)}")
    took_s = time.monotonic() - began
    print(f"{len(cases)} seeds, {failed} of them failed, in {took_s:.0f} s")
    raise SystemExit(1 if failed else 0)


def _played(cases: list[Case], check_every: int, jobs: int) -> Iterator[Played]:
    one = partial(play, check_every=check_every)
    if jobs == 1:
        yield from map(one, cases)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, cases, chunksize=10)


if __name__ == "__main__":
    main()
