"""Agents and frameworks that come, change and go."""

from __future__ import annotations

import pytest

from tepui.allocator import Allocator, check
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources, parse_resources
from tests.allocator.kit import (
    AGENT,
    agent,
    framework,
    give_back,
    grants,
    of_scalars,
    offered,
    terms,
)

A1 = AgentId("a1")


def test_only_what_is_not_used_is_offered() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1", AGENT, used={("f9", "web"): "cpus:1;mem:1096"})
    (grant,) = grants(allocator)
    assert grant.resources == of_scalars(cpus=3, mem=3000)
    assert not allocator.available(A1)


def test_inactive_agent_keeps_its_accounts_and_gets_no_offers() -> None:
    allocator = Allocator()
    agent(allocator, "a1", AGENT, used={("f1", "ads"): "cpus:1"})
    allocator.deactivate_agent(A1)
    framework_id = framework(allocator, "f1")
    assert offered(allocator) == []
    assert allocator.allocation(framework_id) == {"ads": parse_resources("cpus:1")}
    allocator.activate_agent(A1)
    assert offered(allocator) == [("f1", "a1")]


def test_agent_deactivated_while_it_waits_is_not_offered() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    allocator.deactivate_agent(A1)
    assert offered(allocator) == []


def test_offer_of_an_inactive_agent_comes_back_and_waits() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    allocator.deactivate_agent(A1)
    give_back(allocator, grant)
    assert offered(allocator) == []
    assert allocator.available(A1) == parse_resources(AGENT)


def test_removed_agent_takes_its_holdings_and_filters_along() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1")
    agent(allocator, "a1")
    agent(allocator, "a2")
    kept, declined = grants(allocator)
    give_back(allocator, declined, refuse_ms=5000)
    allocator.remove_agent(kept.agent_id)
    allocator.remove_agent(declined.agent_id)
    check(allocator)
    assert allocator.allocation(framework_id) == {}
    assert allocator.expiry.in_force == 0
    assert allocator.cluster.totals == {}
    give_back(allocator, kept, refuse_ms=5000)  # what comes late changes nothing
    assert allocator.next_due_ms() is None


def test_agent_that_leaves_while_it_waits_and_comes_back_is_offered_once() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    allocator.remove_agent(A1)
    agent(allocator, "a1", "cpus:1;mem:64")
    (grant,) = grants(allocator)
    assert grant.resources == parse_resources("cpus:1;mem:64")


def test_agent_that_grew_offers_what_it_gained() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    grants(allocator)
    allocator.update_agent(A1, total=parse_resources("cpus:6;mem:4096"))
    (grant,) = grants(allocator)
    assert grant.resources == parse_resources("cpus:2")


def test_agent_that_shrank_below_what_is_held_offers_only_the_surplus() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1", "cpus:4;mem:4096;ports:[1-10]", used={("f9", "web"): "cpus:3"})
    allocator.deactivate_agent(A1)
    allocator.update_agent(A1, total=parse_resources("cpus:2;mem:4096;ports:[5-10]"))
    check(allocator)
    assert allocator.available(A1) == parse_resources("mem:4096;ports:[5-10]")
    web = (FrameworkId("f9"), Role("web"), A1)
    allocator.recover(*web, Resources.of_scalars(cpus=500), refuse_ms=None, now_ms=0)
    check(allocator)
    assert allocator.available(A1).scalar("cpus") == 0
    allocator.recover(*web, Resources.of_scalars(cpus=2000), refuse_ms=None, now_ms=0)
    check(allocator)
    assert allocator.available(A1).scalar("cpus") == 1500


def test_recovering_what_is_not_held_is_our_fault() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    give_back(allocator, grant)
    with pytest.raises(AssertionError):
        give_back(allocator, grant)


def test_rest_of_an_offer_is_offered_again() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    give_back(allocator, grant, part="cpus:3;mem:4000")
    (rest,) = grants(allocator)
    assert rest.resources == parse_resources("cpus:3;mem:4000")
    assert allocator.allocation(grant.framework_id) == {"ads": parse_resources(AGENT)}


def test_framework_that_is_added_after_its_tasks_owns_them() -> None:
    allocator = Allocator()
    agent(allocator, "a1", AGENT, used={("f1", "ads"): "cpus:4;mem:4096"})
    agent(allocator, "a2", "cpus:1;mem:64")
    framework(allocator, "f1")
    framework(allocator, "f2")
    assert offered(allocator) == [("f2", "a2")]


def test_removed_framework_keeps_what_it_holds_until_recovered() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    allocator.remove_framework(framework_id)
    check(allocator)
    framework(allocator, "f2")
    assert offered(allocator) == []
    give_back(allocator, grant, refuse_ms=5000)
    assert offered(allocator) == [("f2", "a1")]
    assert allocator.expiry.in_force == 0


def test_disconnected_framework_gets_no_offers() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1")
    allocator.deactivate_framework(framework_id)
    agent(allocator, "a1")
    assert offered(allocator) == []
    allocator.activate_framework(framework_id)
    assert offered(allocator) == [("f1", "a1")]


def test_framework_gains_and_loses_roles() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1", "ads")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    allocator.update_framework(framework_id, terms("web"))
    check(allocator)
    give_back(allocator, grant, refuse_ms=5000)  # of a role it no longer has: no filter
    assert allocator.expiry.in_force == 0
    (grant,) = grants(allocator)
    assert grant.role == "web"
    allocator.update_framework(framework_id, terms())
    check(allocator)


def test_framework_that_takes_up_a_role_again_still_holds_what_it_held() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1", "ads")
    agent(allocator, "a1")
    grants(allocator)
    allocator.update_framework(framework_id, terms("web"))
    allocator.update_framework(framework_id, terms("ads"))
    check(allocator)
    assert allocator.allocation(framework_id) == {"ads": parse_resources(AGENT)}
