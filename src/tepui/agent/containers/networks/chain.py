"""What the plugins of a network are given, and what their answers mean (CNI specification, SPEC.md sections 4 and 5)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tepui.agent.containers.networks.definitions import MESOS_ARGS, Json, Network, capabilities_of
from tepui.agent.containers.networks.messages import wished_info
from tepui.agent.containers.networks.spec import Attached, Dns, NetworkAsked
from tepui.base.errors import HostError
from tepui.wire import json

# From this version on a plugin is told the result when its work is undone (as libcni does).
TOLD_AT_DEL = ("0.4.0", "1.0.0")


class _Address(Struct):
    address: str
    gateway: str | None = None
    interface: int | None = None


class _OldAddress(Struct):
    ip: str
    gateway: str | None = None


class _Interface(Struct):
    name: str
    sandbox: str | None = None


class _Dns(Struct):
    nameservers: tuple[str, ...] | None = None
    domain: str | None = None
    search: tuple[str, ...] | None = None
    options: tuple[str, ...] | None = None


class _Result(Struct):
    """`ips` from version 0.3.0 on, `ip4` and `ip6` before."""

    ips: tuple[_Address, ...] | None = None
    interfaces: tuple[_Interface, ...] | None = None
    ip4: _OldAddress | None = None
    ip6: _OldAddress | None = None
    dns: _Dns | None = None


def configurations(network: Network, asked: NetworkAsked) -> tuple[Json, ...]:
    """What each plugin of the network is given for this container, but for results."""
    return tuple(_configuration(network, plugin, asked) for plugin in network.plugins)


def _configuration(network: Network, plugin: Json, asked: NetworkAsked) -> Json:
    config = {key: value for key, value in plugin.items() if key != "capabilities"}
    given = config.get("args")
    info: object = msgspec.json.decode(json.encode(wished_info(asked)))
    args: Json = dict(given) if isinstance(given, dict) else {}
    config |= {
        "name": network.name,
        "cniVersion": network.version,
        "args": args | {MESOS_ARGS: {"network_info": info}},
    }
    runtime = _runtime_config(capabilities_of(plugin), asked)
    if runtime:
        config["runtimeConfig"] = runtime
    return config


def _runtime_config(capabilities: frozenset[str], asked: NetworkAsked) -> Json:
    config: Json = {}
    if "portMappings" in capabilities and asked.port_mappings:
        config["portMappings"] = [
            {"hostPort": host, "containerPort": container, "protocol": protocol}
            for host, container, protocol in asked.port_mappings
        ]
    if "ips" in capabilities and asked.ip_addresses:
        config["ips"] = list(asked.ip_addresses)
    return config


def with_result(config: Json, result: Json | None) -> Json:
    """The configuration after the plugins before it in the chain have answered."""
    return config if result is None else config | {"prevResult": result}


def answer(network: str, kind: str, text: bytes) -> Json:
    """The plugin's result. Raises HostError when it is none."""
    try:
        whole: object = msgspec.json.decode(text)
        msgspec.convert(whole, _Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(network, kind, str(error)) from None
    if not isinstance(whole, dict):
        raise _malformed(network, kind, "it is no object")
    return {str(key): value for key, value in whole.items()}


def attached(name: str, interface: str, asked: NetworkAsked, result: Json) -> Attached:
    """What the last plugin's result comes to. Raises HostError for what is no address."""
    found = msgspec.convert(result, _Result)
    addresses = _addresses(found)
    dns = found.dns or _Dns()
    try:
        plain = tuple(str(ipaddress.ip_interface(one.ip).ip) for one in addresses)
    except ValueError as error:
        raise _malformed(name, "the last", str(error)) from None
    return Attached(
        name=name,
        interface=interface,
        addresses=plain,
        gateway=next((one.gateway for one in addresses if one.gateway), None),
        dns=Dns(dns.nameservers or (), dns.domain or None, dns.search or (), dns.options or ()),
        asked=asked,
    )


def _addresses(result: _Result) -> Sequence[_OldAddress]:
    """Those of the container: a result may list interfaces of the host, too."""
    if result.ips is None:
        return [one for one in (result.ip4, result.ip6) if one is not None]
    interfaces = result.interfaces or ()
    return [
        _OldAddress(one.address, one.gateway)
        for one in result.ips
        if one.interface is None
        or not 0 <= one.interface < len(interfaces)
        or interfaces[one.interface].sandbox
    ]


def _malformed(network: str, kind: str, why: str) -> HostError:
    plugin = f"plugin '{kind}'"
    return HostError(f"ADD by {plugin} for", f"network '{network}'", f"malformed result: {why}")
