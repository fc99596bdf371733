"""Why there is no offer."""

from __future__ import annotations

from tepui.allocator import (
    Allocator,
    Dropped,
    Reason,
    Shortage,
    explain,
    explain_role,
)
from tepui.allocator.explain import EXAMPLES_MAX
from tepui.base.names import AgentId, FrameworkId, Role
from tests.allocator.kit import agent, domain, framework, give_back, grants, of_scalars
from tests.allocator.test_constraints import ANYTHING, groups, named

F1 = FrameworkId("f1")
WANTED = of_scalars(cpus=4, mem=1024)


def test_funnel_counts_every_agent_once() -> None:
    allocator = Allocator(domain=domain("eu"))
    framework(allocator, "f1")
    agent(allocator, "declined")
    (grant,) = grants(allocator)
    give_back(allocator, grant, refuse_ms=5000, now_ms=1000)
    allocator.suppress(F1)
    agent(allocator, "draining")
    allocator.deactivate_agent(AgentId("draining"))
    agent(allocator, "gpu", "cpus:4;mem:4096;gpus:1")
    agent(allocator, "far", domain=domain("us"))
    agent(allocator, "small", "cpus:2;mem:4096")
    agent(allocator, "tiny", "cpus:1;mem:512")
    agent(allocator, "busy", "cpus:8;mem:4096", used={("f2", "web"): "cpus:5"})
    agent(allocator, "free")
    allocator.allocate(0, 100)
    assert allocator.frameworks[F1].suppressed == {"ads"}
    allocator.revive(F1, [Role("nobody")])
    allocator.frameworks[F1].suppressed.clear()

    (funnel,) = explain(allocator, F1, WANTED)
    assert (funnel.framework_id, funnel.role, funnel.agents) == ("f1", "ads", 8)
    assert funnel.dropped == (
        Dropped(Reason.AGENT_INACTIVE, 1, (AgentId("draining"),)),
        Dropped(
            Reason.TOO_SMALL,
            2,
            (AgentId("small"), AgentId("tiny")),
            (Shortage("cpus", 4000, 2000), Shortage("mem", 1_024_000, 512_000)),
        ),
        Dropped(Reason.IN_USE, 1, (AgentId("busy"),), (Shortage("cpus", 4000, 3000),)),
        Dropped(Reason.GPU, 1, (AgentId("gpu"),)),
        Dropped(Reason.REGION, 1, (AgentId("far"),)),
        Dropped(Reason.DECLINED, 1, (AgentId("declined"),), until_ms=6000),
    )
    assert (funnel.left, funnel.examples) == (1, ("free",))


def test_constraint_and_smallest_offer_are_named() -> None:
    allocator = Allocator()
    framework(allocator, "f1", constraints=groups(((named("gone"), ANYTHING),)))
    framework(allocator, "f2", min_allocatable={"ads": ({"cpus": 50_000},)})
    agent(allocator, "a1")
    (first,) = explain(allocator, F1)
    assert [(d.reason, d.agents) for d in first.dropped] == [(Reason.CONSTRAINT, 1)]
    (second,) = explain(allocator, FrameworkId("f2"))
    assert [(d.reason, d.agents) for d in second.dropped] == [(Reason.NOT_ENOUGH, 1)]


def test_what_holds_for_all_agents_is_said_of_all() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads", "web", suppressed=("web",))
    for number in range(EXAMPLES_MAX + 1):
        agent(allocator, f"a{number}")
    ads, web = explain(allocator, F1)
    assert (ads.dropped, ads.left) == ((), EXAMPLES_MAX + 1)
    assert [(d.reason, d.agents) for d in web.dropped] == [(Reason.SUPPRESSED, EXAMPLES_MAX + 1)]
    assert len(web.dropped[0].examples) == EXAMPLES_MAX
    (other,) = explain_role(allocator, F1, Role("ops")).dropped
    assert other.reason is Reason.NOT_IN_ROLE
    allocator.deactivate_framework(F1)
    (gone,) = explain_role(allocator, F1, Role("ads")).dropped
    assert gone.reason is Reason.DISCONNECTED
    (unknown,) = explain(allocator, FrameworkId("f9"))
    assert unknown.dropped[0].reason is Reason.UNKNOWN_FRAMEWORK


def test_cluster_without_agents_has_an_empty_funnel() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    (funnel,) = explain(allocator, F1, WANTED)
    assert (funnel.agents, funnel.dropped, funnel.left) == (0, (), 0)
