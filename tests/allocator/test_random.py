"""Random histories: after every step the sums agree and nobody was passed over."""

from __future__ import annotations

import random

import pytest

from tepui.allocator import AgentTerms, Allocator, Grant, check, explain
from tepui.allocator.terms import Minimums
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources, parse_attributes, parse_resources
from tests.allocator.kit import domain, framework, terms
from tests.allocator.test_constraints import equals, groups, matches, named

STEPS = 400
ROLES = ("ads", "eng", "eng/web", "eng/web/dev", "eng/db", "ops")
CAPABILITIES = ("GPU_RESOURCES", "REGION_AWARE", "REVOCABLE_RESOURCES", "RESERVATION_REFINEMENT")
TOTALS = (
    "cpus:4;mem:4096;ports:[31000-32000]",
    "cpus:8;mem:1024;cpus(eng):2;mem(eng):512",
    "cpus:2;mem:512;gpus:1;disk:100;cpus(eng/web):1",
    "cpus:0.005;mem:16;disk:5000",
    "cpus(ops):3;mem(ops):300",
)
PARTS = ("cpus:1;mem:64", "cpus:0.5", "mem:32", "cpus(eng):1", "ports:[31005-31010]")


class World:
    """An allocator, and what it has granted."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.allocator = Allocator(
            domain=domain("eu"), weights={Role("eng"): 2.0, Role("eng/db"): 0.5}
        )
        self.now_ms = 0
        self.number = 0
        self.held: list[Grant] = []

    def step(self) -> None:
        """Something happens."""
        action = self.random.choice(
            (
                *[self.allocate] * 6,
                *[self.recover] * 6,
                *[self.pass_time] * 2,
                *[self.add_agent] * 2,
                self.remove_agent,
                self.update_agent,
                self.switch_agent,
                *[self.add_framework] * 2,
                self.remove_framework,
                self.update_framework,
                self.switch_framework,
                self.suppress,
                self.revive,
                self.set_weight,
            )
        )
        action()

    def allocate(self) -> None:
        granted = self.allocator.allocate(self.now_ms, self.random.choice((1, 3, 1000)))
        for grant in granted:
            assert grant.resources == grant.resources.allocatable_to(grant.role)
            framework = self.allocator.frameworks[grant.framework_id]
            assert framework.is_active
            assert grant.role in set(framework.terms.roles) - framework.suppressed
        self.held += granted

    def recover(self) -> None:
        if not self.held:
            return
        grant = self.held.pop(self.random.randrange(len(self.held)))
        resources = grant.resources
        part = parse_resources(self.random.choice(PARTS))
        if resources != part and resources.contains(part) and self.random.random() < 0.5:
            rest = resources - part
            self.held.append(Grant(grant.framework_id, grant.role, grant.agent_id, rest))
            resources = part
        self.allocator.recover(
            grant.framework_id,
            grant.role,
            grant.agent_id,
            resources,
            refuse_ms=self.random.choice((None, 0, 100, 1000, 60_000)),
            now_ms=self.now_ms,
        )

    def pass_time(self) -> None:
        self.now_ms += self.random.choice((1, 100, 5000))

    def add_agent(self) -> None:
        self.number += 1
        total = parse_resources(self.random.choice(TOTALS))
        used: dict[tuple[FrameworkId, Role], Resources] = {}
        part = parse_resources(self.random.choice(PARTS))
        agent_id = AgentId(f"a{self.number}")
        if total.contains(part) and self.random.random() < 0.3:
            holder = FrameworkId(f"f{self.random.randrange(20)}")
            role = Role("eng/web")
            used[holder, role] = part
            self.held.append(Grant(holder, role, agent_id, part))
        self.allocator.add_agent(agent_id, self.agent_terms(), total, used)

    def agent_terms(self) -> AgentTerms:
        return AgentTerms(
            hostname=f"host{self.number}",
            attributes=parse_attributes(self.random.choice(("rack:r1", "rack:r2", "rack:x"))),
            domain=self.random.choice((None, domain("eu"), domain("us"))),
        )

    def any_agent(self) -> AgentId | None:
        return self.random.choice(sorted(self.allocator.agents) or [None])

    def any_framework(self) -> FrameworkId | None:
        return self.random.choice(sorted(self.allocator.frameworks) or [None])

    def remove_agent(self) -> None:
        if (agent_id := self.any_agent()) is not None:
            self.allocator.remove_agent(agent_id)
            self.held = [grant for grant in self.held if grant.agent_id != agent_id]

    def update_agent(self) -> None:
        if (agent_id := self.any_agent()) is not None:
            total = parse_resources(self.random.choice(TOTALS))
            if self.random.random() < 0.5:
                self.allocator.update_agent(agent_id, total=total)
            else:
                self.allocator.update_agent(agent_id, terms=self.agent_terms())

    def switch_agent(self) -> None:
        if (agent_id := self.any_agent()) is not None:
            if self.allocator.agents[agent_id].is_active:
                self.allocator.deactivate_agent(agent_id)
            else:
                self.allocator.activate_agent(agent_id)

    def framework_terms(self) -> dict[str, tuple[str, ...]]:
        roles = tuple(self.random.sample(ROLES, self.random.randint(1, 3)))
        return {
            "roles": roles,
            "capabilities": tuple(c for c in CAPABILITIES if self.random.random() < 0.5),
            "suppressed": tuple(role for role in roles if self.random.random() < 0.2),
        }

    def minimums(self) -> dict[str, Minimums]:
        choices: tuple[Minimums, ...] = ((), ({"cpus": 2000},), ({"mem": 1}, {"disk": 1000}))
        return {"eng": self.random.choice(choices)} if self.random.random() < 0.3 else {}

    def add_framework(self) -> None:
        name = f"f{self.random.randrange(20)}"
        if FrameworkId(name) in self.allocator.frameworks:
            return
        given = self.framework_terms()
        wanted = self.random.choice(
            (
                None,
                groups(((named("rack"), equals("r1")),)),
                groups(((named("rack"), matches("r[0-9]")),)),
            )
        )
        framework(
            self.allocator,
            name,
            *given["roles"],
            "ads",
            capabilities=given["capabilities"],
            suppressed=given["suppressed"],
            min_allocatable=self.minimums(),
            constraints=wanted,
        )

    def remove_framework(self) -> None:
        if (framework_id := self.any_framework()) is not None:
            self.allocator.remove_framework(framework_id)

    def update_framework(self) -> None:
        if (framework_id := self.any_framework()) is not None:
            given = self.framework_terms()
            self.allocator.update_framework(
                framework_id,
                terms(
                    *given["roles"],
                    capabilities=given["capabilities"],
                    suppressed=given["suppressed"],
                    min_allocatable=self.minimums(),
                ),
            )

    def switch_framework(self) -> None:
        if (framework_id := self.any_framework()) is not None:
            if self.allocator.frameworks[framework_id].is_active:
                self.allocator.deactivate_framework(framework_id)
            else:
                self.allocator.activate_framework(framework_id)

    def suppress(self) -> None:
        if (framework_id := self.any_framework()) is not None:
            self.allocator.suppress(framework_id, self.some_roles())

    def revive(self) -> None:
        if (framework_id := self.any_framework()) is not None:
            self.allocator.revive(framework_id, self.some_roles())

    def some_roles(self) -> list[Role]:
        return [Role(role) for role in ROLES if self.random.random() < 0.3]

    def set_weight(self) -> None:
        role = Role(self.random.choice(ROLES))
        self.allocator.set_weight(role, self.random.choice((0.5, 1.0, 3.0)))


@pytest.mark.parametrize("seed", range(12))
def test_sums_agree_and_nobody_is_passed_over_after_every_step(seed: int) -> None:
    world = World(seed)
    for _ in range(STEPS):
        world.step()
        check(world.allocator)
    for framework_id in world.allocator.frameworks:
        for funnel in explain(world.allocator, framework_id):
            assert funnel.left + sum(d.agents for d in funnel.dropped) == funnel.agents

    world.held += world.allocator.allocate(world.now_ms, 1_000_000)
    for grant in world.held:
        world.allocator.recover(
            grant.framework_id,
            grant.role,
            grant.agent_id,
            grant.resources,
            refuse_ms=None,
            now_ms=world.now_ms,
        )
    check(world.allocator)
    for agent_id, agent in world.allocator.agents.items():
        assert world.allocator.available(agent_id) == agent.total


def test_same_seed_gives_the_same_grants() -> None:
    def history() -> list[Grant]:
        world = World(99)
        granted: list[Grant] = []
        for _ in range(STEPS):
            world.step()
            granted += world.held[-3:]
        return granted

    assert history() == history()
