"""What these programs use of pymesos, with types: it has none of its own.

Names and shapes are those of the Mesos v1 API in JSON. The programs run on Python 3.8 and later.
"""
# ruff: noqa: N802 -- the names are pymesos's

from __future__ import annotations

from typing import Protocol, TypedDict


class Id(TypedDict):
    value: str


class Scalar(TypedDict):
    value: float


class Resource(TypedDict, total=False):
    name: str
    type: str
    scalar: Scalar


class Command(TypedDict, total=False):
    value: str


class Executor(TypedDict, total=False):
    executor_id: Id
    name: str
    command: Command
    resources: list[Resource]


class Task(TypedDict, total=False):
    task_id: Id
    agent_id: Id
    name: str
    resources: list[Resource]
    command: Command
    executor: Executor
    data: str


class Offer(TypedDict):
    id: Id
    agent_id: Id
    resources: list[Resource]


class Status(TypedDict, total=False):
    task_id: Id
    agent_id: Id
    state: str
    message: str
    uuid: str


class Filters(TypedDict):
    refuse_seconds: float


class Framework(TypedDict, total=False):
    user: str
    name: str
    hostname: str
    id: Id


class SchedulerDriver(Protocol):
    """MesosSchedulerDriver, as far as it is used here."""

    @property
    def aborted(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def join(self) -> None: ...
    def launchTasks(
        self,
        offer_ids: list[Id],
        tasks: list[Task],
        filters: Filters | None = None,
    ) -> None: ...
    def declineOffer(self, offer_ids: list[Id], filters: Filters) -> None: ...
    def suppressOffers(self) -> None: ...
    def reviveOffers(self) -> None: ...
    def killTask(self, task_id: Id) -> None: ...
    def sendFrameworkMessage(self, executor_id: Id, agent_id: Id, data: str) -> None: ...


class ExecutorDriver(Protocol):
    """MesosExecutorDriver, as far as it is used here."""

    def run(self) -> None: ...
    def sendStatusUpdate(self, status: Status) -> None: ...
    def sendFrameworkMessage(self, data: str) -> None: ...


def scalars(amounts: dict[str, float]) -> list[Resource]:
    """Resources of these amounts."""
    return [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}}
        for name, value in amounts.items()
    ]


def amount(offer: Offer, name: str) -> float:
    """How much of the scalar resource is offered."""
    return sum(one["scalar"]["value"] for one in offer["resources"] if one["name"] == name)
