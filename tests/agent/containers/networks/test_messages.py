"""Networks in Mesos's messages, and which port mappings are refused."""

from __future__ import annotations

import pytest

from tepui.agent.containers.networks import (
    Attached,
    Dns,
    NetworkAsked,
    asked_of,
    default_dns_of,
    network_info_of,
    port_mapping_error,
)
from tepui.base.errors import Refused
from tepui.resources import Ranges
from tepui.wire import json, mesos

INFO = {
    "name": "web",
    "groups": ["g"],
    "labels": {"labels": [{"key": "tier", "value": "front"}, {"key": "bare"}]},
    "ip_addresses": [{"ip_address": "10.0.0.9"}, {}],
    "port_mappings": [
        {"host_port": 31080, "container_port": 80},
        {"host_port": 31053, "container_port": 53, "protocol": "UDP"},
    ],
}


def info(given: str) -> mesos.NetworkInfo:
    return json.decode(mesos.NetworkInfo, given.encode())


def test_what_is_asked_for_comes_back_with_the_addresses_that_were_given() -> None:
    import json as text

    (asked,) = asked_of((info(text.dumps(INFO)), info("{}")))  # one without a name is the host's
    assert asked == NetworkAsked(
        "web",
        ((31080, 80, "tcp"), (31053, 53, "udp")),
        {"tier": "front", "bare": ""},
        ("g",),
        ("10.0.0.9",),
    )
    told = network_info_of(Attached("web", "eth0", ("10.0.0.2", "fd00::2"), asked=asked))
    assert text.loads(json.encode(told)) == {
        "name": "web",
        "groups": ["g"],
        "labels": {"labels": [{"key": "tier", "value": "front"}, {"key": "bare", "value": ""}]},
        "ip_addresses": [
            {"protocol": "IPv4", "ip_address": "10.0.0.2"},
            {"protocol": "IPv6", "ip_address": "fd00::2"},
        ],
        "port_mappings": [
            {"host_port": 31080, "container_port": 80, "protocol": "tcp"},
            {"host_port": 31053, "container_port": 53, "protocol": "udp"},
        ],
    }


PORTS = Ranges.of([(31000, 31010)])


@pytest.mark.parametrize(
    ("mappings", "ports", "text"),
    [
        ((), None, None),
        (((31000, 80, "tcp"),), None, "Port mappings require port resources"),
        (((31010, 80, "tcp"),), PORTS, None),
        (((31011, 80, "tcp"),), PORTS, "Port [31011] not included in resources"),
        (((31000, 1, "tcp"), (31001, 65535, "tcp")), PORTS, None),
        (((31000, 0, "tcp"),), PORTS, "Port mapping 31000:0 is not within 1 and 65535"),
        (((31000, 65536, "tcp"),), PORTS, "Port mapping 31000:65536 is not within 1 and 65535"),
        (((31000, 80, "tcp"), (31000, 80, "udp")), PORTS, None),
        (((31000, 80, "tcp"), (31000, 81, "tcp")), PORTS, "Port 31000/tcp is mapped twice"),
        (
            ((31000, 80, "sctp"),),
            PORTS,
            "Protocol 'sctp' of port mapping 31000:80 is not 'tcp' or 'udp'",
        ),
    ],
)
def test_port_mappings_need_ports_of_the_task(
    mappings: tuple[tuple[int, int, str], ...], ports: Ranges | None, text: str | None
) -> None:
    asked = tuple(NetworkAsked(f"n{at}", (one,)) for at, one in enumerate(mappings))
    assert port_mapping_error(asked, ports) == text


def test_a_container_may_have_a_thousand_port_mappings_and_no_more() -> None:
    ports = Ranges.of([(1, 2000)])
    many = tuple((host, 80, "tcp") for host in range(1, 1002))
    assert port_mapping_error((NetworkAsked("n", many[:-1]),), ports) is None
    assert (
        port_mapping_error((NetworkAsked("n", many),), ports)
        == "1001 port mappings, and a container may have 1000"
    )


def test_resolvers_of_the_operator_are_by_network() -> None:
    given = """{"mesos": [
        {"network_mode": "CNI", "network_name": "web", "dns": {"nameservers": ["10.0.0.53"],
         "search": ["a", "b"], "options": ["timeout:3"]}},
        {"network_mode": "CNI", "dns": {"nameservers": ["10.0.0.54"], "domain": "here"}}],
        "docker": [{"network_mode": "BRIDGE", "dns": {"nameservers": ["10.0.0.55"]}}]}"""
    assert default_dns_of(given) == {
        "web": Dns(("10.0.0.53",), None, ("a", "b"), ("timeout:3",)),
        "": Dns(("10.0.0.54",), "here"),
    }


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("{", "--default_container_dns is malformed: "),
        ('{"mesos": [{}]}', "missing required field `dns`"),
        (
            '{"mesos": [{"network_mode": "X", "dns": {}}]}',
            "--default_container_dns: unknown network_mode 'X'",
        ),
        (
            '{"mesos": [{"dns": {}}, {"dns": {}}]}',
            "--default_container_dns names network '' twice",
        ),
        (
            '{"mesos": [{"dns": {"nameservers": ["x"]}}]}',
            "--default_container_dns: 'x' is no address",
        ),
    ],
)
def test_malformed_resolvers_are_refused(given: str, text: str) -> None:
    with pytest.raises(Refused) as raised:
        default_dns_of(given)
    assert text in raised.value.text
