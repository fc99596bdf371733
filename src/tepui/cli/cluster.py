"""A cluster on this machine: starts its processes, watches them, and ends them in order."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import click
from msgspec import Struct

from tepui.cli.children import Child, Children

MARKER = "tepui-up.json"  # a directory that holds it was made by us, and may be emptied
REGISTERED_S_MAX = 30.0  # for the first agent; then something is wrong
POLL_S = 0.02  # between looks whether an agent has registered
AGENT_END_S_MAX = 10.0  # tasks have a grace period of 5 s
MASTER_END_S_MAX = 5.0
LOG_LINES = 10  # of the log of a process that has ended
REGISTRATION_BACKOFF = "50ms"  # everything is on one machine: ask again soon


class Plan(Struct, frozen=True):
    """What is to be started."""

    ip: str
    port: int
    agents: int
    work_dir: Path
    keeps_work_dir: bool
    resources: str | None  # of each agent; None: its share of the machine

    @property
    def master(self) -> str:
        """host:port of the master, as this machine reaches it."""
        ip = self.reachable_ip
        return f"[{ip}]:{self.port}" if ":" in ip else f"{ip}:{self.port}"

    @property
    def reachable_ip(self) -> str:
        """An address to connect to: what listens on every address has no one of its own."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.ip, self.ip)


class Failed(Exception):
    """A process has ended that should not have, or the cluster did not come up."""


class Cluster:
    """A master and its agents, from `start` to `end`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.children = Children()
        self._master: Child | None = None
        self._agents: list[Child] = []

    def start(self) -> None:
        """Start all processes; they come up side by side."""
        prepare(self.plan)
        plan = self.plan
        self._master = self._start("master", [f"--ip={plan.ip}", f"--port={plan.port}"])
        self.children.adopt_orphans()
        for index, resources in enumerate(self._shares(), start=1):
            flags = [
                f"--master={plan.master}",
                f"--ip={plan.ip}",
                f"--port={plan.port + index}",
                f"--registration_backoff_factor={REGISTRATION_BACKOFF}",
                *([f"--resources={resources}"] if resources else []),
            ]
            self._agents.append(self._start(f"agent-{index}", flags))

    def wait_until_ready(self) -> bool:
        """Return True when the first agent has registered, False when asked to end before.

        Raises Failed when that does not come about.
        """
        deadline = time.monotonic() + REGISTERED_S_MAX
        while not self.children.asked_to_end:
            self._check()
            if registered_agents(self.plan) > 0:
                return True
            if time.monotonic() > deadline:
                raise Failed(
                    f"no agent has registered within {REGISTERED_S_MAX:g} s: "
                    f"see the logs in {self.plan.work_dir}"
                )
            self.children.wait(POLL_S)
        return False

    def watch(self) -> None:
        """Return when asked to end; raises Failed when one of the processes has ended."""
        while not self.children.asked_to_end:
            self._check()
            self.children.wait(None)

    def end(self) -> None:
        """End agents with their tasks, then the master: nothing that was started is left."""
        agents = [child for child in self._agents if child.status is None]
        self.children.end(agents, signal.SIGUSR1, AGENT_END_S_MAX)  # SIGTERM leaves their tasks
        master = [] if self._master is None else [self._master]
        if not self.children.end_descendants(except_for=master):
            click.echo("tepui up: some processes of tasks do not end", err=True)
        self.children.end(master, signal.SIGTERM, MASTER_END_S_MAX)
        self.children.close()

    def _start(self, name: str, flags: list[str]) -> Child:
        work_dir = self.plan.work_dir
        command = [sys.executable, "-m", "tepui.cli.main", name.partition("-")[0]]
        command += [*flags, f"--work_dir={work_dir / name}"]
        return self.children.start(name, command, work_dir / f"{name}.log")

    def _shares(self) -> list[str | None]:
        if self.plan.resources is not None or self.plan.agents == 1:
            return [self.plan.resources] * self.plan.agents
        from tepui.agent.daemon.machine import resources_of
        from tepui.cli.shares import shares_of

        machine = resources_of(None, "*", str(self.plan.work_dir))
        return [*shares_of(machine, self.plan.agents)]

    def _check(self) -> None:
        for child in self.children.all:
            if child.status is not None:
                lines = child.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
                shown = "".join(f"\n    {line}" for line in lines)
                raise Failed(f"{child.name} {child.end_text()}; its log ends with:{shown}")


def prepare(plan: Plan) -> None:
    """Make the directories; one of our own is emptied, unless it is to be kept."""
    plan.work_dir.mkdir(parents=True, exist_ok=True)
    marker = plan.work_dir / MARKER
    if not plan.keeps_work_dir and marker.exists():
        for entry in plan.work_dir.iterdir():
            if entry.name.startswith(("master", "agent-")):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
    marker.write_text(json.dumps({"master": plan.master, "pid": os.getpid()}) + "\n")


def registered_agents(plan: Plan) -> int:
    """How many agents the master knows; 0 while it does not answer."""
    connection = http.client.HTTPConnection(plan.reachable_ip, plan.port, timeout=1.0)
    try:
        connection.request(
            "POST",
            "/api/v1",
            body=b'{"type":"GET_AGENTS"}',
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        answer = connection.getresponse()
        content = json.loads(answer.read()) if answer.status == 200 else {}
    except (OSError, http.client.HTTPException, ValueError):
        return 0
    finally:
        connection.close()
    return len(content.get("get_agents", {}).get("agents", ()))
