"""With which resources and attributes an agent may come back: each rule, kept and broken."""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.agent.core.reconfiguration import Policy, reconfiguration_error
from tepui.resources import parse_attributes, parse_resources
from tepui.wire import mesos

RESOURCES = "cpus:4;mem:4096;ports:[31000-32000];disks:{sda,sdb}"
ATTRIBUTES = "rack:r1;level:3;zone:[1-10]"
ADDITIVE = "Configuration change not permitted under 'additive' policy:"
EQUAL = "Incompatible agent info detected:"


def info(
    resources: str = RESOURCES,
    attributes: str = ATTRIBUTES,
    *,
    hostname: str = "host",
    port: int = 5051,
    domain: mesos.DomainInfo | None = None,
) -> mesos.AgentInfo:
    return mesos.AgentInfo(
        hostname=hostname,
        port=port,
        resources=parse_resources(resources).to_wire(role=None, refinement=True),
        attributes=parse_attributes(attributes),
        domain=domain,
    )


def domain(zone: str) -> mesos.DomainInfo:
    fault = mesos.DomainInfo.FaultDomain
    return mesos.DomainInfo(
        fault_domain=fault(region=fault.RegionInfo(name="r"), zone=fault.ZoneInfo(name=zone))
    )


BEFORE = info()

SAME = {
    "nothing": BEFORE,
    "the id, which the agent does not know yet": info(),
    "the order of the resources": info("ports:[31000-32000];disks:{sdb,sda};mem:4096;cpus:4"),
    "resources in parts": info("cpus:1;cpus:3;mem:4096;ports:[31000-31500,31501-32000];disks:{sdb,sda}"),
    "the order of the attributes": info(attributes="zone:[1-10];level:3;rack:r1"),
}  # fmt: skip

MORE = {
    "more of a scalar": info(RESOURCES.replace("cpus:4", "cpus:8")),
    "a range that is longer": info(RESOURCES.replace("32000", "33000")),
    "a set with more": info(RESOURCES.replace("sdb", "sdb,sdc")),
    "another resource": info(RESOURCES + ";gpus:1"),
    "another attribute": info(attributes=ATTRIBUTES + ";new:1"),
    "a domain": info(domain=domain("z")),
}

LESS = {
    "less of a scalar": (
        info(RESOURCES.replace("cpus:4", "cpus:3.999")),
        f"{ADDITIVE} resources were ",
    ),
    "a resource is missing": (info(RESOURCES.replace("mem:4096;", "")), f"{ADDITIVE} resources were "),
    "a range that is shorter": (info(RESOURCES.replace("32000", "31999")), f"{ADDITIVE} resources were "),
    "a set with less": (info(RESOURCES.replace(",sdb", "")), f"{ADDITIVE} resources were "),
    "more of one and less of another": (
        info("cpus:8;mem:4095;ports:[31000-32000];disks:{sda,sdb}"),
        f"{ADDITIVE} resources were ",
    ),
    "for another role": (
        info(RESOURCES.replace("cpus:4", "cpus(ads):4")),
        f"{ADDITIVE} resources were ",
    ),
    "an attribute is missing": (
        info(attributes="level:3;zone:[1-10]"),
        f"{ADDITIVE} attribute 'rack' is missing or another",
    ),
    "an attribute of another value": (
        info(attributes=ATTRIBUTES.replace("r1", "r2")),
        f"{ADDITIVE} attribute 'rack' is missing or another",
    ),
    "an attribute of another type": (
        info(attributes=ATTRIBUTES.replace("level:3", "level:three")),
        f"{ADDITIVE} attribute 'level' is missing or another",
    ),
    "another hostname": (info(hostname="other"), f"{ADDITIVE} hostname changed from host to other"),
    "another port": (info(port=5052), f"{ADDITIVE} port changed from 5051 to 5052"),
}  # fmt: skip


