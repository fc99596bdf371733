"""How long rounds of allocation take: full rounds, and rounds after changes.

    bench/run allocator

An allocator waits for nothing, so the time is that of the processor: on an idle machine the same,
on a shared one what it would be if it were idle.
"""

from __future__ import annotations

import argparse
import gc
from heapq import heapify, heappop, heapreplace
from time import process_time

from msgspec import Struct

from bench.table import Row, measured, show
from tepui.allocator import AgentTerms, Allocator, FrameworkTerms, Grant
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources, parse_resources

TITLE = "allocator: rounds without a master"
EVERYTHING = 1_000_000_000
HEAPS = "as many pops and pushes on heaps"
IDLE_ROUNDS = 1_000
REFUSED_MS = 3_600_000
NOW_MS = 10  # when refusals are asked about


class Size(Struct, frozen=True):
    """A cluster, and how fast its rounds should be."""

    agents: int
    frameworks: int
    roles: int
    full_goal: str = ""
    changed: int = 500
    changed_goal: str = ""

    def __str__(self) -> str:
        return f"{self.agents:,} × {self.frameworks:,}"


SIZES = (
    Size(10_000, 50, 50, "< 150"),
    Size(20_000, 2_000, 100, "< 1,000"),
    Size(50_000, 1_000, 100, "< 2,000", changed_goal="< 20"),
)
REFUSING = Size(2_000, 200, 10)  # a cluster whose frameworks refuse all


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run allocator", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    show([measured("allocator", TITLE, parser.parse_args().runs, rows)])


def rows(sizes: tuple[Size, ...] = SIZES, refusing: Size = REFUSING) -> list[Row]:
    """The figures of one run."""
    found = [row for size in sizes for row in _rounds(size)] + _refusals(refusing)
    gc.unfreeze()
    gc.collect()
    return found


def _rounds(size: Size) -> list[Row]:
    """One cluster through its rounds."""
    allocator = cluster(size)
    gc.collect()
    gc.freeze()
    full_ms, grants = timed_round(allocator)
    assert len(grants) == size.agents, f"{len(grants)} offers of {size.agents} agents"

    for grant in grants[: size.changed]:
        recover(allocator, grant, grant.resources, None)
    changed_ms, again = timed_round(allocator)
    assert {each.agent_id for each in again} == {each.agent_id for each in grants[: size.changed]}

    holders = [grant for grant in grants[size.changed :] if grant.role != "role0"]
    some = holders[: len(holders) // 2]
    for grant in some:
        recover(allocator, grant, Resources.of_scalars(cpus=8000, mem=32_768_000), None)
    half_ms, again = timed_round(allocator)
    assert len(again) == len(some), f"{len(again)} offers of {len(some)} agents"
    return [
        Row(
            f"{size} frameworks: full cycle, an offer per agent",
            full_ms,
            "ms",
            size.full_goal,
            heaps_ms(size, size.agents),
            HEAPS,
        ),
        Row(
            f"{size} frameworks: after {size.changed} agents changed",
            changed_ms,
            "ms",
            size.changed_goal,
            heaps_ms(size, size.changed),
            HEAPS,
        ),
        Row(
            f"{size} frameworks: after half were half freed",
            half_ms,
            "ms",
            "",
            heaps_ms(size, len(some)),
            HEAPS,
        ),
    ]


def _refusals(size: Size) -> list[Row]:
    """A cluster whose frameworks decline all agents."""
    allocator = cluster(size)
    started_s = process_time()
    declined = 0
    while grants := allocator.allocate(0, EVERYTHING):
        declined += len(grants)
        for grant in grants:
            recover(allocator, grant, grant.resources, REFUSED_MS)
    declined_s = process_time() - started_s
    assert declined == size.agents * size.frameworks, f"{declined} offers were declined"

    started_s = process_time()
    for _ in range(IDLE_ROUNDS):
        allocator.allocate(NOW_MS, 1000)
    idle_s = process_time() - started_s
    allocator.revive(FrameworkId("framework00000"))
    revived_ms, grants = timed_round(allocator)
    assert len(grants) == size.agents, f"{len(grants)} offers of {size.agents} agents"
    heaps = heaps_ms(size, size.agents)
    return [
        Row(
            f"{size} frameworks: an offer made and declined",
            declined_s / declined * 1e6,
            "µs",
            "",
            heaps / size.agents * 1e3,
            HEAPS,
        ),
        Row(f"{size} frameworks: a round when all is refused", idle_s / IDLE_ROUNDS * 1e6, "µs"),
        Row(f"{size} frameworks: after one revived", revived_ms, "ms", "", heaps, HEAPS),
    ]


def cluster(size: Size) -> Allocator:
    """An allocator of a cluster on which nothing runs."""
    allocator = Allocator()
    for number in range(size.frameworks):
        terms = FrameworkTerms(roles=(Role(f"role{number % size.roles}"),))
        allocator.add_framework(FrameworkId(f"framework{number:05}"), terms)
    for number in range(size.agents):
        total = parse_resources("cpus:16;mem:65536;disk:1000000;ports:[31000-32000]")
        terms_of_agent = AgentTerms(hostname=f"host{number}")
        allocator.add_agent(AgentId(f"agent{number:05}"), terms_of_agent, total, {})
    return allocator


def timed_round(allocator: Allocator) -> tuple[float, list[Grant]]:
    """Everything that is pending, looked at: milliseconds, and what was offered."""
    started_s = process_time()
    grants = allocator.allocate(NOW_MS, EVERYTHING)
    return (process_time() - started_s) * 1e3, grants


def recover(
    allocator: Allocator, grant: Grant, resources: Resources, refuse_ms: int | None
) -> None:
    """So much of the offer comes back; perhaps with a refusal."""
    allocator.recover(
        grant.framework_id,
        grant.role,
        grant.agent_id,
        resources,
        refuse_ms=refuse_ms,
        now_ms=0,
    )


def heaps_ms(size: Size, offers: int) -> float:
    """The least that sharing so much in order costs.

    For each offer the next agent is popped, and the role and its framework that have least are
    popped and pushed again with more.
    """
    agents = [(number, f"agent{number:05}") for number in range(offers)]
    roles = [(0.0, f"role{number}") for number in range(size.roles)]
    frameworks = {name: list[tuple[float, str]]() for _, name in roles}
    for number in range(size.frameworks):
        frameworks[f"role{number % size.roles}"].append((0.0, f"framework{number:05}"))
    step = 1.0 / size.agents
    started_s = process_time()
    heapify(agents)
    for _ in range(offers):
        heappop(agents)
        share, role = roles[0]
        heapreplace(roles, (share + step, role))
        sharers = frameworks[role]
        share, framework = sharers[0]
        heapreplace(sharers, (share + step, framework))
    return (process_time() - started_s) * 1e3


if __name__ == "__main__":
    main()
