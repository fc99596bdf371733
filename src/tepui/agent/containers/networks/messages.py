"""Networks in Mesos's messages, and the rules for what a task may ask of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from tepui.agent.containers.networks.spec import Attached, Dns, NetworkAsked
from tepui.base.errors import Refused
from tepui.resources import Ranges
from tepui.wire import mesos

PORT_MAX = 65_535
PROTOCOLS = ("tcp", "udp")
PORT_MAPPINGS_MAX = 1_000  # of one container


def asked_of(infos: Sequence[mesos.NetworkInfo]) -> tuple[NetworkAsked, ...]:
    """The networks that are asked for; infos without a name are the host's, and skipped as in Mesos."""
    return tuple(_asked(info, info.name) for info in infos if info.name is not None)


def _asked(info: mesos.NetworkInfo, name: str) -> NetworkAsked:
    labels = () if info.labels is None else info.labels.labels
    return NetworkAsked(
        name=name,
        port_mappings=tuple(
            (one.host_port, one.container_port, (one.protocol or "tcp").lower())
            for one in info.port_mappings
        ),
        labels={one.key: one.value or "" for one in labels},
        groups=info.groups,
        ip_addresses=tuple(
            one.ip_address for one in info.ip_addresses if one.ip_address is not None
        ),
    )


def wished_info(asked: NetworkAsked) -> mesos.NetworkInfo:
    """What a container asks for, as plugins are told."""
    return _info(asked, asked.ip_addresses)


def network_info_of(attached: Attached) -> mesos.NetworkInfo:
    """What status updates tell of it: what was asked for, with the addresses that it has."""
    return _info(attached.asked, attached.addresses)


def _info(asked: NetworkAsked, addresses: Sequence[str]) -> mesos.NetworkInfo:
    labels = tuple(mesos.Label(key=key, value=value) for key, value in asked.labels.items())
    return mesos.NetworkInfo(
        name=asked.name,
        ip_addresses=tuple(ip_address_of(one) for one in addresses),
        groups=asked.groups,
        labels=mesos.Labels(labels=labels) if labels else None,
        port_mappings=tuple(
            mesos.NetworkInfo.PortMapping(host_port=host, container_port=inner, protocol=protocol)
            for host, inner, protocol in asked.port_mappings
        ),
    )


def ip_address_of(address: str) -> mesos.NetworkInfo.IPAddress:
    """An address as the API has it."""
    protocol = mesos.NetworkInfo.Protocol
    return mesos.NetworkInfo.IPAddress(
        protocol=protocol.IPv6 if ":" in address else protocol.IPv4, ip_address=address
    )


def port_mapping_error(asked: Sequence[NetworkAsked], ports: Ranges | None) -> str | None:
    """Why these port mappings are refused, given the ports among the task's resources, or None.

    The first two texts are those of Mesos (docker/docker.cpp); its CNI port mapper does not look.
    """
    mappings = [one for network in asked for one in network.port_mappings]
    if not mappings:
        return None
    if ports is None:
        return "Port mappings require port resources"
    if len(mappings) > PORT_MAPPINGS_MAX:
        return f"{len(mappings)} port mappings, and a container may have {PORT_MAPPINGS_MAX}"
    seen: set[tuple[int, str]] = set()
    for host, container, protocol in mappings:
        if host not in ports:
            return f"Port [{host}] not included in resources"
        if not 1 <= container <= PORT_MAX or host > PORT_MAX:
            return f"Port mapping {host}:{container} is not within 1 and {PORT_MAX}"
        if protocol not in PROTOCOLS:
            return f"Protocol '{protocol}' of port mapping {host}:{container} is not 'tcp' or 'udp'"
        if (host, protocol) in seen:
            return f"Port {host}/{protocol} is mapped twice"
        seen.add((host, protocol))
    return None


class _DnsFlag(Struct):
    nameservers: tuple[str, ...] = ()
    domain: str | None = None
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class _MesosDns(Struct):
    dns: _DnsFlag
    network_mode: str = "CNI"
    network_name: str = ""


class _DnsFlags(Struct):
    mesos: tuple[_MesosDns, ...] = ()


def default_dns_of(text: str) -> Mapping[str, Dns]:
    """What `--default_container_dns` says of CNI networks; raises Refused when it is malformed."""
    try:
        given = msgspec.json.decode(text, type=_DnsFlags)
    except msgspec.MsgspecError as error:
        raise Refused(f"--default_container_dns is malformed: {error}") from None
    found: dict[str, Dns] = {}
    for one in given.mesos:
        if one.network_mode != "CNI":
            raise Refused(f"--default_container_dns: unknown network_mode '{one.network_mode}'")
        if one.network_name in found:
            raise Refused(f"--default_container_dns names network '{one.network_name}' twice")
        for server in one.dns.nameservers:
            _refuse_no_address(server)
        found[one.network_name] = Dns(
            one.dns.nameservers, one.dns.domain, one.dns.search, one.dns.options
        )
    return found


def _refuse_no_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise Refused(f"--default_container_dns: '{text}' is no address") from None
