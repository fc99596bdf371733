"""Real ZooKeeper servers on the loopback interface, one or an ensemble of three.

    with ZooKeeper(tmp_path, servers=3) as ensemble:
        ... ensemble.url("/mesos"), ensemble.servers[0].kill(), .start(), .freeze(), .thaw() ...

    python -m tests.real.zookeeper     # says whether that is possible here

They come out of Debian's package `zookeeper`, need a Java runtime, and keep what they have below the
directory given. `TEPUI_ZOOKEEPER_JAR` names another zookeeper.jar, whose manifest must lead to the
jars that it needs. Sessions may last as briefly as two ticks, so that tests need not wait.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import pytest

from tests.real.ports import free_ports

OWN_CHOICE = "TEPUI_ZOOKEEPER_JAR"
JAR = "/usr/share/java/zookeeper.jar"
LOGS_JAR = "slf4j-simple.jar"  # beside it, perhaps: then there are logs
HOST = "127.0.0.1"
TICK_MS = 200
INIT_MS = 10_000  # for a new leader to have followers
READY_S = 60.0
POLL_S = 0.02
LOG_BYTES = 4000


class Unavailable(Exception):
    """There is no ZooKeeper here; the text says why in one sentence."""


def command() -> list[str]:
    """What starts a server, but for its configuration. Raises Unavailable."""
    java = shutil.which("java")
    if java is None:
        raise Unavailable("ZooKeeper needs a Java runtime, and there is no 'java' on PATH")
    jar = Path(os.environ.get(OWN_CHOICE, JAR))
    if not jar.is_file():
        raise Unavailable(f"there is no ZooKeeper: '{jar}' is missing, {OWN_CHOICE} may name it")
    return [
        java,
        "-Xmx128m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # it lives for seconds
        "-Xshare:auto",
        "-Dzookeeper.admin.enableServer=false",
        "-Dzookeeper.4lw.commands.whitelist=srvr",
        "-Djava.net.preferIPv4Stack=true",
        "-Dzookeeper.forceSync=no",  # who is killed loses nothing that was written
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        "-cp",
        f"{jar}:{jar.with_name(LOGS_JAR)}",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    ]


class Server:
    """One server, which can be ended and started again with what it has on its disk."""

    def __init__(
        self,
        directory: Path,
        number: int,
        ports: list[tuple[int, int, int]],
        reached: Mapping[int, int] | None = None,
        tick_ms: int = TICK_MS,
    ) -> None:
        """`reached` says at which ports this one finds the quorum ports of others, by number."""
        self.number = number
        self.port, self.quorum_port, _ = ports[number - 1]
        self.process: subprocess.Popen[bytes] | None = None
        self.log = directory / "log"
        self._configuration = directory.resolve() / "zoo.cfg"
        data = directory / "data"
        data.mkdir(parents=True)
        (data / "myid").write_text(f"{number}\n")
        lines = [
            f"tickTime={tick_ms}",
            f"initLimit={INIT_MS // tick_ms}",
            "syncLimit=10",
            f"dataDir={data}",
            f"clientPort={self.port}",
            f"clientPortAddress={HOST}",
            "maxClientCnxns=0",
            f"minSessionTimeout={2 * tick_ms}",
            "maxSessionTimeout=60000",
        ]
        if len(ports) > 1:
            found = {**(reached or {}), number: self.quorum_port}
            lines += [
                f"server.{one}={HOST}:{found.get(one, quorum)}:{election}"
                for one, (_, quorum, election) in enumerate(ports, 1)
            ]
        self._configuration.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it, at first or again; it is not waited for."""
        assert self.process is None
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command(), str(self._configuration)],
                cwd=self._configuration.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def kill(self) -> None:
        """It has died, as by kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """It does nothing until `thaw`; its connections stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def mode(self) -> str | None:
        """standalone, leader or follower; None while it serves nobody."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as connection:
                connection.sendall(b"srvr")
                answer = b""
                while chunk := connection.recv(65_536):
                    answer += chunk
        except OSError:
            return None
        for line in answer.decode().splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return None


class ZooKeeper:
    """One server, or an ensemble of three.

    With `reached` they find each other's quorum ports there, by number: at proxies.
    """

    def __init__(
        self,
        directory: Path,
        servers: int = 1,
        reached: Mapping[int, int] | None = None,
        tick_ms: int = TICK_MS,
    ) -> None:
        command()
        ports = free_ports(3 * servers)
        of_each = [(ports[3 * i], ports[3 * i + 1], ports[3 * i + 2]) for i in range(servers)]
        self.servers = [
            Server(directory / f"zookeeper{number}", number, of_each, reached, tick_ms)
            for number in range(1, servers + 1)
        ]

    def __enter__(self) -> ZooKeeper:
        try:
            for server in self.servers:
                server.start()
            self.await_ready()
        except BaseException:
            self._end(show=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(show=kind is not None)

    def _end(self, *, show: bool) -> None:
        for server in self.servers:
            server.kill()
            if show:
                with contextlib.suppress(OSError):
                    print(f"--- {server.log}", server.log.read_text()[-LOG_BYTES:], file=sys.stderr)

    def await_ready(self) -> None:
        """All servers that run serve clients. Fails after READY_S."""
        until = time.monotonic() + READY_S
        for server in self.servers:
            while server.process is not None and server.mode() is None:
                assert server.process.poll() is None, f"server {server.number} has ended"
                assert time.monotonic() < until, f"server {server.number} serves nobody"
                threading.Event().wait(POLL_S)

    def leader(self) -> Server:
        """The server that leads the others."""
        return next(server for server in self.servers if server.mode() in ("leader", "standalone"))

    def url(self, path: str = "/", credentials: str | None = None) -> str:
        """The URL of `path`, of all servers."""
        hosts = ",".join(f"{HOST}:{server.port}" for server in self.servers)
        return f"zk://{'' if credentials is None else credentials + '@'}{hosts}{path}"


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """One server for all tests of a module; skips where there is none."""
    with available(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture
def zk_url(one_server: ZooKeeper) -> str:
    """The URL of a path that nothing was written to."""
    return one_server.url(f"/tepui/{uuid.uuid4()}")


def available(directory: Path, servers: int = 1) -> ZooKeeper:
    """Servers that are started when they are entered; the test is skipped where there are none."""
    try:
        return ZooKeeper(directory, servers)
    except Unavailable as reason:
        pytest.skip(str(reason))


if __name__ == "__main__":
    try:
        print(" ".join(command()))
    except Unavailable as reason:
        sys.exit(str(reason))
