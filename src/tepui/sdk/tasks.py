"""Build what schedulers send: framework info, tasks, and what a task takes from an offer."""

from __future__ import annotations

import getpass
from collections.abc import Collection, Iterable, Mapping, Sequence

from tepui.base.errors import Refused
from tepui.resources import Ranges, Resources
from tepui.resources.kinds import Kind
from tepui.resources.scalars import milli
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES

Capability = mesos.FrameworkInfo.Capability
CAPABILITIES = (
    Capability.Type.MULTI_ROLE,
    Capability.Type.PARTITION_AWARE,
    Capability.Type.TASK_KILLING_STATE,
)
FAILOVER_TIMEOUT_S = 60.0  # enough for a master to be restarted, or a scheduler


def is_terminal(state: mesos.TaskState) -> bool:
    """Whether a task in `state` will not run any more, and its resources are free."""
    return state in TERMINAL_STATES


def framework_info(
    name: str,
    *,
    framework_id: str | None = None,
    user: str | None = None,
    roles: Sequence[str] = ("*",),
    failover_timeout_s: float = FAILOVER_TIMEOUT_S,
    checkpoint: bool = True,
    capabilities: Sequence[Capability.Type] = CAPABILITIES,
    principal: str | None = None,
    hostname: str | None = None,
    webui_url: str | None = None,
) -> mesos.FrameworkInfo:
    """A framework whose tasks run as `user` (who runs this) and survive agents' restarts.

    With `framework_id` it is one that was subscribed before.
    """
    return mesos.FrameworkInfo(
        user=getpass.getuser() if user is None else user,
        name=name,
        id=mesos.FrameworkID(framework_id) if framework_id else None,
        roles=tuple(roles),
        failover_timeout=failover_timeout_s,
        checkpoint=checkpoint,
        capabilities=tuple(Capability(type=one) for one in capabilities),
        principal=principal,
        hostname=hostname,
        webui_url=webui_url,
    )


def resources(
    *,
    cpus: float = 0,
    mem_mib: float = 0,
    disk_mib: float = 0,
    gpus: float = 0,
    ports: Iterable[int] = (),
) -> tuple[mesos.Resource, ...]:
    """Unreserved resources of a task; what is zero is left out. Raises Refused below zero."""
    amounts = {"cpus": cpus, "mem": mem_mib, "disk": disk_mib, "gpus": gpus}
    for name, amount in amounts.items():
        if not 0 <= amount < float("inf"):
            raise Refused(f"{name} {amount}: expected a finite number of at least 0")
    found = [_scalar(name, amount) for name, amount in amounts.items() if amount]
    if numbers := Ranges.of((port, port) for port in ports):
        found.append(
            mesos.Resource(name="ports", type=mesos.Value.Type.RANGES, ranges=numbers.to_wire())
        )
    return tuple(found)


def command(
    line: str | Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    uris: Sequence[str] = (),
    user: str | None = None,
) -> mesos.CommandInfo:
    """A shell line, or, when it is a sequence, a program and its arguments without a shell."""
    variables = tuple(
        mesos.Environment.Variable(name=name, value=value) for name, value in (env or {}).items()
    )
    if not isinstance(line, str) and not line:
        raise Refused("command []: expected a program")
    return mesos.CommandInfo(
        shell=isinstance(line, str),
        value=line if isinstance(line, str) else line[0],
        arguments=() if isinstance(line, str) else tuple(line),
        environment=mesos.Environment(variables=variables) if variables else None,
        uris=tuple(mesos.CommandInfo.URI(value=uri) for uri in uris),
        user=user,
    )


def command_task(
    task_id: str,
    agent_id: str | mesos.AgentID,
    line: str | Sequence[str],
    *,
    name: str | None = None,
    cpus: float = 0.1,
    mem_mib: float = 32,
    disk_mib: float = 0,
    gpus: float = 0,
    ports: Iterable[int] = (),
    using: Sequence[mesos.Resource] | None = None,
    env: Mapping[str, str] | None = None,
    uris: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    container: mesos.ContainerInfo | None = None,
) -> mesos.TaskInfo:
    """A task that runs a command. `using` (from `Room.take`) replaces the amounts."""
    taken = using
    if taken is None:
        taken = resources(cpus=cpus, mem_mib=mem_mib, disk_mib=disk_mib, gpus=gpus, ports=ports)
    return mesos.TaskInfo(
        name=name or task_id,
        task_id=mesos.TaskID(task_id),
        agent_id=agent_id if isinstance(agent_id, mesos.AgentID) else mesos.AgentID(agent_id),
        resources=tuple(taken),
        command=command(line, env=env, uris=uris),
        container=container,
        labels=_labels(labels),
    )


def executor_info(
    executor_id: str,
    line: str | Sequence[str],
    *,
    name: str | None = None,
    cpus: float = 0.1,
    mem_mib: float = 32,
    env: Mapping[str, str] | None = None,
    uris: Sequence[str] = (),
    shutdown_grace_period_ms: int | None = None,
) -> mesos.ExecutorInfo:
    """An executor of one's own: the agent runs the command, which speaks the executor API."""
    grace = None
    if shutdown_grace_period_ms is not None:
        grace = mesos.DurationInfo(nanoseconds=shutdown_grace_period_ms * 1_000_000)
    return mesos.ExecutorInfo(
        type=mesos.ExecutorInfo.Type.CUSTOM,
        executor_id=mesos.ExecutorID(executor_id),
        name=name or executor_id,
        command=command(line, env=env, uris=uris),
        resources=resources(cpus=cpus, mem_mib=mem_mib),
        shutdown_grace_period=grace,
    )


