"""The processes of a run: masters, agents, ZooKeeper's servers and two frameworks."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.real.chaos import work
from tests.real.chaos.network import Network
from tests.real.cluster import HOST, KILLED_S, PROJECT, Cluster, Daemon
from tests.real.ports import free_ports
from tests.real.zookeeper import Server, ZooKeeper

MASTERS = 3
AGENTS = 5
SERVERS = 3  # of ZooKeeper
TICK_MS = 500  # of theirs; who is silent for ten of them is given up by the others
MASTER_FLAGS = (
    "--zk_session_timeout=3secs",
    "--agent_ping_timeout=1secs",
    "--max_agent_ping_timeouts=3",
    "--agent_reregister_timeout=20secs",  # who is away longer than that is unreachable
    "--offer_timeout=5secs",  # a scheduler that was killed answers none
)
# A follower that was refused tries again; one that was accepted and cut off elects anew, and then
# the leader waits for followers in vain.
PATIENCE_S = 3.0
LEADER_ANSWER_S = 1.0
PATH = "/mesos"


class Framework:
    """A scheduler's process; it ends by itself when it is told to drain and has."""

    def __init__(self, name: str, command: Sequence[str], directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.ledger = directory / name
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._command = (
            *("env", f"PYTHONPATH={PROJECT / 'src'}:{PROJECT}", *command),
            *("--ledger", str(self.ledger)),
        )

    def start(self) -> None:
        """Start it, at first or again."""
        self.starts += 1
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def kill(self) -> None:
        """It has died, as by kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(KILLED_S)
            self.process = None

    def drain(self) -> None:
        """Have it submit no more, and end when all of its tasks have."""
        (self.ledger / work.DRAIN).touch()


class Fleet(Cluster):
    """All of them. Every connection to a master or to ZooKeeper goes through the network."""

    def __init__(self, directory: Path, network: Network, longest_s: float) -> None:
        self.root = directory.resolve()
        self.notes = self.root / "tasks"
        self.notes.mkdir(parents=True)
        self._network = network
        self._longest_s = longest_s
        self._advertised: list[tuple[int, int]] = []  # of each master: its port, and its proxy's
        self.zookeeper: ZooKeeper
        self.frameworks: list[Framework] = []
        self.paused: set[str] = set()

    async def prepare(self, pymesos: str, seed: int) -> None:
        """The proxies are there, and it is known what is to be started."""
        quorum = {
            number: await self._network.proxy(
                f"zookeeper-{number}", partial(self._quorum_port, number), PATIENCE_S
            )
            for number in range(1, SERVERS + 1)
        }
        self.zookeeper = ZooKeeper(self.root / "zookeeper", SERVERS, quorum, TICK_MS)
        clients = [
            await self._network.proxy(f"zookeeper-{server.number}", partial(int, server.port))
            for server in self.zookeeper.servers
        ]
        zk = f"zk://{','.join(f'{HOST}:{port}' for port in clients)}{PATH}"
        super().__init__(
            self.root / "cluster",
            agents=AGENTS,
            masters=MASTERS,
            zk=zk,
            master_flags=MASTER_FLAGS,
        )
        for number, port in enumerate(free_ports(MASTERS), 1):
            name = "master" if number == 1 else f"master-{number}"
            proxy = await self._network.proxy(name, partial(int, port))
            self._advertised.append((port, proxy))
        masters = ",".join(f"{HOST}:{proxy}" for _, proxy in self._advertised)
        for name, python, where in (("pymesos", pymesos, zk), ("sdk", sys.executable, masters)):
            command = (
                *(python, "-m", f"tests.real.chaos.{name}_framework", "--master", where),
                *("--notes", str(self.notes), "--seed", str(seed)),
                *("--longest-s", str(self._longest_s)),
            )
            self.frameworks.append(Framework(name, command, self.root / "frameworks"))

    def pids(self) -> dict[str, int]:
        """Which process has which name now."""
        return dict(self._named())

    def leader(self) -> Daemon | None:
        """The master that leads, as far as one that runs says so at once."""
        for master, (port, proxy) in zip(self.masters, self._advertised, strict=False):
            if (
                master.running
                and master.name not in self.paused
                and _redirect(port) == f"//{HOST}:{proxy}"
            ):
                return master
        return None

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send it, if the process is there."""
        pid = self.pids().get(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def pause(self, name: str) -> None:
        """It does nothing, and its connections stay."""
        self.paused.add(name)
        self.signal(name, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """After a pause."""
        self.signal(name, signal.SIGCONT)
        self.paused.discard(name)

    def daemon(self, name: str) -> Daemon | None:
        """The master or agent of this name."""
        return next((one for one in self._daemons() if one.name == name), None)

    def server(self, name: str) -> Server | None:
        """ZooKeeper's server of this name."""
        found = (one for one in self.zookeeper.servers if f"zookeeper-{one.number}" == name)
        return next(found, None)

    def framework(self, name: str) -> Framework | None:
        """The framework of this name."""
        return next((one for one in self.frameworks if one.name == name), None)

    def zookeeper_serves(self) -> bool:
        """All of its servers do."""
        return all(server.mode() is not None for server in self.zookeeper.servers)

    def await_zookeeper(self, deadline_s: float) -> bool:
        """Whether all of its servers serve in time."""
        until_s = time.monotonic() + deadline_s
        while not self.zookeeper_serves():
            if time.monotonic() > until_s:
                return False
            time.sleep(0.1)
        return True

    def used(self) -> dict[str, float]:
        """The cpus that are in use on each agent, as the leader says, by id."""
        leader = self.leader()
        if leader is None:
            return {}
        found = self.get("/slaves", leader.address)
        assert isinstance(found, dict)
        return {agent["id"]: agent["used_resources"]["cpus"] for agent in found["slaves"]}

    def _quorum_port(self, number: int) -> int:
        return self.zookeeper.servers[number - 1].quorum_port

    def _start_all(self) -> None:
        for port, proxy in self._advertised:
            own = (f"--zk={self._zk}", f"--advertise_ip={HOST}", f"--advertise_port={proxy}")
            self._start_master(port, *own)
        for _ in range(self._count):
            self.start_agent()
        self.wait_for_agents(self._count)

    def _named(self) -> Iterator[tuple[str, int]]:
        for daemon in self._daemons():
            yield daemon.name, daemon.process.pid
        for server in self.zookeeper.servers:
            if server.process is not None:
                yield f"zookeeper-{server.number}", server.process.pid
        for framework in self.frameworks:
            if framework.process is not None:
                yield framework.name, framework.process.pid


def _redirect(port: int) -> str | None:
    """Where a master says the leader is."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(HOST, port, timeout=LEADER_ANSWER_S)
        with contextlib.closing(connection):
            connection.request("GET", "/redirect")
            return connection.getresponse().getheader("Location")
    return None
