"""The network that is there when nobody has configured any: a bridge with private addresses.

`wiring.py` connects containers to it, `rules.py` has the firewall's part.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import shutil
import socket
import struct

from tepui.agent.containers.networks.definitions import Network
from tepui.agent.containers.networks.plugin import system_path
from tepui.agent.containers.networks.spec import BRIDGE_NETWORK, NO_BRIDGE, NetworkSettings
from tepui.agent.containers.networks.wiring import Bridge
from tepui.base.errors import Refused

# Tried in this order: 4,000 addresses each, outside what Docker and podman begin with.
SUBNETS = ("172.29.192.0/20", "10.213.96.0/20", "192.168.224.0/20", "100.96.64.0/20")
PREFIX_MAX = 29  # a smaller network has no room for a gateway and a few containers
PROGRAMS = ("iptables", "iptables-restore")
MTU = 1500  # of a bridge, unless the way out takes less
# It has no plugins; its answers are those of CNI 1.0.0.
NETWORK = Network(BRIDGE_NETWORK, "1.0.0", (), "built in", is_bridge=True)

# Of <linux/sockios.h>; an answer is a name of 16 bytes, and then a sockaddr_in or a number.
SIOCGIFADDR = 0x8915
SIOCGIFNETMASK = 0x891B
SIOCGIFMTU = 0x8921
IFREQ_BYTES = 40
# Of the thread: agents in tests stand in namespaces of their own.
ROUTES = "/proc/thread-self/net/route"


def refusal(settings: NetworkSettings) -> str | None:
    """Why there can be no such network on this machine, or None."""
    if settings.bridge_subnet == NO_BRIDGE:
        return f"--network_bridge_subnet is '{NO_BRIDGE}'"
    if os.geteuid() != 0:
        return "the agent does not run as root"
    for name in PROGRAMS:
        if shutil.which(name, path=system_path()) is None:
            return f"it needs the program '{name}'"
    return None


def checked_subnet(text: str) -> ipaddress.IPv4Network:
    """The subnet that an operator names; raises Refused."""
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise Refused(f"--network_bridge_subnet '{text}': {error}") from None
    if subnet.prefixlen > PREFIX_MAX:
        raise Refused(f"--network_bridge_subnet '{text}': its prefix is longer than {PREFIX_MAX}")
    return subnet


def subnet_of(settings: NetworkSettings) -> ipaddress.IPv4Network | None:
    """The bridge's subnet: as set, as the bridge has it already, or one that no route leads to; None: all are used."""
    if settings.bridge_subnet is not None:
        return checked_subnet(settings.bridge_subnet)
    return subnet_of_interface(settings.bridge) or free_subnet(_routes())


def free_subnet(table: str) -> ipaddress.IPv4Network | None:
    """The first of SUBNETS that overlaps with no route of /proc/net/route."""
    used = [network for network, _ in _parsed_routes(table) if network.prefixlen]
    for text in SUBNETS:
        subnet = ipaddress.IPv4Network(text)
        if not any(subnet.overlaps(one) for one in used):
            return subnet
    return None


def bridge_of(settings: NetworkSettings, subnet: ipaddress.IPv4Network) -> Bridge:
    """The bridge as it shall be."""
    mtu = min(MTU, _mtu_of_way_out(_routes()))
    return Bridge(settings.bridge, str(subnet), mtu, settings.addresses_directory)


def subnet_of_interface(name: str) -> ipaddress.IPv4Network | None:
    """The subnet of an interface's first address, when it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        address, mask = (_ioctl(asking, request, name) for request in (SIOCGIFADDR, SIOCGIFNETMASK))
    if address is None or mask is None:
        return None
    text = f"{socket.inet_ntoa(address[20:24])}/{socket.inet_ntoa(mask[20:24])}"
    return ipaddress.IPv4Network(text, strict=False)


def _mtu_of_way_out(table: str) -> int:
    """Of the interface that the default route leads to."""
    for network, interface in _parsed_routes(table):
        if network.prefixlen == 0:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                found = _ioctl(asking, SIOCGIFMTU, interface)
            return MTU if found is None else int(struct.unpack_from("=i", found, 16)[0])
    return MTU


def _ioctl(asking: socket.socket, request: int, interface: str) -> bytes | None:
    try:
        return fcntl.ioctl(asking, request, os.fsencode(interface).ljust(IFREQ_BYTES, b"\0"))
    except OSError:
        return None  # no such interface, or it has no address


def _routes() -> str:
    try:
        with open(ROUTES, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _parsed_routes(table: str) -> list[tuple[ipaddress.IPv4Network, str]]:
    """Networks and interfaces. The numbers are hexadecimal, in the machine's order of bytes."""
    found: list[tuple[ipaddress.IPv4Network, str]] = []
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) >= 8:
            address, mask = (struct.pack("=I", int(words[at], 16)) for at in (1, 7))
            text = f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}"
            found.append((ipaddress.IPv4Network(text, strict=False), words[0]))
    return found
