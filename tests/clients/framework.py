"""A scheduler, and its executor, that speak with raw sockets."""

from __future__ import annotations

import base64
import uuid
from types import TracebackType
from typing import Any

from tests.clients.raw import Conversation, Head, Pair, Whole, ask, post

SCHEDULER = "/api/v1/scheduler"
EXECUTOR = "/slave(1)/api/v1/executor"
OPERATOR = "/api/v1"

Json = dict[str, Any]  # any JSON object


class Framework:
    """A subscribed scheduler; its tasks end with it."""

    def __init__(self, master: str, *headers: Pair, **info: object) -> None:
        self.master = master
        self.talk = Conversation(master)
        framework_info = {"user": "root", "name": "raw", **info}
        call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": framework_info}}
        self.talk.send(post(SCHEDULER, call, *headers))
        self.head: Head = self.talk.head()
        assert self.head.status == 200, self.head
        self.subscribed: Json = self.talk.event()["subscribed"]
        self.id: str = self.subscribed["framework_id"]["value"]

    def __enter__(self) -> Framework:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.call("TEARDOWN")
        self.talk.__exit__(kind, error, traceback)

    def call(self, kind: str, **parts: object) -> Whole:
        """The answer to a call on a connection of its own."""
        stream = self.head.get("Mesos-Stream-Id")
        assert stream is not None
        message = {"type": kind, "framework_id": {"value": self.id}, **parts}
        return ask(self.master, post(SCHEDULER, message, ("Mesos-Stream-Id", stream)))

    def offer(self) -> Json:
        """The next offer."""
        offer: Json = self.talk.event_of("OFFERS")["offers"]["offers"][0]
        return offer

    def launch(self, offer: Json, *tasks: Json) -> None:
        """The tasks, each with a name, are launched from the offer."""
        infos = [
            {
                "name": task["task_id"]["value"],
                "agent_id": offer["agent_id"],
                "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
                **task,
            }
            for task in tasks
        ]
        operation = {"type": "LAUNCH", "launch": {"task_infos": infos}}
        accept = {"offer_ids": [offer["id"]], "operations": [operation]}
        assert self.call("ACCEPT", accept=accept).status == 202

    def update(self, task_id: str, state: str) -> Json:
        """The task's update with that state; it and those before it are acknowledged."""
        while True:
            status: Json = self.talk.event_of("UPDATE")["update"]["status"]
            if "uuid" in status:
                parts = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
                assert self.call("ACKNOWLEDGE", acknowledge=parts).status == 202
            if (status["task_id"]["value"], status["state"]) == (task_id, state):
                return status


class RawExecutor:
    """Speaks for an executor whose own process only waits."""

    def __init__(self, agent: str, framework_id: str, executor_id: str, *headers: Pair) -> None:
        self.agent = agent
        self.who = {
            "framework_id": {"value": framework_id},
            "executor_id": {"value": executor_id},
        }
        self.talk = Conversation(agent)
        call = {"type": "SUBSCRIBE", "subscribe": {}, **self.who}
        self.talk.send(post(EXECUTOR, call, *headers))
        self.head = self.talk.head()

    def __enter__(self) -> RawExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.talk.__exit__(kind, error, traceback)

    def update(self, task_id: str, state: str) -> Whole:
        """The answer to an update."""
        status = {
            "task_id": {"value": task_id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
        }
        message = {"type": "UPDATE", "update": {"status": status}, **self.who}
        return ask(self.agent, post(EXECUTOR, message))


def executor_task(task_id: str, framework_id: str, executor_id: str) -> Json:
    """A task of an executor that the test speaks for."""
    executor = {
        "type": "CUSTOM",
        "executor_id": {"value": executor_id},
        "framework_id": {"value": framework_id},
        "command": {"value": "sleep 1000"},
        "shutdown_grace_period": {"nanoseconds": 100_000_000},
    }
    return {"task_id": {"value": task_id}, "executor": executor}


def command_task(task_id: str, command: str) -> Json:
    """A task that is one shell command."""
    return {"task_id": {"value": task_id}, "command": {"value": command}}


def scalar(name: str, value: float) -> Json:
    """So much of a resource."""
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}
