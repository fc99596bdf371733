"""A lane's cluster with what the recordings need around it: where things are, what is done outside HTTP."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from msgspec import Struct

from tests.compat.connection import HOST, Connection
from tests.compat.differences import fitting, playable
from tests.compat.jsonvalue import Json
from tests.compat.jsonvalue import field as member
from tests.compat.matching import Names
from tests.compat.player import Finding, Player
from tests.compat.recorded import (
    AGENT_PORT,
    MASTER_PORT,
    SECOND_AGENT_PORT,
    STANDBY_PORT,
    Step,
    scenario,
)
from tests.compat.scenarios import PLAIN, RESOURCES, Chain, Lane
from tests.real.cluster import Cluster, Daemon
from tests.real.zookeeper import ZooKeeper

WAIT_S = 60.0  # for what was done outside HTTP to show, on a machine that has much else to do
PUPPET = Path(__file__).with_name("puppet.py")


class Played(Struct, frozen=True):
    """What came of one chain: the exchanges played, and where answers differ."""

    chain: Chain
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    seconds: float


class Stage:
    """The running cluster of a lane."""

    def __init__(self, lane: Lane, directory: Path) -> None:
        self.lane = lane
        self.files = directory / "files"
        self.zookeeper = ZooKeeper(directory) if lane.masters > 1 else None
        self.cluster = Cluster(
            directory / "cluster",
            agents=0,
            masters=lane.masters,
            zk=None if self.zookeeper is None else self.zookeeper.url("/mesos"),
            resources=RESOURCES.partition("=")[2],
            master_flags=("--no-hostname_lookup", *lane.master),
        )
        self.ended = contextlib.ExitStack()
        self.restarted = threading.Event()  # the agent, in this chain

    def __enter__(self) -> Stage:
        self.files.mkdir(parents=True)
        (self.files / "exec1.py").write_text(PUPPET.read_text())
        (self.files / "one.txt").write_text("one\n")
        with tarfile.open(self.files / "two.tar.gz", "w:gz") as archive:
            for name, content in (("td", b""), ("td/inner.txt", b"inner\n")):
                entry = tarfile.TarInfo(name)
                entry.type = tarfile.REGTYPE if content else tarfile.DIRTYPE
                entry.mode = 0o644 if content else 0o755
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        if self.zookeeper is not None:
            self.zookeeper.__enter__()
            self.ended.callback(self.zookeeper.__exit__, None, None, None)
        try:
            self.cluster.__enter__()
            self.ended.callback(self.cluster.__exit__, None, None, None)
            for flags in self.lane.agents:
                self.cluster.start_agent(*flags)
                self.cluster.wait_for_agents(len(self.cluster.agents))
        except BaseException:
            self.ended.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.close()

    def play(self, chain: Chain) -> Played:
        """Play a chain's scenarios, then leave nothing of them behind."""
        started = time.monotonic()
        self.restarted.clear()
        self._revive()
        known = Names({"<PYTHON>": sys.executable})
        player = Player(self._ports(), self._places(), known, absent)
        if self.zookeeper is not None:
            player.zookeeper = f"{HOST}:{self.zookeeper.servers[0].port}"
        renamed = dict(chain.renamed)
        others = [self._beside(player, scenario(name)) for name in chain.beside]
        for name in chain.scenarios:
            if name in renamed:
                player.names = Names(
                    {new: player.names.values[old] for new, old in renamed[name].items()}
                )
            elif name != chain.scenarios[0]:
                kept = {n: v for n, v in player.names.values.items() if not n.startswith("<OFFER_")}
                player.names = Names(kept)
            player.play(playable(name), self._before(player, name))
        for _, thread in others:
            thread.join(WAIT_S)
        if chain.area == "D":
            player.cut("stream1")  # its updates were not recorded
        player.end()
        for executor, _ in others:
            executor.let_go()
        self._clear()
        return Played(
            chain, tuple(player.played), tuple(player.findings), time.monotonic() - started
        )

    def _beside(self, player: Player, steps: tuple[Step, ...]) -> tuple[Puppet, threading.Thread]:
        """The executor's side of a scenario, played at the same time with the same names."""
        executor = Puppet(self, player, steps)
        thread = threading.Thread(target=executor.play, name=steps[0].name)
        thread.start()
        return executor, thread

    def _ports(self) -> dict[int, int]:
        leader = self._leader()
        ports = {MASTER_PORT: _port(leader)}
        for master in self.cluster.masters:
            if master.address != leader:
                ports[STANDBY_PORT] = _port(master.address)
        for recorded, agent in zip(
            (AGENT_PORT, SECOND_AGENT_PORT), self.cluster.agents, strict=False
        ):
            ports[recorded] = _port(agent.address)
        return ports

    def _places(self) -> dict[str, str]:
        work = self.cluster.directory / "agent-1" / "work"
        return {
            f"<WORK>/agent{AGENT_PORT}": str(work),
            "<WORK>/exec1.py": str(self.files / "exec1.py"),
            "<FILES>": str(self.files),
        }

    def _before(self, player: Player, name: str) -> dict[int, Callable[[], None]]:
        """What was done outside HTTP before a step of the scenario."""
        first = "<FRAMEWORK_1>"
        agent = self.cluster.agents[0].process

        def relabel(old: str, new: str) -> None:
            player.streams[new] = player.streams.pop(old)

        def alias(new: str, old: str) -> None:
            player.names.values[new] = player.names.values[old]

        def cut_until(label: str, holds: Callable[[], bool], what: str) -> Callable[[], None]:
            def act() -> None:
                player.cut(label)
                self._until(holds, what)

            return act

        def gone(label: str) -> Callable[[], None]:
            return cut_until(label, lambda: self._gone(player, first), f"{first} is removed")

        def away(label: str) -> Callable[[], None]:
            return cut_until(label, lambda: self._away(player, first), f"{first} is disconnected")

        def hear_both() -> None:
            player.see_what_was_decided("stream1")
            agent.send_signal(signal.SIGCONT)

        match name:
            case "kill-right-after-launch":  # so soon that the agent hears of both at once
                return {4: lambda: agent.send_signal(signal.SIGSTOP), 6: hear_both}
            case "framework-id-and-stream-id-errors":
                return {
                    1: lambda: relabel("stream1", "s"),
                    18: gone("stream1"),
                    20: lambda: relabel("s", "stream1"),
                }
            case "call-fields-missing":
                nil = base64.b64encode(bytes(16)).decode()
                return {30: lambda: player.names.values.update({"<UUIDB64_1>": nil})}
            case "disconnected-framework-call":
                return {4: away("stream1")}
            case "framework-failover-timeout-passes":
                return {4: gone("stream1")}
            case "resubscribe-same-framework-id-while-connected":
                return {18: away("stream2")}
            case "update-framework-while-task-runs-and-failover-timeout-0-disconnect":
                return {10: gone("stream1")}
            case "updates-while-disconnected":
                return {10: cut_until("stream1", lambda: self._ended("t1"), "t1 has ended")}
            case "updates-without-acknowledgement":
                return {10: lambda: self._until(lambda: self._ended("t1"), "t1 has ended")}
            case "agent-process-killed-while-an-offer-is-held":
                return {2: self.cluster.agents[1].kill}
            case "subscribe-stream":
                return {26: lambda: player.cut("scheduler")}
            case "subscribe-stream-end":
                return {5: lambda: self._second_agent(player), 6: self._end_second_agent}
            case "operator-agent-files" | "agent-files":
                step = 2 if name == "agent-files" else 1
                return {step: lambda: self._know_containers(player, c1="<UUID_1>", ex="<UUID_2>")}
            case "operator-agent-nested-containers":
                return {2: lambda: self._know_containers(player, ex="<UUID_1>")}
            case "operator-agent-attach-and-session":
                return {2: lambda: self._know_containers(player, g1="<UUID_1>", ex="<UUID_2>")}
            case "agent-get-with-tasks":
                return {15: lambda: self._until(self._logs_as_usual, "the log level is back")}
            case "run-task-and-reserve-not-authorized":
                return {14: lambda: alias("<OFFER_4>", "<OFFER_1>")}
            case "agent-SIGSTOP-partition-partition-aware":
                return {
                    11: lambda: agent.send_signal(signal.SIGSTOP),
                    14: lambda: agent.send_signal(signal.SIGCONT),
                }
            case "executor-process-killed":
                return {11: lambda: self._kill_task(player)}
            case "mark-agent-gone-unreachable":
                return {10: self._kill_agent}
            case name if name.startswith("mark-agent-gone-"):
                return {11: self._let_agent_end}
            case name if name.startswith("agent-away-past-ping-timeout-and-back-"):
                return {12: self._kill_agent, 26: self.cluster.agents[0].start}
            case name if name.startswith("agent-killed-and-restarted-at-once-"):
                return {11: self._restart_agent}
            case name if name.startswith("executor-agent-restart-"):
                return {10: self._restart_agent}
            case "leader-killed":
                return {
                    10: self._kill_leader,
                    14: lambda: self.cluster.wait_for_agents(1),  # of the other, which leads now
                }
            case "agent-restarted-with-other-resources":
                return {2: self._start_smaller}
            case "master-restart":
                return {
                    10: self._restart_master,
                    19: lambda: agent.send_signal(signal.SIGCONT),
                }
        return {}

    def _revive(self) -> None:
        """Start those of the lane's agents that a scenario before has ended, as new ones."""
        for master in self.cluster.masters:
            if not master.running:
                self._start_again(master)
        dead = [one for one in self.cluster.agents[: len(self.lane.agents)] if not one.running]
        for agent in dead:
            shutil.rmtree(self.cluster.directory / agent.name / "work" / "meta")
            agent.start()
        if dead:
            self.cluster.wait_for_agents(len(self.lane.agents))

    def _know_containers(self, player: Player, **names: str) -> None:
        """These names are the containers of executors, and of the task `g1`."""
        state: Json = self.cluster.get("/state", self.cluster.agents[0].address)  # type: ignore[assignment]  # JSON, as parsed
        frameworks = member(state, "frameworks")
        assert isinstance(frameworks, list)
        for framework in frameworks:
            executors = member(framework, "executors")
            assert isinstance(executors, list)
            for one in executors:
                tasks = member(one, "tasks")
                assert isinstance(tasks, list)
                own = {str(member(task, "id")): _container_of(task) for task in tasks}
                own[str(member(one, "id"))] = str(member(one, "container"))
                player.names.values |= {names[key]: own[key] for key in own if key in names}

    def _kill_agent(self) -> None:
        """When what it got before is on its disk: that is before it answers."""
        agent = self.cluster.agents[0]

        def is_known() -> bool:
            state: Json = self.cluster.get("/state", agent.address)  # type: ignore[assignment]
            return bool(member(state, "id"))

        self._until(is_known, "the agent knows its id")
        agent.kill()

    def _let_agent_end(self) -> None:
        self.cluster.agents[0].wanted = False
        self.cluster.agents[0].killed = True

    def _kill_leader(self) -> None:
        self._master_at(self._leader()).kill()

    def _restart_master(self) -> None:
        """The agent does nothing meanwhile, so that it is not back before it is asked about."""
        self.cluster.agents[0].process.send_signal(signal.SIGSTOP)
        self._kill_leader()
        self._start_again(self.cluster.master)

    def _start_again(self, master: Daemon) -> None:
        master.start()
        self._until(lambda: self.cluster.answers(master), "the master is back")

    def _start_smaller(self) -> None:
        """The agent is refused what it had when it comes back with other resources."""
        agent = self.cluster.agents[0]
        self._kill_agent()
        assert agent.run_once("--resources=cpus:2;mem:4096;disk:10240;ports:[31000-32000]") == 1

    def _leader(self) -> str:
        """host:port of the master that leads."""
        if self.zookeeper is None:
            return self.cluster.master_address
        leader = self.cluster.leader()
        assert leader is not None, "no master leads"
        return leader.address

    def _master_at(self, address: str) -> Daemon:
        return next(one for one in self.cluster.masters if one.address == address)

    def _kill_task(self, player: Player) -> None:
        """Kill the process that a status names as the executor's."""
        framework = player.names.values["<FRAMEWORK_1>"]
        mark = f"/frameworks/{framework}/executors/"
        for one in self.cluster.processes():
            with contextlib.suppress(psutil.Error):
                if mark in one.cwd():
                    one.kill()

    def _second_agent(self, player: Player) -> None:
        """One more agent joins, without attributes."""
        agent = self.cluster.start_agent(*PLAIN)
        player.ports[SECOND_AGENT_PORT] = _port(agent.address)
        self.cluster.wait_for_agents(2)

    def _end_second_agent(self) -> None:
        """It dies; when it is asked to end here it leaves, Mesos's is disconnected in both cases."""
        self.cluster.agents[1].kill()
        self._until(self._second_is_away, "the second agent is disconnected")

    def _second_is_away(self) -> bool:
        some = member(self._get("/slaves"), "slaves")
        assert isinstance(some, list)
        return [member(one, "active") for one in some].count(False) == 1

    def _logs_as_usual(self) -> bool:
        return self.cluster.get("/logging/toggle", self.cluster.agents[0].address) == 0

    def _restart_agent(self) -> None:
        agent = self.cluster.agents[0]
        self._kill_agent()
        agent.start()
        self._until(lambda: self.cluster.answers(agent), "the agent answers again")
        self.restarted.set()

    def _gone(self, player: Player, name: str) -> bool:
        """The framework has been removed."""
        completed = _ids(self._get("/frameworks"), "completed_frameworks")
        return player.names.values[name] in completed

    def _away(self, player: Player, name: str) -> bool:
        """The framework is known to be disconnected."""
        some = member(self._get("/frameworks"), "frameworks")
        assert isinstance(some, list)
        return any(
            member(one, "id") == player.names.values[name] and member(one, "connected") is False
            for one in some
        )

    def _ended(self, task: str) -> bool:
        """The task has ended, whether or not its framework knows."""
        some = member(self._get("/tasks"), "tasks")
        assert isinstance(some, list)
        return any(
            member(one, "id") == task and member(one, "state") == "TASK_FINISHED" for one in some
        )

    def _clear(self) -> None:
        """End the frameworks that the scenarios left, and wait until all is free again.

        An agent that was told to end has ended then.
        """
        for agent in self.cluster.agents:
            if agent.running:
                agent.process.send_signal(signal.SIGCONT)  # where a scenario did not get so far
            if not agent.wanted:
                agent.process.wait(WAIT_S)
        for framework in _ids(self._get("/frameworks"), "frameworks"):
            self._teardown(framework)
        for address, container_id in self._standalone():
            self._kill_standalone(address, container_id)
        self._until(self._all_free, "everything is free again")

    def _teardown(self, framework: str) -> None:
        call: Json = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": framework}}}
        _operate(self._leader(), call)

    def _standalone(self) -> list[tuple[str, str]]:
        """Which containers run that no executor is in, on which agent."""
        found: list[tuple[str, str]] = []
        for agent in self.cluster.agents:
            if not agent.running:
                continue
            try:
                some = self.cluster.get("/containers?show_standalone=true", agent.address)
            except OSError:
                continue  # it is ending
            assert isinstance(some, list)
            found += [
                (agent.address, one["container_id"]) for one in some if "executor_id" not in one
            ]
        return found

    def _kill_standalone(self, address: str, container_id: str) -> None:
        call: Json = {
            "type": "KILL_CONTAINER",
            "kill_container": {"container_id": {"value": container_id}},
        }
        _operate(address, call)

    def _all_free(self) -> bool:
        for agent in self.cluster.agents:
            try:
                state = self.cluster.get("/state", agent.address)
            except OSError:
                continue  # it has ended
            if isinstance(state, dict) and state.get("frameworks"):
                return False
        return not self._standalone()

    def _get(self, path: str) -> Json:
        answer: Json = self.cluster.get(path, self._leader())  # type: ignore[assignment]  # JSON, as parsed
        return answer

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        self.cluster.wait_until(holds, what, WAIT_S)