def executor_task(
    task_id: str,
    agent_id: str | mesos.AgentID,
    run_by: mesos.ExecutorInfo,
    *,
    name: str | None = None,
    cpus: float = 0.1,
    mem_mib: float = 32,
    using: Sequence[mesos.Resource] | None = None,
    data: bytes | None = None,
    labels: Mapping[str, str] | None = None,
) -> mesos.TaskInfo:
    """A task for an executor; `data` is for the executor's eyes."""
    taken = resources(cpus=cpus, mem_mib=mem_mib) if using is None else using
    return mesos.TaskInfo(
        name=name or task_id,
        task_id=mesos.TaskID(task_id),
        agent_id=agent_id if isinstance(agent_id, mesos.AgentID) else mesos.AgentID(agent_id),
        resources=tuple(taken),
        executor=run_by,
        data=data,
        labels=_labels(labels),
    )


class Room:
    """What is left of an offer while tasks are placed on it.

    Reserved resources count only for tasks that name the reservation; `take` does that.
    """

    def __init__(self, offer: mesos.Offer) -> None:
        self.left = Resources.of(offer.resources)
        self._executors = {executor.value for executor in offer.executor_ids}
        self._refinement = any(resource.reservations for resource in offer.resources)

    def fits(self, task: mesos.TaskInfo) -> bool:
        """Whether the task fits, with its executor if that does not run on the agent yet."""
        return self.left.contains(self._needed(task))

    def place(self, task: mesos.TaskInfo) -> bool:
        """Put the task on the offer if it fits; otherwise nothing has changed."""
        needed = self._needed(task)
        if not self.left.contains(needed):
            return False
        self.left -= needed
        if task.executor is not None:
            self._executors.add(task.executor.executor_id.value)
        return True

    def take(
        self,
        *,
        cpus: float = 0,
        mem_mib: float = 0,
        disk_mib: float = 0,
        gpus: float = 0,
        ports: int | Collection[int] = 0,
    ) -> tuple[mesos.Resource, ...] | None:
        """Resources of these amounts, reserved ones first, for one task; so many ports, or just these.

        They are no longer left. None when there is not enough: then nothing has changed.
        """
        wanted = {"cpus": cpus, "mem": mem_mib, "disk": disk_mib, "gpus": gpus}
        taken = Resources.empty
        for name, amount in wanted.items():
            wanted_milli = milli(amount)
            if wanted_milli < 0:
                return None  # below zero, or more than can be counted
            part = self._of_scalars(name, wanted_milli)
            if part is None:
                return None
            taken += part
        part = self._of_ports(ports)
        if part is None:
            return None
        taken += part
        self.left -= taken
        return taken.to_wire(role=None, refinement=self._refinement)

    def _of_scalars(self, name: str, wanted_milli: int) -> Resources | None:
        taken: dict[Kind, int] = {}
        for kind in self._usable(name):
            have = self.left.amount(kind)
            if isinstance(have, int) and wanted_milli > 0:
                taken[kind] = min(have, wanted_milli)
                wanted_milli -= taken[kind]
        return None if wanted_milli > 0 else Resources.of_entries(taken)

    def _of_ports(self, ports: int | Collection[int]) -> Resources | None:
        taken: dict[Kind, Ranges] = {}
        wanted = ports if isinstance(ports, int) else len(set(ports))
        for kind in self._usable("ports"):
            have = self.left.amount(kind)
            if not isinstance(have, Ranges):
                continue
            if not isinstance(ports, int):
                found = [port for port in sorted(set(ports)) if port in have]
                if found:
                    taken[kind] = Ranges.of((port, port) for port in found)
                    wanted -= len(found)
            elif wanted > 0:
                taken[kind] = Ranges.of((port, port) for port in have.take(wanted))
                wanted -= taken[kind].count()
        return None if wanted > 0 else Resources.of_entries(taken)

    def _usable(self, name: str) -> list[Kind]:
        """What anyone may use up: no volumes, nothing shared or revocable; reserved first."""
        kinds = [kind for kind, _ in self.left.items() if kind.name == name]
        plain = [k for k in kinds if k.disk is None and not k.shared and not k.revocable]
        return sorted(plain, key=lambda kind: not kind.reservations)

    def _needed(self, task: mesos.TaskInfo) -> Resources:
        needed = Resources.of(task.resources)
        if task.executor and task.executor.executor_id.value not in self._executors:
            needed += Resources.of(task.executor.resources)
        return needed


def _scalar(name: str, amount: float) -> mesos.Resource:
    value = mesos.Value.Scalar(float(amount))
    return mesos.Resource(name=name, type=mesos.Value.Type.SCALAR, scalar=value)


def _labels(labels: Mapping[str, str] | None) -> mesos.Labels | None:
    if not labels:
        return None
    return mesos.Labels(labels=tuple(mesos.Label(key=k, value=v) for k, v in labels.items()))
