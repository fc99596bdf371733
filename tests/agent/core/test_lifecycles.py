"""Updates of tasks, field by field and in the order of fields, as Mesos 1.12 sent them.

Each recorded life has a task, a script of what happened to it, and the updates that came.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct, structs

from tepui.agent.core import events
from tepui.agent.core.actions import Action, RunCheck
from tepui.agent.core.state import State
from tepui.wire import json, link, mesos
from tests.agent.core.cluster import FRAMEWORK, SETTINGS, Agent, duration, run_tasks, statuses

Json = dict[str, Any]  # any JSON object


class Life(Struct, frozen=True):
    name: str
    script: list[list[Any]]  # what happened, and its numbers
    capabilities: list[str]
    task: Json
    updates: list[Json]


DATA = Path(__file__).parents[2] / "data" / "task-lifecycles.json"
LIVES = msgspec.json.decode(DATA.read_bytes(), type=list[Life])
# What these say names directories and files of the machine, so only the beginning is compared.
OWN_WORDS = {
    "command-user-unknown": "Failed to create executor directory",
    "command-uri-missing": "Failed to launch container: Failed to fetch all URIs for container",
}


class Lived:
    """A task that lives as the script says."""

    def __init__(self, life: Life) -> None:
        settings = structs.replace(SETTINGS, executor_registration_timeout_ms=5_000)
        self.agent = Agent(settings)
        self.task = json.decode(mesos.TaskInfo, msgspec.json.encode(life.task))
        capability = mesos.FrameworkInfo.Capability
        self.framework = structs.replace(
            FRAMEWORK,
            capabilities=tuple(capability(type=capability.Type[one]) for one in life.capabilities),
        )
        self.checks: list[RunCheck] = []
        self.came: list[mesos.TaskStatus] = []
        self.see(self.agent.hear(run_tasks(self.task, framework=self.framework)))
        executor = self.task.executor
        name = self.task.task_id if executor is None else executor.executor_id
        self.container = self.agent.container(name.value)

    def see(self, done: list[Action]) -> None:
        """Acknowledge every update at once."""
        self.checks += [one for one in done if isinstance(one, RunCheck)]
        self.came += statuses(done)
        if statuses(done):
            self.see(self.agent.acknowledge(done))

    def happen(self, what: str, number: Any = None) -> None:
        put, hear = self.agent.put, self.agent.hear
        match what:
            case "prepared":
                self.see(put(events.SandboxPrepared(self.container)))
            case "failed":
                stage = events.SandboxStage(number)
                is_fetch = stage is events.SandboxStage.FETCH
                text = OWN_WORDS["command-uri-missing" if is_fetch else "command-user-unknown"]
                text = text.removeprefix("Failed to launch container: ")
                self.see(put(events.SandboxFailed(self.container, stage, text)))
            case "started":
                self.see(put(events.ContainerStarted(self.container, 4711)))
            case "exited":
                self.see(put(events.ContainerExited(self.container, number)))
            case "kill":
                policy = mesos.KillPolicy(grace_period=duration(number)) if number else None
                self.see(hear(link.KillTask("F", self.task.task_id.value, policy)))
            case "check" | "connect":
                if not self.checks:
                    self.see(self.agent.advance(500))
                outcome = events.CommandExited(number) if what == "check" else None
                check_id = self.checks.pop().check_id
                tried = events.TcpTried(bool(number))
                self.see(put(events.CheckFinished(check_id, outcome or tried)))
            case "wait":
                self.see(self.agent.advance(number))
            case _:
                raise AssertionError(f"unknown: {what}")


def normal(update: Json, life: Life) -> str:
    """The update as text, without what differs from run to run."""
    update = msgspec.json.decode(msgspec.json.encode(update))
    for name in ("timestamp", "uuid"):
        assert name in update
        update[name] = name
    update["agent_id"] = "agent"
    container = update.get("container_status")
    if container is not None:
        container["container_id"] = "container"
        assert "executor_pid" in container
        container["executor_pid"] = "pid"
    if life.name in OWN_WORDS:
        update["message"] = update["message"][: len(OWN_WORDS[life.name])]
    return msgspec.json.encode(update).decode()


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_life_is_told_as_mesos_told_it(life: Life) -> None:
    lived = Lived(life)
    assert isinstance(lived.agent.state, State)
    for what in life.script:
        lived.happen(*what)
    told = [msgspec.json.decode(json.encode(status)) for status in lived.came]
    assert [normal(one, life) for one in told] == [normal(one, life) for one in life.updates]
