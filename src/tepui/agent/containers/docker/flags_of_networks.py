"""Those flags of `docker run` that are about networks, addresses and ports. Source: `docker run --help`."""

from __future__ import annotations

import re
from typing import Final

from tepui.agent.containers.docker.body import PortBinding
from tepui.agent.containers.docker.draft import Draft
from tepui.agent.containers.docker.values import BadValue, port_range

PORT: Final = re.compile(
    r"(?:(?:(\[[0-9a-fA-F:]+\]|[0-9.]*):)?(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:/(tcp|udp|sctp))?"
)


def publish(draft: Draft, value: str) -> None:
    """Ports of the container are found on the host."""
    found = PORT.fullmatch(value)
    if found is None:
        raise BadValue("is not of the form [[address:]port:]port[/protocol]")
    address, outer, inner = (found[1] or "").strip("[]"), found[2], port_range(found[3])
    hosts = port_range(outer) if outer else None
    if hosts is not None and len(hosts) != len(inner):
        raise BadValue("has ranges of different lengths")
    for index, port in enumerate(inner):
        name = f"{port}/{found[4] or 'tcp'}"
        bound = PortBinding(address, "" if hosts is None else str(hosts[index]))
        draft.body.exposed_ports[name] = {}
        draft.body.host_config.port_bindings.setdefault(name, []).append(bound)


def expose(draft: Draft, value: str) -> None:
    """Ports are known as the container's."""
    ports, _, protocol = value.partition("/")
    if not re.fullmatch(r"\d+(-\d+)?", ports):
        raise BadValue("is not of the form port[-port][/protocol]")
    for port in port_range(ports):
        draft.body.exposed_ports[f"{port}/{protocol or 'tcp'}"] = {}


def network(draft: Draft, value: str) -> None:
    """The container is in that network."""
    draft.body.host_config.network_mode = value


def alias(draft: Draft, value: str) -> None:
    """It has a further name there."""
    draft.endpoint.aliases.append(value)


def ip(draft: Draft, value: str) -> None:
    """It has that address."""
    draft.ipam.ipv4_address = value


def ip6(draft: Draft, value: str) -> None:
    """It has that IPv6 address."""
    draft.ipam.ipv6_address = value


def link_local_ip(draft: Draft, value: str) -> None:
    """It has that link-local address."""
    draft.ipam.link_local_ips.append(value)
