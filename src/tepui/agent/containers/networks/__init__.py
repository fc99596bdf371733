"""Networks of containers: CNI plugins, a bridge of our own, what containers find in /etc, and ways in."""

from tepui.agent.containers.networks.bridge import checked_subnet
from tepui.agent.containers.networks.forward import connect, forward
from tepui.agent.containers.networks.messages import (
    asked_of,
    default_dns_of,
    network_info_of,
    port_mapping_error,
)
from tepui.agent.containers.networks.networks import Networks
from tepui.agent.containers.networks.spec import (
    BRIDGE_NETWORK,
    NO_BRIDGE,
    Attached,
    Dns,
    NetworkAsked,
    NetworkSettings,
    PortMapping,
)

__all__ = [
    "BRIDGE_NETWORK",
    "NO_BRIDGE",
    "Attached",
    "Dns",
    "NetworkAsked",
    "NetworkSettings",
    "Networks",
    "PortMapping",
    "asked_of",
    "checked_subnet",
    "connect",
    "default_dns_of",
    "forward",
    "network_info_of",
    "port_mapping_error",
]
