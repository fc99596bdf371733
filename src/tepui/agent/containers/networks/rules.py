"""The firewall's rules of the built-in bridge: forwarding, masquerading and port mappings.

They are chains of ours, written as a whole from what is attached, so that none can be left behind. CNI's own
plugins take 60 ms (firewall) and 110 ms (portmap) a container, and where FORWARD drops, as with Docker on the
host, they let no new connection from outside reach a mapped port.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tepui.agent.containers.networks.plugin import system_path
from tepui.base.errors import HostError

# How long rules are taken to be there still: a firewall that is reloaded takes them away.
CHECK_EVERY_S: Final = 30.0
LOCK_WAIT_S: Final = "10"  # for others who change rules
TIMEOUT_S: Final = 30.0
ROUTE_LOCALNET: Final = "/proc/sys/net/ipv4/conf/{}/route_localnet"  # of the caller's namespace


class PortRule(Struct, frozen=True):
    """What arrives at a port of the host goes to a container."""

    container_id: str
    protocol: str
    host_port: int
    address: str
    container_port: int


class Chains(Struct, frozen=True):
    """The names of one agent's chains: several agents may share a machine, and the bridge."""

    input: str
    forward: str
    ports: str
    masquerade: str

    def jumps(self) -> tuple[tuple[str, ...], ...]:
        """Table, chain and match of what leads to ours."""
        local = ("-m", "addrtype", "--dst-type", "LOCAL", "-j", self.ports)
        return (
            ("filter", "INPUT", "-j", self.input),
            ("filter", "FORWARD", "-j", self.forward),
            ("nat", "PREROUTING", *local),
            ("nat", "OUTPUT", *local),
            ("nat", "POSTROUTING", "-j", self.masquerade),
        )


def chains_of(directory: str) -> Chains:
    """The chains of the agent that keeps its state there."""
    digest = hashlib.sha1(os.fsencode(os.path.realpath(directory))).hexdigest()[:8]
    kinds = ("INPUT", "FORWARD", "PORTS", "MASQ")
    return Chains(*(f"TEPUI-{kind}-{digest}" for kind in kinds))


def whole(chains: Chains, bridge: str, subnet: str, ports: Iterable[PortRule]) -> str:
    """All rules, for iptables-restore: what the chains held before is gone."""
    forward, masquerade = f"-A {chains.forward}", f"-A {chains.masquerade}"
    return "\n".join(
        (
            "*filter",
            f":{chains.input} - [0:0]",
            # With route_localnet containers could reach what listens at 127.0.0.1 of the host.
            f"-A {chains.input} -i {bridge} -d 127.0.0.0/8"
            " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
            f":{chains.forward} - [0:0]",
            f"{forward} -i {bridge} -j ACCEPT",
            # DNAT is the state of a new connection to a mapped port.
            f"{forward} -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
            "COMMIT",
            "*nat",
            f":{chains.ports} - [0:0]",
            *(_port_line(chains, rule) for rule in ports),
            f":{chains.masquerade} - [0:0]",
            f"{masquerade} -s {subnet} ! -o {bridge} -j MASQUERADE",
            # From the host by 127.0.0.1, and among containers by the host's ports: answers must come back here.
            f"{masquerade} -s 127.0.0.0/8 -o {bridge} -j MASQUERADE",
            f"{masquerade} -s {subnet} -o {bridge} -m conntrack --ctstate DNAT -j MASQUERADE",
            "COMMIT",
            "",
        )
    )


def added(chains: Chains, ports: Iterable[PortRule]) -> str:
    """Further port mappings, for iptables-restore."""
    return "\n".join(("*nat", *(_port_line(chains, rule) for rule in ports), "COMMIT", ""))


def _port_line(chains: Chains, rule: PortRule) -> str:
    return (
        f"-A {chains.ports} -p {rule.protocol} -m {rule.protocol} --dport {rule.host_port}"
        f" -m comment --comment {rule.container_id}"
        f" -j DNAT --to-destination {rule.address}:{rule.container_port}"
    )


