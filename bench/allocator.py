#!/usr/bin/env python3
"""How long rounds of allocation take: full rounds, rounds after changes, idle rounds.

bench/allocator.py
"""

from __future__ import annotations

import gc
from time import perf_counter

from tepui.allocator import AgentTerms, Allocator, FrameworkTerms, Grant
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources, parse_resources

EVERYTHING = 1_000_000_000


def main() -> None:
    """Print the figures."""
    sizes = [(10_000, 50, 50), (20_000, 2_000, 100), (50_000, 1_000, 100)]
    for agents, frameworks, roles in sizes:
        measure(agents, frameworks, roles)


def measure(agents: int, frameworks: int, roles: int) -> None:
    """One cluster through its rounds."""
    print(f"{agents:,} agents, {frameworks:,} frameworks in {roles:,} roles")
    allocator = Allocator()
    started = perf_counter()
    for number in range(frameworks):
        role = Role(f"role{number % roles}")
        allocator.add_framework(FrameworkId(f"framework{number:05}"), FrameworkTerms(roles=(role,)))
    for number in range(agents):
        total = parse_resources("cpus:16;mem:65536;disk:1000000;ports:[31000-32000]")
        terms = AgentTerms(hostname=f"host{number}")
        allocator.add_agent(AgentId(f"agent{number:05}"), terms, total, {})
    show("frameworks and agents added", started)

    gc.collect()
    gc.freeze()
    grants = full_round(allocator, "full round, an offer per agent", 0)

    started = perf_counter()
    for grant in grants[:500]:
        decline(allocator, grant, 0)
    show("500 offers given back", started)
    full_round(allocator, "round after 500 agents changed", 0)

    holders = [grant for grant in grants[500:] if grant.role != "role0"]
    some = len(holders) // 2
    for grant in holders[:some]:
        allocator.recover(
            grant.framework_id,
            grant.role,
            grant.agent_id,
            Resources.of_scalars(cpus=8000, mem=32_768_000),
            refuse_ms=None,
            now_ms=0,
        )
    full_round(allocator, f"round after {some:,} agents are half free", 0)

    allocator = refused_by_all(agents // 10, frameworks // 10, roles // 10)
    started = perf_counter()
    for _ in range(1000):
        allocator.allocate(10, 1000)
    show("1,000 idle rounds, everything declined by all (a tenth of the cluster)", started)
    allocator.revive(FrameworkId("framework00003"))
    full_round(allocator, "round after one framework revived", 10)
    print()


def refused_by_all(agents: int, frameworks: int, roles: int) -> Allocator:
    """A cluster whose frameworks have all declined all agents."""
    allocator = Allocator()
    for number in range(frameworks):
        role = Role(f"role{number % roles}")
        allocator.add_framework(FrameworkId(f"framework{number:05}"), FrameworkTerms(roles=(role,)))
    for number in range(agents):
        total = Resources.of_scalars(cpus=16_000, mem=65_536_000)
        terms = AgentTerms(hostname=f"host{number}")
        allocator.add_agent(AgentId(f"agent{number:05}"), terms, total, {})
    started = perf_counter()
    rounds = 0
    while grants := allocator.allocate(0, EVERYTHING):
        rounds += len(grants)
        for grant in grants:
            decline(allocator, grant, 3_600_000)
    seconds = perf_counter() - started
    print(f"  {rounds:,} offers made and declined: {seconds / rounds * 1e6:.1f} µs each")
    return allocator


def decline(allocator: Allocator, grant: Grant, refuse_ms: int) -> None:
    """The offer is declined."""
    allocator.recover(
        grant.framework_id,
        grant.role,
        grant.agent_id,
        grant.resources,
        refuse_ms=refuse_ms,
        now_ms=0,
    )


def full_round(allocator: Allocator, what: str, now_ms: int) -> list[Grant]:
    """Everything that is pending, looked at."""
    started = perf_counter()
    grants = allocator.allocate(now_ms, EVERYTHING)
    show(f"{what}: {len(grants):,} offers", started)
    return grants


def show(what: str, started: float) -> None:
    """One line."""
    print(f"  {what}: {(perf_counter() - started) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
