"""Shares: who comes first, and what it comes to."""

from __future__ import annotations

from collections import Counter

import pytest

from tepui.allocator import Allocator
from tepui.base.names import Role
from tests.allocator.kit import agent, framework, give_back, grants, offered


def fill(allocator: Allocator, agents: int, resources: str = "cpus:1;mem:1024") -> Counter[str]:
    """Agents come one by one and are kept; how many each framework got."""
    counts: Counter[str] = Counter()
    for number in range(agents):
        agent(allocator, f"agent{number:03}", resources)
        counts.update(grant.framework_id for grant in grants(allocator))
    return counts


def test_whole_agent_goes_to_the_first_framework() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    framework(allocator, "f2")
    agent(allocator, "a1")
    assert offered(allocator) == [("f1", "a1")]


def test_frameworks_of_one_role_share_equally() -> None:
    allocator = Allocator()
    for name in ("f1", "f2", "f3"):
        framework(allocator, name)
    assert fill(allocator, 30) == {"f1": 10, "f2": 10, "f3": 10}


def test_roles_share_equally_however_many_frameworks_they_have() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads")
    for name in ("f2", "f3", "f4"):
        framework(allocator, name, "web")
    assert fill(allocator, 24) == {"f1": 12, "f2": 4, "f3": 4, "f4": 4}


def test_role_of_weight_two_gets_twice_as_much() -> None:
    allocator = Allocator(weights={Role("ads"): 2.0})
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "web")
    assert fill(allocator, 30) == {"f1": 20, "f2": 10}


def test_weight_that_is_set_later_draws_shares_towards_it() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "web")
    assert fill(allocator, 6) == {"f1": 3, "f2": 3}
    allocator.set_weight(Role("web"), 3.0)
    counts: Counter[str] = Counter({"f1": 3, "f2": 3})
    for number in range(18):
        agent(allocator, f"more{number:03}", "cpus:1;mem:1024")
        counts.update(grant.framework_id for grant in grants(allocator))
    assert counts == {"f1": 6, "f2": 18}
    assert allocator.weight(Role("web")) == 3.0


def test_weights_hold_while_offers_are_used_and_given_back() -> None:
    allocator = Allocator(weights={Role("ads"): 2.0})
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "web")
    for number in range(30):
        agent(allocator, f"agent{number:03}", "cpus:1;mem:1024")
    held = grants(allocator)
    for step in range(300):
        give_back(allocator, held.pop(step * 7 % len(held)))
        held += grants(allocator)
    assert Counter(grant.framework_id for grant in held) == {"f1": 20, "f2": 10}


def test_child_roles_share_what_their_parent_is_due() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "eng/web")
    framework(allocator, "f2", "eng/db")
    framework(allocator, "f3", "ops")
    assert fill(allocator, 16) == {"f1": 4, "f2": 4, "f3": 8}


def test_frameworks_of_a_parent_role_compete_with_its_children_as_one() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "eng")
    framework(allocator, "f2", "eng")
    framework(allocator, "f3", "eng/web")
    assert fill(allocator, 16) == {"f1": 4, "f2": 4, "f3": 8}


def test_weight_of_a_child_role_counts_among_its_siblings_only() -> None:
    allocator = Allocator(weights={Role("eng/web"): 3.0})
    framework(allocator, "f1", "eng/web")
    framework(allocator, "f2", "eng/db")
    framework(allocator, "f3", "ops")
    assert fill(allocator, 16) == {"f1": 6, "f2": 2, "f3": 8}


def test_share_is_that_of_the_dominant_resource() -> None:
    allocator = Allocator()
    agent(allocator, "a1", "cpus:8;mem:1024", used={("f1", "ads"): "cpus:1;mem:768"})
    agent(allocator, "a2", "cpus:2;mem:1024", used={("f2", "web"): "cpus:2;mem:64"})
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "web")
    assert allocator.share(Role("ads")) == 768 / 2048
    assert allocator.share(Role("web")) == 2 / 10
    assert offered(allocator) == [("f2", "a1"), ("f1", "a2")]


def test_resource_excluded_from_fair_sharing_does_not_count() -> None:
    allocator = Allocator(exclude_from_fair_share=("gpus",), filter_gpu_resources=False)
    agent(allocator, "a1", "cpus:8;mem:1024;gpus:1", used={("f1", "ads"): "cpus:1;gpus:1"})
    agent(allocator, "a2", "cpus:8;mem:1024", used={("f2", "web"): "cpus:2"})
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "web")
    assert offered(allocator)[0] == ("f1", "a1")


def test_frameworks_that_hold_nothing_take_turns() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    framework(allocator, "f2")
    agent(allocator, "a1")
    turns = []
    for _ in range(4):
        (grant,) = grants(allocator)
        turns.append(grant.framework_id)
        give_back(allocator, grant, refuse_ms=0)
    assert turns == ["f1", "f2", "f1", "f2"]


def test_cluster_that_grows_is_shared_anew() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads")
    framework(allocator, "f2", "web")
    agent(allocator, "a1", "cpus:5;mem:40", used={("f1", "ads"): "cpus:5;mem:40"})
    agent(allocator, "a2", "cpus:4;mem:90", used={("f2", "web"): "cpus:4;mem:90"})
    agent(allocator, "a3", "cpus:11;mem:70", used={("f3", "ops"): "cpus:11;mem:70"})
    agent(allocator, "a4", "cpus:1;mem:10")
    assert offered(allocator) == [("f1", "a4")]  # 5/21 of the cpus, against 90/210 of the memory
    agent(allocator, "a5", "cpus:1;mem:9800")
    assert offered(allocator) == [("f2", "a5")]  # 6/22 of the cpus, against 4/22


def test_same_steps_give_the_same_grants() -> None:
    def run() -> list[tuple[str, str, str]]:
        allocator = Allocator()
        for number in range(7):
            framework(allocator, f"f{number}", f"role{number % 3}", f"role{number % 2}/x")
        for number in range(40):
            agent(allocator, f"a{number}")
        found = grants(allocator)
        for grant in found[::3]:
            give_back(allocator, grant, refuse_ms=5000)
        found += grants(allocator)
        return [(grant.framework_id, grant.role, grant.agent_id) for grant in found]

    assert run() == run()


def test_weight_of_zero_is_our_fault() -> None:
    with pytest.raises(AssertionError):
        Allocator().set_weight(Role("ads"), 0.0)