Execute = Callable[[Sequence[str], str], None]
"""Runs a program with that input; raises HostError when it fails."""


class Rules:
    """The chains as they must be for what is attached. Blocking: called in threads."""

    def __init__(
        self,
        chains: Chains,
        bridge: str,
        subnet: str,
        execute: Execute | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chains = chains
        self._bridge = bridge
        self._subnet = subnet
        self._execute = execute or _execute
        self._now_s = now_s
        self._ports: dict[str, tuple[PortRule, ...]] = {}
        self._lock = threading.Lock()
        self._checked_s: float | None = None
        self._is_stale = False  # writing has failed

    def expect(self, ports: Mapping[str, tuple[PortRule, ...]]) -> None:
        """Containers are attached already; their rules are written with the next change."""
        with self._lock:
            self._ports |= {name: rules for name, rules in ports.items() if rules}
            self._checked_s = None

    def add(self, container_id: str, ports: tuple[PortRule, ...]) -> None:
        """The container's ports are mapped, and whatever else the bridge needs is there."""
        with self._lock:
            if ports:
                self._ports[container_id] = ports
            checked_s = self._checked_s
            if checked_s is None or self._now_s() - checked_s > CHECK_EVERY_S:
                self._write_all()
            elif ports:
                try:
                    self._restore(added(self._chains, ports))
                except HostError:
                    self._write_all()

    def remove(self, container_id: str) -> None:
        """Nothing is mapped to the container."""
        with self._lock:
            if self._ports.pop(container_id, None) is not None or self._is_stale:
                self._write_all()

    def write(self) -> None:
        """All rules are as expected."""
        with self._lock:
            self._write_all()

    def remove_chains(self) -> None:
        """Nothing of this agent is in the firewall: it has ended for good."""
        chains = self._chains
        own = (
            ("filter", chains.input),
            ("filter", chains.forward),
            ("nat", chains.ports),
            ("nat", chains.masquerade),
        )
        commands = [("-t", table, "-D", chain, *match) for table, chain, *match in chains.jumps()]
        commands += [
            ("-t", table, change, chain) for table, chain in own for change in ("-F", "-X")
        ]
        with self._lock:
            self._checked_s = None
            for command in commands:
                with contextlib.suppress(HostError):  # it is not there
                    self._execute(["iptables", "-w", LOCK_WAIT_S, *command], "")

    def _write_all(self) -> None:
        self._checked_s, self._is_stale = None, True
        ports = [rule for rules in self._ports.values() for rule in rules]
        self._restore(whole(self._chains, self._bridge, self._subnet, ports))
        for table, chain, *match in self._chains.jumps():
            command = ["iptables", "-w", LOCK_WAIT_S, "-t", table]
            try:
                self._execute([*command, "-C", chain, *match], "")
            except HostError:
                self._execute([*command, "-I", chain, *match], "")
        self._route_localnet()
        self._checked_s, self._is_stale = self._now_s(), False

    def _route_localnet(self) -> None:
        """Connections to 127.0.0.1 of the host may leave by the bridge."""
        path = ROUTE_LOCALNET.format(self._bridge)
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write("1")
        except FileNotFoundError:
            pass  # there is no bridge before its first container
        except OSError as error:
            raise HostError("write", f"'{path}'", str(error)) from None

    def _restore(self, text: str) -> None:
        self._execute(["iptables-restore", "-w", LOCK_WAIT_S, "--noflush"], text)


def _execute(argv: Sequence[str], given: str) -> None:
    operation, subject = "change the firewall by", f"'{' '.join(argv)}'"
    program = shutil.which(argv[0], path=system_path())
    if program is None:
        raise HostError(operation, subject, "there is no such program")
    try:
        ended = subprocess.run(
            [program, *argv[1:]],
            input=given.encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
            env={"PATH": system_path()},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(operation, subject, str(error)) from None
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip()
        raise HostError(operation, subject, said or f"exited with status {ended.returncode}")