@pytest.mark.parametrize("now", SAME.values(), ids=SAME)
@pytest.mark.parametrize("policy", Policy)
def test_an_agent_that_is_as_it_was_may_come_back(now: mesos.AgentInfo, policy: Policy) -> None:
    before = structs.replace(BEFORE, id=mesos.AgentID("A"))
    assert reconfiguration_error(before, now, policy) is None


@pytest.mark.parametrize("now", MORE.values(), ids=MORE)
def test_an_agent_that_has_more_may_come_back_with_the_additive_policy(
    now: mesos.AgentInfo,
) -> None:
    assert reconfiguration_error(BEFORE, now, Policy.ADDITIVE) is None


@pytest.mark.parametrize("now", MORE.values(), ids=MORE)
def test_an_agent_that_has_more_may_not_come_back_as_equal(now: mesos.AgentInfo) -> None:
    error = reconfiguration_error(BEFORE, now, Policy.EQUAL)
    assert error is not None
    assert error.startswith(f"{EQUAL} ")


@pytest.mark.parametrize(("now", "text"), LESS.values(), ids=LESS)
def test_an_agent_that_has_less_or_is_elsewhere_may_not_come_back(
    now: mesos.AgentInfo, text: str
) -> None:
    error = reconfiguration_error(BEFORE, now, Policy.ADDITIVE)
    assert error is not None
    assert error.startswith(text)
    assert reconfiguration_error(BEFORE, now, Policy.EQUAL) is not None


@pytest.mark.parametrize("policy", Policy)
def test_a_domain_may_come_but_neither_change_nor_go_under_the_additive_policy(
    policy: Policy,
) -> None:
    there = info(domain=domain("z"))
    assert reconfiguration_error(there, there, policy) is None
    assert (reconfiguration_error(BEFORE, there, policy) is None) is (policy is Policy.ADDITIVE)
    for now in (info(domain=domain("y")), BEFORE):
        error = reconfiguration_error(there, now, policy)
        assert error is not None
        assert "domain changed from " in error


def test_what_had_more_may_not_come_back_with_what_it_had_before_that() -> None:
    more = MORE["more of a scalar"]
    assert reconfiguration_error(BEFORE, more, Policy.ADDITIVE) is None
    assert reconfiguration_error(more, BEFORE, Policy.ADDITIVE) is not None


def test_ranges_of_an_attribute_may_grow_and_not_shrink_under_the_additive_policy() -> None:
    more = info(attributes=ATTRIBUTES.replace("[1-10]", "[1-20]"))
    assert reconfiguration_error(BEFORE, more, Policy.ADDITIVE) is None
    assert reconfiguration_error(more, BEFORE, Policy.ADDITIVE) is not None
    assert reconfiguration_error(BEFORE, more, Policy.EQUAL) is not None


def test_an_attribute_may_be_there_twice() -> None:
    twice = info(attributes="rack:r1;rack:r2")
    assert reconfiguration_error(twice, info(attributes="rack:r2;rack:r1"), Policy.EQUAL) is None
    for policy in Policy:
        error = reconfiguration_error(twice, info(attributes="rack:r2"), policy)
        assert error is not None


def test_all_that_is_not_equal_is_named() -> None:
    now = info(
        RESOURCES.replace("cpus:4", "cpus:8"),
        "rack:r2",
        hostname="other",
        port=1,
        domain=domain("z"),
    )
    error = reconfiguration_error(info("cpus:4", "rack:r1"), now, Policy.EQUAL)
    assert error is not None
    assert error.startswith(f"{EQUAL} hostname changed from host to other; port changed from 5051")
    assert "; domain changed from " in error
    assert "; resources were cpus" in error
    assert error.endswith("; attributes were rack:r1, and are rack:r2")


def test_the_first_that_is_not_permitted_is_named_under_the_additive_policy() -> None:
    now = info("cpus:1", "", hostname="other")
    error = reconfiguration_error(BEFORE, now, Policy.ADDITIVE)
    assert error == f"{ADDITIVE} hostname changed from host to other"
    error = reconfiguration_error(BEFORE, info("cpus:1", ""), Policy.ADDITIVE)
    assert error is not None
    assert error.startswith(f"{ADDITIVE} resources were ")
