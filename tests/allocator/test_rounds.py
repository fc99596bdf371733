"""Rounds look at what changed, and at nothing twice."""

from __future__ import annotations

from tepui.allocator import Allocator, Grant
from tepui.allocator.queue import CLIENTS_FEW
from tepui.base.names import AgentId
from tests.allocator.kit import EVERYTHING, agent, framework, give_back, grants, offered


def test_nothing_is_pending_without_agents() -> None:
    allocator = Allocator()
    assert not allocator.pending()
    framework(allocator, "f1")
    assert not allocator.pending()
    assert allocator.allocate(0, EVERYTHING) == []


def test_round_in_slices_grants_what_one_round_grants() -> None:
    def cluster() -> Allocator:
        allocator = Allocator()
        for name in ("f1", "f2", "f3"):
            framework(allocator, name)
        for number in range(10):
            agent(allocator, f"a{number}")
        return allocator

    sliced = cluster()
    found: list[Grant] = []
    slices = 0
    while sliced.pending():
        found += sliced.allocate(0, 3)
        slices += 1
    assert slices == 4
    assert found == grants(cluster())


def test_slice_of_nothing_does_nothing() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    assert allocator.allocate(0, 0) == []
    assert allocator.pending()


def test_agent_that_all_refuse_is_not_pending() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    framework(allocator, "f2")
    agent(allocator, "a1")
    while found := grants(allocator):
        give_back(allocator, found[0], refuse_ms=5000)
    assert not allocator.pending()
    assert allocator.next_due_ms() == 5000


def test_agent_waits_for_a_framework_that_has_a_use_for_it() -> None:
    allocator = Allocator()
    agent(allocator, "a1")
    assert offered(allocator) == []
    framework(allocator, "f1")
    assert allocator.pending()
    assert offered(allocator) == [("f1", "a1")]


def test_woken_frameworks_are_asked_in_the_order_of_their_shares() -> None:
    allocator = Allocator()
    agent(allocator, "big", "cpus:3;mem:300", used={("f1", "ads"): "cpus:3;mem:300"})
    for number in range(4):
        agent(allocator, f"a{number}", "cpus:1;mem:100")
    assert offered(allocator) == []
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "ads")
    framework(allocator, "f3", "web")
    assert [f for f, _ in offered(allocator)] == ["f3", "f3", "f3", "f2"]


def test_many_frameworks_that_wake_at_once_share_alike() -> None:
    allocator = Allocator()
    names = [f"f{number:03}" for number in range(CLIENTS_FEW + 8)]
    for number in range(2 * len(names)):
        agent(allocator, f"a{number}")
    assert offered(allocator) == []
    for name in names:
        framework(allocator, name)
    assert sorted(f for f, _ in offered(allocator)) == sorted(names * 2)


def test_filter_that_ends_wakes_its_agent_for_its_framework() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    framework(allocator, "f2")
    for name in ("a1", "a2"):
        agent(allocator, name)
    for grant in grants(allocator):
        give_back(allocator, grant, refuse_ms=5000 if grant.agent_id == "a1" else 9000)
    for grant in grants(allocator):
        give_back(allocator, grant, refuse_ms=20_000)
    assert offered(allocator) == []
    assert len(offered(allocator, 5000)) == 1
    assert len(offered(allocator, 9000)) == 1


def test_filter_that_ends_while_its_agent_is_used_wakes_nobody() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    give_back(allocator, grant, refuse_ms=5000)
    framework(allocator, "f2", "web")
    assert offered(allocator) == [("f2", "a1")]
    assert offered(allocator, 5000) == []
    assert allocator.available(AgentId("a1")).scalar("cpus") == 0


def test_declined_by_one_and_revived_by_another_goes_to_the_other() -> None:
    allocator = Allocator()
    first = framework(allocator, "f1", "ads")
    second = framework(allocator, "f2", "ads")
    for number in range(5):
        agent(allocator, f"a{number}")
    while found := grants(allocator):
        for grant in found:
            give_back(allocator, grant, refuse_ms=60_000)
    allocator.revive(second)
    assert {f for f, _ in offered(allocator)} == {second}
    allocator.revive(first)
    assert offered(allocator) == []
