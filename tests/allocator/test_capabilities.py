"""Which frameworks an agent may be offered to, and the smallest offers."""

from __future__ import annotations

import pytest

from tepui.allocator import Allocator
from tepui.base.names import AgentId, FrameworkId
from tepui.resources import Resources, parse_resources
from tepui.resources.kinds import ValueType, kind_of
from tests.allocator.kit import AGENT, agent, domain, framework, grants, offered, terms


def test_agent_with_gpus_goes_to_frameworks_that_know_gpus() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    framework(allocator, "f2", capabilities=("GPU_RESOURCES",))
    agent(allocator, "a1", "cpus:4;mem:4096;gpus:1")
    assert offered(allocator) == [("f2", "a1")]


def test_agent_with_gpus_goes_to_anybody_when_gpus_are_not_filtered() -> None:
    allocator = Allocator(filter_gpu_resources=False)
    framework(allocator, "f1")
    agent(allocator, "a1", "cpus:4;mem:4096;gpus:1")
    assert offered(allocator) == [("f1", "a1")]


def test_agent_of_another_region_goes_to_region_aware_frameworks() -> None:
    allocator = Allocator(domain=domain("eu", "z1"))
    framework(allocator, "f1")
    agent(allocator, "far", domain=domain("us"))
    assert offered(allocator) == []
    framework(allocator, "f2", capabilities=("REGION_AWARE",))
    assert offered(allocator) == [("f2", "far")]


def test_agent_of_another_zone_or_without_a_domain_is_not_remote() -> None:
    allocator = Allocator(domain=domain("eu", "z1"))
    framework(allocator, "f1")
    agent(allocator, "near", domain=domain("eu", "z2"))
    agent(allocator, "nowhere")
    assert offered(allocator) == [("f1", "near"), ("f1", "nowhere")]


def test_revocable_resources_go_to_frameworks_that_take_them() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1")
    agent(allocator, "a1")
    spare = kind_of("cpus", ValueType.SCALAR, revocable=True)
    total = parse_resources(AGENT) + Resources.of_entries({spare: 2000})
    allocator.update_agent(AgentId("a1"), total=total)
    (grant,) = grants(allocator)
    assert grant.resources == parse_resources(AGENT)
    allocator.update_framework(framework_id, terms(capabilities=("REVOCABLE_RESOURCES",)))
    (grant,) = grants(allocator)
    assert grant.resources == Resources.of_entries({spare: 2000})


@pytest.mark.parametrize("resources", ["cpus:0.01", "mem:32", "cpus:0.01;mem:32"])
def test_smallest_offer_is_made(resources: str) -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1", resources)
    assert offered(allocator) == [("f1", "a1")]


@pytest.mark.parametrize("resources", ["cpus:0.009", "mem:31", "cpus:0.009;mem:31;disk:9999"])
def test_smaller_offer_is_not_made(resources: str) -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1", resources)
    assert offered(allocator) == []


def test_framework_asks_for_larger_offers_in_one_role() -> None:
    allocator = Allocator()
    minimums = {"ads": ({"cpus": 5000}, {"cpus": 2000, "mem": 1_000_000})}
    framework(allocator, "f1", "ads", min_allocatable=minimums)
    agent(allocator, "small", "cpus:4;mem:900")
    agent(allocator, "middle", "cpus:2;mem:1000")
    agent(allocator, "large", "cpus:5;mem:1")
    assert offered(allocator) == [("f1", "middle"), ("f1", "large")]
    framework(allocator, "f2", "web")
    assert offered(allocator) == [("f2", "small")]


def test_framework_with_no_minimum_is_offered_anything() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads")
    agent(allocator, "a1", "disk:1")
    assert offered(allocator) == []
    framework(allocator, "f2", "ads", min_allocatable={"ads": ()})
    assert offered(allocator) == [("f2", "a1")]
    agent(allocator, "a2", "ports:[1-1]")
    assert offered(allocator) == [("f2", "a2")]


def test_framework_that_asks_for_less_by_an_update_is_offered_more() -> None:
    allocator = Allocator()
    framework(allocator, "f1", min_allocatable={"ads": ({"cpus": 100_000},)})
    agent(allocator, "a1")
    assert offered(allocator) == []
    lower = terms(min_allocatable={"ads": ({"cpus": 1000},)})
    allocator.update_framework(FrameworkId("f1"), lower)
    assert offered(allocator) == [("f1", "a1")]
