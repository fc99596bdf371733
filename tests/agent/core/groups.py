"""Task groups under test: an agent whose containers do what they are told at once."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import (
    Action,
    DestroyContainer,
    LaunchContainer,
    PrepareSandbox,
    ProvisionContainer,
    RunCheck,
    SignalContainer,
)
from tepui.agent.core.state import Executor, Phase, Task
from tepui.resources import parse_resources
from tepui.wire import link, mesos
from tests.agent.core.cluster import FRAMEWORK, Agent, statuses, task_info

IMAGE = mesos.ContainerInfo(type=mesos.ContainerInfo.Type.MESOS)
OWN_LIMITS = mesos.ContainerInfo(
    type=mesos.ContainerInfo.Type.MESOS, linux_info=mesos.LinuxInfo(share_cgroups=False)
)


def pod_info(
    executor_id: str = "pod", container: mesos.ContainerInfo | None = None
) -> mesos.ExecutorInfo:
    """A default executor."""
    return mesos.ExecutorInfo(
        type=mesos.ExecutorInfo.Type.DEFAULT,
        executor_id=mesos.ExecutorID(executor_id),
        resources=parse_resources("cpus:0.1;mem:32;disk:32").to_wire(role="*", refinement=True),
        container=container,
    )


def group_of(
    *tasks: mesos.TaskInfo | str,
    framework: mesos.FrameworkInfo = FRAMEWORK,
    executor: mesos.ExecutorInfo | None = None,
) -> link.RunTasks:
    """The group as a master sends it: each of its tasks names the executor."""
    info = executor or pod_info()
    infos = (task_info(one) if isinstance(one, str) else one for one in tasks)
    whole = tuple(structs.replace(one, executor=info) for one in infos)
    return link.RunTasks(framework, info, whole, True, "*")


class Pods:
    """An agent and its containers, of which each can be told to wait, to fail or to end."""

    def __init__(self, framework: mesos.FrameworkInfo = FRAMEWORK) -> None:
        self.agent = Agent()
        self.framework = framework
        self.came: list[mesos.TaskStatus] = []
        self.done: list[Action] = []
        self.checks: list[RunCheck] = []

    def run(
        self, *tasks: mesos.TaskInfo | str, executor: mesos.ExecutorInfo | None = None
    ) -> list[Action]:
        """The group comes, and all that it asks for succeeds."""
        return self.go_on(self.hear(group_of(*tasks, framework=self.framework, executor=executor)))

    def hear(self, *messages: link.FromMaster) -> list[Action]:
        return self.see(self.agent.hear(*messages))

    def put(self, *batch: events.Event) -> list[Action]:
        return self.see(self.agent.put(*batch))

    def advance(self, ms: int) -> list[Action]:
        return self.see(self.agent.advance(ms))

    def see(self, done: list[Action]) -> list[Action]:
        """Acknowledge every update, and keep what was told."""
        every = list(done)
        while found := statuses(done):
            self.came += found
            done = self.agent.acknowledge(done)
            every += done
        self.checks += [one for one in every if isinstance(one, RunCheck)]
        self.done += every
        return every

    def go_on(self, done: Iterable[Action], but: Iterable[str] = ()) -> list[Action]:
        """What the actions ask for happens, and what follows, but not in the containers of `but`."""
        every: list[Action] = []
        todo = list(done)
        waits = {self.container(name) for name in but}
        while todo:
            action = todo.pop(0)
            every.append(action)
            match action:
                case PrepareSandbox(container_id=name) if name not in waits:
                    todo += self.put(events.SandboxPrepared(name))
                case ProvisionContainer(container_id=name) if name not in waits:
                    todo += self.put(events.ContainerProvisioned(name))
                case LaunchContainer(container_id=name, command=command) if name not in waits:
                    todo += self.put(events.ContainerStarted(name, 0 if command is None else 4711))
                case _:
                    pass
        return every

    def exit(self, task_id: str, status: int = 0, oom: str | None = None) -> list[Action]:
        """The task's container ends."""
        return self.put(events.ContainerExited(self.container(task_id), status, oom))

    def end_pod(self, executor_id: str = "pod", status: int = 0) -> list[Action]:
        return self.put(events.ContainerExited(self.executor(executor_id).container_id, status))

    # What there is

    def executor(self, executor_id: str = "pod") -> Executor:
        return self.agent.state.frameworks["F"].executors[executor_id]

    def task(self, task_id: str) -> Task:
        return self.agent.state.frameworks["F"].tasks[task_id]

    def container(self, name: str) -> str:
        """That of a task, or of an executor."""
        framework = self.agent.state.frameworks["F"]
        task = framework.tasks.get(name)
        if task is not None and task.container is not None:
            return task.container.id
        return framework.executors[name].container_id

    def phase(self, task_id: str) -> Phase | None:
        container = self.task(task_id).container
        return None if container is None else container.phase

    def told(self, task_id: str) -> list[str]:
        """The states of a task that came, in order."""
        return [one.state.name for one in self.came if one.task_id.value == task_id]

    def last(self, task_id: str) -> mesos.TaskStatus:
        return [one for one in self.came if one.task_id.value == task_id][-1]

    def is_over(self) -> bool:
        """Whether nothing of the framework is left."""
        return not self.agent.state.frameworks and list(self.agent.disk) == ["agent"]


def signalled(done: Iterable[Action]) -> list[str]:
    return [one.container_id for one in done if isinstance(one, SignalContainer)]


def destroyed(done: Iterable[Action]) -> list[str]:
    return [one.container_id for one in done if isinstance(one, DestroyContainer)]


def launched(done: Iterable[Action]) -> list[str]:
    return [one.container_id for one in done if isinstance(one, LaunchContainer)]
