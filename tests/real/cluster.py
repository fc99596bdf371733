"""A master and agents as real processes on the loopback interface, for one test or one module.

    with Cluster(tmp_path, agents=2) as cluster:
        ... cluster.master_address, cluster.agents[0].address, cluster.get("/slaves") ...

Everything lies in the directory given: work directories and logs. A daemon can be ended and started
again (`cluster.agents[0].kill()`, `.start()`). On leaving, the daemons are asked to end, agents first,
and nothing of the cluster may then be left: neither a daemon nor a launcher nor a task. When anything
fails, the ends of the logs are printed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psutil

from tests.real.ports import free_ports

PROJECT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
RESOURCES = "cpus:4;mem:4096;disk:10240;ports:[31000-32000]"
READY_S = 60.0  # for daemons to answer and agents to register
END_S = 30.0  # for a daemon that was asked to end; tasks have a grace period of 5 s
KILLED_S = 10.0  # for a killed process to be gone
ANSWER_S = 30.0  # for one HTTP answer
POLL_S = 0.02
LAUNCHER = "agent/launcher/__main__.py"
LOG_BYTES = 4000  # of each log when something failed
TEPUI = ("-m", "tepui.cli.main")


class Daemon:
    """One process of the cluster, which can be ended and started again."""

    def __init__(
        self,
        name: str,
        address: str,
        arguments: Sequence[str],
        log: Path,
        program: Sequence[str] = TEPUI,
    ) -> None:
        self.name = name
        self.address = address  # host:port
        self.log = log
        self.killed = False  # at least once, so that something may have outlived it
        self.program = tuple(program)  # what Python is to run, when it is started next
        self._arguments = tuple(arguments)
        self.start()

    def start(self, *flags: str) -> None:
        """Start it, at first or again, with further flags; it is not waited for."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("TEPUI_", "MESOS_", "LIBPROCESS_"))
        }
        environment["PYTHONPATH"] = str(PROJECT / "src")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                (sys.executable, *self.program, *self._arguments, *flags),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                process_group=0,  # a Ctrl-C ends the test, which then ends this one
            )
        self.wanted = True  # the test has not ended it

    def run_once(self, *flags: str) -> int:
        """Start it with flags that make it end by itself; return its exit code."""
        self.start(*flags)
        self.wanted = False
        return self.process.wait(END_S)

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Ask it to end; return its exit code. Fails when it takes longer than END_S."""
        self.wanted = False
        # An agent that gets SIGTERM leaves its tasks to the next one.
        self.process.send_signal(
            signal.SIGUSR1 if self.name.startswith("agent") else signal.SIGTERM
        )
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {END_S:.0f} s") from None

    def kill(self) -> None:
        """End it as a crash would; return when it is gone."""
        self.wanted = False
        self.killed = True
        self.process.kill()
        self.process.wait(KILLED_S)

    def log_end(self) -> str:
        """The last lines of its log."""
        return self.log.read_bytes()[-LOG_BYTES:].decode(errors="replace")


class Cluster:
    """A master and `agents` agents; more can be started with `start_agent`.

    With `zk`, the URL of a ZooKeeper, there are several `masters`, and agents find the one that leads.
    """

    def __init__(
        self,
        directory: Path,
        *,
        agents: int = 1,
        masters: int = 1,
        zk: str | None = None,
        resources: str = RESOURCES,
        master_flags: Sequence[str] = (),
        agent_flags: Sequence[str] = (),
        programs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`programs` says by name which daemons are something else than `tepui` at first."""
        self.directory = directory.resolve()
        self.agents: list[Daemon] = []
        self.masters: list[Daemon] = []
        self._count = agents
        self._masters_count = masters
        self._zk = zk
        self._resources = resources
        self._master_flags = tuple(master_flags)
        self._agent_flags = tuple(agent_flags)
        self._programs = programs or {}

    @property
    def master(self) -> Daemon:
        """The first master's process."""
        assert self.masters, "the cluster was not started"
        return self.masters[0]

    @property
    def master_address(self) -> str:
        """host:port of the first master."""
        return self.master.address

    @property
    def addresses(self) -> str:
        """All masters, as clients are given them."""
        return ",".join(master.address for master in self.masters)

    def leader(self) -> Daemon | None:
        """The master that leads."""
        for master in self.masters:
            if self._redirect(master) == master.address:
                return master
        return None

    def __enter__(self) -> Cluster:
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._start_all()
        except BaseException:
            self._end(failed=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(failed=error is not None)

    def _start_all(self) -> None:
        own = [] if self._zk is None else [f"--zk={self._zk}"]
        for _ in range(self._masters_count):
            self._start_master(free_ports(1)[0], *own)
        for _ in range(self._count):
            self.start_agent()
        self.wait_for_agents(self._count)

    def _start_master(self, port: int, *flags: str) -> Daemon:
        name = "master" if not self.masters else f"master-{len(self.masters) + 1}"
        master = self._start(name, port, [*flags, *self._master_flags])
        self.masters.append(master)
        return master

    def start_together(self, zk: str, masters: int, *flags: str) -> None:
        """Start the master, which has ended, again, and others beside it; they have a ZooKeeper."""
        self._zk = zk
        self.master.start(f"--zk={zk}", *flags)
        while len(self.masters) < masters:
            self._start_master(free_ports(1)[0], f"--zk={zk}", *flags)

    def start_alone(self) -> None:
        """Start the first master again, without the ZooKeeper and the others; all have ended."""
        self._zk = None
        del self.masters[1:]
        self.master.start()

    def start_agent(self, *flags: str) -> Daemon:
        """Start one more agent; `wait_for_agents` waits for its registration."""
        name = f"agent-{len(self.agents) + 1}"
        own = [
            f"--master={self._zk or self.master_address}",
            f"--resources={self._resources}",
            f"--runtime_dir={self.directory / name / 'run'}",
            "--registration_backoff_factor=50ms",
        ]
        agent = self._start(name, free_ports(1)[0], [*own, *self._agent_flags, *flags])
        self.agents.append(agent)
        return agent

    def wait_for_agents(self, count: int, deadline_s: float = READY_S) -> None:
        """Return when `count` agents are registered and active."""
        what = f"{count} agents are registered"
        self.wait_until(lambda: self._active() == count, what, deadline_s)

    def wait_until(self, holds: Callable[[], bool], what: str, deadline_s: float = READY_S) -> None:
        """Return when `holds` does; fail when it does not in time, or when a daemon has ended."""
        until = time.monotonic() + deadline_s
        while not holds():
            for daemon in self._daemons():
                code = daemon.process.poll()
                assert code is None or not daemon.wanted, f"{daemon.name} ended with {code}"
            assert time.monotonic() < until, f"not within {deadline_s:.0f} s: {what}"
            time.sleep(POLL_S)

    def answers(self, daemon: Daemon) -> bool:
        """It answers requests now."""
        try:
            return self._get("/health", daemon.address)[0] == 200
        except OSError:
            return False

    def get(self, path: str, address: str | None = None) -> object:
        """The JSON at a path of the master, or of the daemon at `address`."""
        status, body = self._get(path, address or self.master_address)
        assert status == 200, f"{path}: {status} {body.decode(errors='replace')}"
        answer: object = json.loads(body)
        return answer

    def processes(self) -> list[psutil.Process]:
        """All processes of this cluster: daemons, launchers and tasks.

        They are known by the cluster's directory, in their command, working directory or environment.
        """
        mark = f"{self.directory}/"
        return [one for one in psutil.process_iter() if one.pid != os.getpid() and _has(one, mark)]

    def _start(self, name: str, port: int, flags: Sequence[str]) -> Daemon:
        work_dir = self.directory / name / "work"
        work_dir.mkdir(parents=True, exist_ok=True)
        arguments = [
            name.partition("-")[0],
            f"--ip={HOST}",
            f"--port={port}",
            f"--work_dir={work_dir}",
            *flags,
        ]
        log = self.directory / f"{name}.log"
        return Daemon(name, f"{HOST}:{port}", arguments, log, self._programs.get(name, TEPUI))

    def _daemons(self) -> list[Daemon]:
        return [*self.agents, *self.masters]

    def _redirect(self, master: Daemon) -> str | None:
        """host:port of who leads, as this master says."""
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(
                http.client.HTTPConnection(master.address, timeout=ANSWER_S)
            ) as connection,
        ):
            connection.request("GET", "/redirect")
            location = connection.getresponse().getheader("Location")
            return None if location is None else location.removeprefix("//")
        return None

    def _active(self) -> int:
        leader = self.master if self._zk is None else self.leader()
        if leader is None:
            return -1
        try:
            status, body = self._get("/slaves", leader.address)
        except (OSError, http.client.HTTPException):
            return -1  # the master does not answer yet
        return sum(agent["active"] for agent in json.loads(body)["slaves"]) if status == 200 else -1

    def _get(self, path: str, address: str) -> tuple[int, bytes]:
        parts = urlsplit(f"http://{address}{path}")
        with contextlib.closing(
            http.client.HTTPConnection(parts.netloc, timeout=ANSWER_S)
        ) as connection:
            connection.request("GET", f"{parts.path}?{parts.query}")
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _end(self, *, failed: bool) -> None:
        problems = []
        for daemon in self._daemons():
            if daemon.wanted:
                try:
                    code = daemon.stop()
                except AssertionError as error:
                    problems.append(str(error))
                else:
                    problems += [f"{daemon.name} ended with {code}"] if code else []
        # By design a launcher outlives an agent that was killed, until nobody comes for a while.
        if any(agent.killed for agent in self.agents):
            _end_all([one for one in self.processes() if LAUNCHER in " ".join(_command(one))])
        left = self.processes()
        problems += [f"left: process {one.pid} {' '.join(_command(one))[:200]}" for one in left]
        _end_all(left)
        if failed or problems:
            for daemon in self._daemons():
                print(f"--- {daemon.log}\n{daemon.log_end()}", file=sys.stderr)
        if problems and not failed:  # else the first failure is the one to tell
            raise AssertionError("; ".join(problems))


def _end_all(processes: list[psutil.Process]) -> None:
    """End them: a launcher that is asked to ends its tasks and cgroups; what stays is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        _, processes = psutil.wait_procs(processes, END_S)


def wait_gone(pid: int, deadline_s: float = END_S) -> None:
    """Return when the process has ended; fail when it has not in time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], deadline_s)[0], f"process {pid} is still there"
    finally:
        os.close(pidfd)


def _has(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        texts = (*process.cmdline(), f"{process.cwd()}/", *process.environ().values())
        return any(mark in text for text in texts)
    return False


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return ["(gone)"]
