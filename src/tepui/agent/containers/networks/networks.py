"""The networks of this machine, and the containers that are on them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tepui.agent.containers.networks import bridge, files
from tepui.agent.containers.networks.attaching import Attaching
from tepui.agent.containers.networks.definitions import NAME, Directory, Network
from tepui.agent.containers.networks.journal import Journal
from tepui.agent.containers.networks.rules import Rules, chains_of
from tepui.agent.containers.networks.spec import (
    BRIDGE_NETWORK,
    NO_BRIDGE,
    PLUGIN_DIRECTORIES,
    Attached,
    NetworkAsked,
    NetworkSettings,
)
from tepui.agent.containers.spec import Mount
from tepui.base.errors import HostError

T = TypeVar("T")

THREADS_MAX = 16  # containers that are attached or detached at the same time; others wait
NETWORKS_MAX = 16  # of one container
# Plugins that are known to map ports only if told so by this capability.
DEAF: Final = frozenset(
    ("bridge", "ptp", "macvlan", "ipvlan", "vlan", "host-device", "bandwidth", "firewall", "tuning")
)

log = logging.getLogger("tepui.agent")


class Networks:
    """Attaches containers to networks, and detaches them.

    `start` comes first: it undoes what containers that are no more have left. A container's namespace exists
    before `attach`, which returns when all its networks are joined, or raises HostError and has undone what it
    did. What may have to be undone is on disk before anything is done: an agent that is killed at any moment
    leaves nothing behind that its successor's `start` does not undo. `detach` is called once the container has
    ended, while its namespace is still there if that can be had; it may be called again, or for containers that
    never were attached, and when it raises HostError the rest is tried again at the next start.
    """

    def __init__(self, settings: NetworkSettings, state_directory: str) -> None:
        """Plugins are run in threads that inherit the network namespace of the loop's."""
        self._settings = settings
        self._state_directory = state_directory
        self._journal = Journal(state_directory)
        self._directories = settings.plugins_directories or tuple(
            path for path in PLUGIN_DIRECTORIES if os.path.isdir(path)
        )
        self._configured = Directory(settings.config_directory, self._directories)
        self._attaching = Attaching(settings, self._directories, self._journal)
        self._no_bridge: str | None = "it was not looked for yet"  # None: there is one
        self._rules: Rules | None = None
        self._threads = ThreadPoolExecutor(THREADS_MAX, "networks")
        self._faults: tuple[str, ...] = ()

    async def start(self, living: Collection[str]) -> None:
        """Nothing is left of containers that are not among the living; those are known again.

        What cannot be undone is logged, and tried again at the next start. Raises Refused for a subnet that
        is none.
        """
        await self._in_thread(self._find_bridge)
        kept = await self._in_thread(self._journal.containers)
        found = await asyncio.gather(
            *(self._in_thread(self._attaching.resume, name, name in living) for name in kept)
        )
        if self._rules is not None and any(found):
            try:
                await self._in_thread(self._rules.write)
            except HostError as error:
                log.warning("network_rules_failed reason=%s", error)
        self._known()

    def names(self) -> tuple[str, ...]:
        """The networks that this machine knows now."""
        return tuple(sorted(self._known()))

    def without_bridge(self) -> str:
        """Why the agent has no network of its own; '' where there is one."""
        return f"there is no '{BRIDGE_NETWORK}': {self._no_bridge}" if self._no_bridge else ""

    def lacks(self, asked: Sequence[NetworkAsked]) -> str | None:
        """Why a container cannot be on these networks, as a sentence; None when it can."""
        if len(asked) > NETWORKS_MAX:
            return f"{len(asked)} networks are asked for, and a container may have {NETWORKS_MAX}"
        known = self._known()
        seen: set[str] = set()
        for one in asked:
            if one.name in seen:
                return f"Attempted to join CNI network '{one.name}' multiple times"
            seen.add(one.name)
            network = known.get(one.name)
            if network is None:
                return self._unknown(one.name, known)
            if one.port_mappings and not _may_map_ports(network):
                return (
                    f"network '{one.name}' maps no ports: none of its plugins in '{network.source}'"
                    " has the capability 'portMappings'"
                )
        return None

    async def attach(
        self,
        container_id: str,
        namespace: str,
        asked: Sequence[NetworkAsked],
    ) -> tuple[Attached, ...]:
        """The container is on these networks, as eth0, eth1 and so on.

        `namespace` is the path of its network namespace. When the caller is cancelled all is undone.
        """
        reason = self.lacks(asked)
        if reason is not None:
            raise HostError("attach", f"container '{container_id}'", reason)
        if NAME.fullmatch(container_id) is None:
            cause = "the id must be letters, digits, '_', '.' and '-' to be on a network"
            raise HostError("attach", f"container '{container_id}'", cause)
        known = self._known()
        planned = [(known[one.name], one) for one in asked]
        try:
            return await self._in_thread(self._attaching.attach, container_id, namespace, planned)
        except asyncio.CancelledError:
            # The thread goes on; this waits for it.
            with contextlib.suppress(RuntimeError):  # closed: the next start undoes it
                self._threads.submit(self._attaching.detach_or_log, container_id)
            raise

    async def detach(self, container_id: str) -> None:
        """The container is on no network. Raises HostError when something could not be undone."""
        if NAME.fullmatch(container_id) is not None:
            await self._in_thread(self._attaching.detach, container_id)

    def attached(self, container_id: str) -> tuple[Attached, ...]:
        """The networks that a container is on, also if an earlier agent attached it."""
        return self._attaching.attached(container_id)

    def files(
        self,
        container_id: str,
        directory: str,
        hostname: str | None,
        attached: Sequence[Attached],
        *,
        host_network: bool,
    ) -> tuple[Mount, ...]:
        """The mounts of /etc/hosts, /etc/hostname and /etc/resolv.conf; what is not the host's is in `directory`.

        Without a `hostname`, a container on networks of its own is called by its id. Raises HostError, also for a
        hostname that is none.
        """
        if host_network:
            return tuple(files.files_of_host_network(directory, hostname))
        name = hostname or container_id.rpartition(".")[2][: files.HOSTNAME_CHARS_MAX]
        dns = self._settings.default_dns
        return tuple(files.files_of_own_network(directory, name, attached, dns))

    async def close(self, *, leaves_containers: bool = True) -> None:
        """Nothing is under way any more. Containers stay attached, or there are none, and no rules for any."""
        if self._rules is not None and not leaves_containers:
            await self._in_thread(self._rules.remove_chains)
        await asyncio.to_thread(self._threads.shutdown)

    # What is known

    def _known(self) -> dict[str, Network]:
        configured = self._configured.read()
        if self._configured.faults != self._faults:
            self._faults = self._configured.faults
            for text in self._faults:
                log.warning("network_configuration text=%s", text)
        if self._no_bridge is not None or BRIDGE_NETWORK in configured:
            return configured
        return configured | {BRIDGE_NETWORK: bridge.NETWORK}

    def _unknown(self, name: str, known: Collection[str]) -> str:
        others = ", ".join(sorted(known)) or "none"
        sentence = f"this agent knows no network '{name}' (it knows: {others})"
        fault = next((text for text in self._faults if f"'{name}'" in text), None)
        if fault is not None:
            return f"{sentence}; {fault}"
        if name == BRIDGE_NETWORK:
            return f"{sentence}; its own one is not there: {self._no_bridge}"
        return sentence

    def _find_bridge(self) -> None:
        if self._settings.bridge_subnet not in (None, NO_BRIDGE):
            bridge.checked_subnet(self._settings.bridge_subnet)
        refusal = bridge.refusal(self._settings)
        if refusal is not None:
            self._no_bridge = refusal
            return
        subnet = bridge.subnet_of(self._settings)
        if subnet is None:
            taken = ", ".join(bridge.SUBNETS)
            self._no_bridge = f"routes lead to {taken} already; set --network_bridge_subnet"
            return
        chains = chains_of(self._state_directory)
        self._rules = Rules(chains, self._settings.bridge, str(subnet))
        self._attaching.use_bridge(bridge.bridge_of(self._settings, subnet), self._rules)
        self._no_bridge = None

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        work = functools.partial(function, *args)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _may_map_ports(network: Network) -> bool:
    if network.is_bridge or network.can("portMappings"):
        return True
    # Others may look into the task's NetworkInfo by themselves, as the port mapper of Mesos does.
    return not DEAF.issuperset(network.types())