class Puppet:
    """Plays the executor: its process only waits, what it sends and gets is played here."""

    def __init__(self, stage: Stage, player: Player, steps: tuple[Step, ...]) -> None:
        self._stage = stage
        self._steps = steps
        self._names = player.names
        self._scheduler = player
        name = steps[0].name.removesuffix("-executor-side")
        self._log = stage.files / f"{name}.<N>.log"
        self._is_there = True

    def play(self) -> None:
        """Wait for the process and play its side."""
        until = time.monotonic() + WAIT_S
        environment = Path(f"{self._log}.environment")
        while not environment.exists() and time.monotonic() < until:
            time.sleep(0.02)
        ports, places = self._stage._ports(), self._stage._places()
        player = Player(ports, places, self._names, absent)
        again = self._steps[0].name == "executor-agent-restart-executor-side"
        player.play(self._steps, {14: self._wait_for_agent} if again else {})
        player.end()
        self._scheduler.findings += player.findings
        self._scheduler.played += player.played
        if any('"FAILURE"' in text for step in self._scheduler.steps for text in step.events or ()):
            self.let_go()  # else its end was not recorded

    def let_go(self) -> None:
        """Its process may end, if there is one and it has not."""
        if self._is_there and Path(f"{self._log}.environment").exists():
            self._is_there = False
            with contextlib.suppress(OSError):  # nobody reads: it was killed
                end = os.open(f"{self._log}.end", os.O_WRONLY | os.O_NONBLOCK)
                os.write(end, b"0")
                os.close(end)

    def _wait_for_agent(self) -> None:
        """Before the executor subscribes again."""
        assert self._stage.restarted.wait(WAIT_S), "the agent was not restarted"


def _operate(address: str, call: Json) -> None:
    """Have an operator's call carried out."""
    connection = Connection(_port(address))
    headers = [("Content-Type", "application/json"), ("Accept", "application/json")]
    connection.send("POST", "/api/v1", headers, json.dumps(call).encode())
    connection.head()
    connection.close()


def _container_of(task: Json) -> str:
    """The own id of the container that a task of an agent's state runs in."""
    statuses = member(task, "statuses")
    assert isinstance(statuses, list)
    return str(member(statuses[-1], "container_status", "container_id", "value"))


def _ids(answer: Json, key: str) -> set[str]:
    some = member(answer, key)
    assert isinstance(some, list)
    return {str(member(one, "id")) for one in some}


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def absent(step: Step, path: str) -> bool:
    """What is recorded at this place is known not to come."""
    return fitting(step, path) is not None
