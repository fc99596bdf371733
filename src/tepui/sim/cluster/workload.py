"""What the frameworks of a simulation launch: single tasks, and groups of them in pods."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from msgspec import Struct

from tepui.wire import mesos

OF_TASK = {"cpus": 500, "mem": 64_000}  # thousandths
OF_POD = {"cpus": 100, "mem": 64_000, "disk": 1_000}  # itself
GROUP_CHANCE = (
    0.35  # of a launch, if there is more than one task: then every fifth launches a group
)
GROUP_SIZES = (2, 2, 3)
JOIN_CHANCE = 0.4  # of a group, if the framework had a pod on the agent
CONFINED = 3  # each so many pods one whose tasks have containers, and limits, of their own

POLICY_CHANCE = 0.3  # of a task
GRACES_MS = (0, 200, 2_000)
LIMIT_CHANCE = 0.05
LIMIT_MS = (500, 4_000)
CHECK_CHANCE = 0.1
CHECK_S = 1.0  # between two


class Launch(Struct, frozen=True):
    """One task; or several, and the pod that is to have them."""

    infos: tuple[mesos.TaskInfo, ...]
    executor: mesos.ExecutorInfo | None

    @property
    def operation(self) -> mesos.Offer.Operation:
        """What of an ACCEPT launches it."""
        operation = mesos.Offer.Operation
        if self.executor is None:
            launch = operation.Launch(task_infos=self.infos)
            return operation(type=operation.Type.LAUNCH, launch=launch)
        group = operation.LaunchGroup(
            executor=self.executor, task_group=mesos.TaskGroupInfo(tasks=self.infos)
        )
        return operation(type=operation.Type.LAUNCH_GROUP, launch_group=group)


class Room:
    """What is left of an offer."""

    def __init__(self, offer: mesos.Offer) -> None:
        self._left: dict[str, int] = {}
        for one in offer.resources:
            if one.scalar is not None:
                milli = round(one.scalar.value * 1_000)
                self._left[one.name] = self._left.get(one.name, 0) + milli

    def take(self, tasks: int, *, pod: bool) -> bool:
        """Whether so many tasks had room, and a pod for them, too, if there is to be one."""
        left = dict(self._left)
        for wanted, count in ((OF_TASK, tasks), (OF_POD, int(pod))):
            for name, milli in wanted.items():
                left[name] = left.get(name, 0) - count * milli
        if min(left.values()) < 0:
            return False
        self._left = left
        return True


class Pods:
    """The pods of a framework, by the agents that they were launched on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0  # of those there have been
        self._last: dict[str, int] = {}  # the number of the last one, by agent

    def choose(self, agent_id: str, random: Random) -> int:
        """The number of the pod for a group: a new one, or the last on this agent."""
        before = self._last.get(agent_id)
        if before is not None and random.random() < JOIN_CHANCE:
            return before
        self.count += 1
        self._last[agent_id] = self.count
        return self.count

    def leave(self, agent_id: str) -> str | None:
        """The last pod there is given no more groups."""
        number = self._last.pop(agent_id, None)
        return None if number is None else self._id(number)

    def info(self, number: int, framework_id: mesos.FrameworkID | None) -> mesos.ExecutorInfo:
        """The same one for each of its groups."""
        return mesos.ExecutorInfo(
            type=mesos.ExecutorInfo.Type.DEFAULT,
            executor_id=mesos.ExecutorID(self._id(number)),
            framework_id=framework_id,
            resources=_OF_POD,
            shutdown_grace_period=_duration(1_000),
        )

    def container(self, number: int) -> mesos.ContainerInfo | None:
        """What the tasks of the pod are confined to."""
        if number % CONFINED:
            return None
        linux = mesos.LinuxInfo(share_cgroups=False)
        return mesos.ContainerInfo(type=mesos.ContainerInfo.Type.MESOS, linux_info=linux)

    def _id(self, number: int) -> str:
        return f"{self._name}-pod{number}"


def task_of(
    task_id: str, agent_id: mesos.AgentID, container: mesos.ContainerInfo | None, random: Random
) -> mesos.TaskInfo:
    """A task, which some policy may hold for."""
    policy = limit = check = None
    if random.random() < POLICY_CHANCE:
        policy = mesos.KillPolicy(grace_period=_duration(random.choice(GRACES_MS)))
    if random.random() < LIMIT_CHANCE:
        limit = _duration(random.randint(*LIMIT_MS))
    if random.random() < CHECK_CHANCE:
        check = mesos.HealthCheck(
            type=mesos.HealthCheck.Type.COMMAND,
            command=mesos.CommandInfo(value="look"),
            delay_seconds=CHECK_S / 2,
            interval_seconds=CHECK_S,
            grace_period_seconds=0.0,
            consecutive_failures=2,
        )
    return mesos.TaskInfo(
        name=task_id,
        task_id=mesos.TaskID(task_id),
        agent_id=agent_id,
        resources=_OF_TASK,
        command=mesos.CommandInfo(value="work"),
        container=container,
        kill_policy=policy,
        max_completion_time=limit,
        health_check=check,
    )


def _duration(ms: int) -> mesos.DurationInfo:
    return mesos.DurationInfo(nanoseconds=ms * 1_000_000)


def _resources(wanted: Mapping[str, int]) -> tuple[mesos.Resource, ...]:
    kind = mesos.Value.Type.SCALAR
    return tuple(
        mesos.Resource(name=name, type=kind, scalar=mesos.Value.Scalar(milli / 1_000))
        for name, milli in wanted.items()
    )


_OF_TASK = _resources(OF_TASK)
_OF_POD = _resources(OF_POD)
