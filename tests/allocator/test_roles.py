"""Reservations: what a role may have of an agent."""

from __future__ import annotations

from tepui.allocator import Allocator
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources, parse_resources
from tepui.resources.kinds import Reservation, ReservationType
from tests.allocator.kit import AGENT, agent, framework, give_back, grants

RESERVED = "cpus:4;mem:4096;cpus(web):1;mem(web):512"


def shown(allocator: Allocator) -> list[tuple[str, str, str]]:
    return [(g.framework_id, g.role, str(g.resources)) for g in grants(allocator)]


def test_role_is_offered_what_is_reserved_to_it_with_the_rest() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "web")
    agent(allocator, "a1", RESERVED)
    (grant,) = grants(allocator)
    assert grant.resources == parse_resources(RESERVED)


def test_reservation_goes_to_its_role_though_another_takes_the_rest() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "web")
    agent(allocator, "a1", RESERVED)
    by_framework = {g.framework_id: g.resources for g in grants(allocator)}
    assert by_framework == {
        "f1": parse_resources(AGENT),
        "f2": parse_resources("cpus(web):1;mem(web):512"),
    }


def test_one_framework_gets_an_offer_in_each_of_its_roles() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "db", "web")
    agent(allocator, "a1", RESERVED)
    assert [g.role for g in grants(allocator)] == ["db", "web"]


def test_child_role_is_offered_what_is_reserved_above_it() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "web/dev")
    agent(allocator, "a1", RESERVED)
    (grant,) = grants(allocator)
    assert grant.resources == parse_resources(RESERVED)


def test_parent_role_is_not_offered_what_is_reserved_below_it() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "web")
    agent(allocator, "a1", "cpus:4;mem:4096;cpus(web/dev):1")
    (grant,) = grants(allocator)
    assert grant.resources == parse_resources(AGENT)


def test_role_whose_name_only_begins_alike_is_another_role() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "webshop")
    agent(allocator, "a1", "cpus(web):4;mem(web):512")
    assert grants(allocator) == []


def test_refined_reservation_goes_to_capable_frameworks_only() -> None:
    def refined() -> Allocator:
        allocator = Allocator()
        agent(allocator, "a1")
        inner = Reservation(type=ReservationType.DYNAMIC, role="web/dev", principal="p")
        total = parse_resources("cpus(web):1;mem(web):512").push_reservation(inner)
        allocator.update_agent(AgentId("a1"), total=total + Resources.of_scalars(cpus=2000))
        return allocator

    incapable = refined()
    framework(incapable, "f1", "web/dev")
    (grant,) = grants(incapable)
    assert grant.resources == Resources.of_scalars(cpus=2000)
    capable = refined()
    framework(capable, "f1", "web/dev", capabilities=("RESERVATION_REFINEMENT",))
    (grant,) = grants(capable)
    assert grant.resources.scalar("cpus") == 3000


def test_holdings_are_told_by_role() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "eng/web", "ops")
    agent(allocator, "a1", AGENT, used={("f1", "eng/web"): "cpus:1;mem:64"})
    agent(allocator, "a2", AGENT, used={("f1", "eng/web"): "cpus:2", ("f1", "ops"): "cpus:1"})
    allocator.suppress(FrameworkId("f1"))
    assert grants(allocator) == []
    assert allocator.allocation(FrameworkId("f1")) == {
        "eng/web": parse_resources("cpus:3;mem:64"),
        "ops": parse_resources("cpus:1"),
    }
    assert allocator.allocated(Role("eng")) == {"cpus": 3000, "mem": 64_000}
    assert allocator.allocated(Role("nobody")) == {}


def test_role_without_frameworks_and_holdings_leaves_the_tree() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1", "eng/web")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    allocator.remove_framework(framework_id)
    assert allocator.tree.find(Role("eng/web")) is not None
    give_back(allocator, grant)
    assert allocator.tree.find(Role("eng")) is None
    assert allocator.allocation(framework_id) == {}
