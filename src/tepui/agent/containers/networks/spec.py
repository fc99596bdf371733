"""Networks of containers: what a task asks for, what it gets, and what an operator may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

PortMapping = tuple[int, int, str]
"""Port of the host, port of the container, and 'tcp' or 'udp'."""

BRIDGE_NETWORK: Final = "mesos-bridge"  # the name that Marathon asks for in `container/bridge`
# Where distributions put CNI plugins; those that exist are used when no directory was named.
PLUGIN_DIRECTORIES: Final = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
NO_BRIDGE: Final = "none"  # as the bridge's subnet: there shall be no network of our own


class Dns(Struct, frozen=True):
    """What a resolv.conf says."""

    nameservers: tuple[str, ...] = ()
    domain: str | None = None
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class NetworkAsked(Struct, frozen=True):
    """A network that a container is to join."""

    name: str
    port_mappings: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = {}
    groups: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()  # wished


class Attached(Struct, frozen=True):
    """A network that a container has joined, and the address it has there."""

    name: str
    interface: str  # in the container: eth0, eth1 and so on
    addresses: tuple[str, ...]  # without the length of their prefix
    gateway: str | None = None
    dns: Dns = Dns()
    asked: NetworkAsked = NetworkAsked("")


class NetworkSettings(Struct, frozen=True, kw_only=True):
    """What an operator may set; the defaults make `mesos-bridge` where the machine has what it needs."""

    config_directory: str | None = None  # --network_cni_config_dir
    # --network_cni_plugins_dir, split at ':'; (): those of PLUGIN_DIRECTORIES that exist
    plugins_directories: tuple[str, ...] = ()
    bridge_subnet: str | None = None  # --network_bridge_subnet; None: one that is free; NO_BRIDGE
    default_dns: Mapping[str, Dns] = {}  # --default_container_dns: by network, '' for the others
    bridge: str = "tepui0"
    addresses_directory: str = "/run/tepui/addresses"  # which the bridge has given: until a reboot
    plugin_timeout_s: float = 60.0  # one run of one plugin; then it is killed
