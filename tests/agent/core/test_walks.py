"""Random histories of an agent: whatever happens in whatever order, its state stays sound.

Each step of a walk checks the invariants (`Agent.put` calls `check`). A walk ends with everything
being shut down, and then nothing may be left but history.
"""

from __future__ import annotations

from random import Random
from typing import TypeVar
from uuid import UUID

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import (
    AcceptExecutor,
    Action,
    CloseExecutor,
    CommandProbe,
    DestroyContainer,
    LaunchContainer,
    PrepareSandbox,
    ProvisionContainer,
    RunCheck,
    SendToMaster,
    SignalContainer,
)
from tepui.agent.core.recovery import Found, Leftovers
from tepui.agent.core.state import Kind, Phase
from tepui.wire import executor, link, mesos
from tepui.wire.states import TERMINAL_STATES
from tests.agent.core.cluster import (
    FRAMEWORK,
    PING_TIMEOUT_MS,
    Agent,
    executor_info,
    run_tasks,
    task_info,
)
from tests.agent.core.groups import IMAGE, OWN_LIMITS, group_of, pod_info

T = TypeVar("T")

STEPS = 250
SEEDS = range(150)
FRAMEWORKS = ("F", "G", "H")
CHECKPOINTED = ("F", "G")
UPDATES = (
    mesos.TaskState.TASK_STARTING,
    mesos.TaskState.TASK_RUNNING,
    mesos.TaskState.TASK_FINISHED,
    mesos.TaskState.TASK_FAILED,
)


class World:
    """What surrounds the agent: a master, containers, executors; all at random."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.agent = Agent()
        self.sandboxes: list[str] = []
        self.provisioning: list[str] = []
        self.provisioned: set[str] = set()
        self.launching: list[str] = []
        self.running: list[str] = []
        self.launched: set[str] = set()  # ever
        self.doomed: set[str] = set()
        self.checks: list[RunCheck] = []
        self.connections: list[int] = []
        self.unacknowledged: dict[bytes, link.StatusUpdated] = {}
        self.ends: dict[tuple[str, str], bytes] = {}  # the terminal update of each task
        self.last = 0

    def number(self) -> int:
        self.last += 1
        return self.last

    def put(self, event: events.Event) -> None:
        self.see(self.agent.put(event))

    def hear(self, message: link.FromMaster) -> None:
        if self.agent.state.registered:
            self.put(events.MasterSpoke(message))

    def see(self, done: list[Action]) -> None:
        for action in done:
            match action:
                case PrepareSandbox(container_id=name):
                    self.sandboxes.append(name)
                case ProvisionContainer(container_id=name):
                    self.provisioning.append(name)
                case LaunchContainer(container_id=name, parent=parent):
                    assert name not in self.launched, "a container is launched once"
                    assert parent is None or parent in self.running, "within what is there"
                    self.launched.add(name)
                    self.provisioned.discard(name)
                    self.launching.append(name)
                case DestroyContainer(container_id=name):
                    if name in self.provisioned:  # what it holds is given back, and that is told
                        self.provisioned.discard(name)
                        self.provisioning.append(name)
                    if name in self.provisioning + self.launching + self.running:
                        self.doomed.add(name)  # else it ended in this step
                case SignalContainer(container_id=name):
                    assert name in self.running
                case RunCheck(probe=probe):
                    assert isinstance(probe, CommandProbe)
                    self.checks.append(action)
                case AcceptExecutor(connection=connection):
                    self.connections.append(connection)
                case CloseExecutor(connection=connection):
                    if connection in self.connections:
                        self.connections.remove(connection)
                case SendToMaster(message=link.StatusUpdated() as update):
                    assert update.status.uuid is not None
                    self.unacknowledged[update.status.uuid] = update
                    if update.status.state in TERMINAL_STATES:
                        task = (update.framework_id, update.status.task_id.value)
                        first = self.ends.setdefault(task, update.status.uuid)
                        assert first == update.status.uuid, "a task ends once"
                case _:
                    pass

    # What may happen

    def launch(self) -> None:
        name = self.random.choice(FRAMEWORKS)
        checkpoint = name in CHECKPOINTED
        framework = structs.replace(FRAMEWORK, id=mesos.FrameworkID(name), checkpoint=checkpoint)
        task_id = f"t{self.number()}"
        if self.random.random() < 0.4:
            self.launch_group(framework)
            return
        if self.random.random() < 0.4:
            info = executor_info(self.random.choice(("ex", "ey")))
            self.hear(run_tasks(task_info(task_id, executor_info=info), framework=framework))
            return
        health = mesos.HealthCheck(
            type=mesos.HealthCheck.Type.COMMAND,
            command=mesos.CommandInfo(value="x"),
            delay_seconds=1.0,
            grace_period_seconds=0.0,
            consecutive_failures=1,
        )
        check = health if self.random.random() < 0.5 else None
        self.hear(run_tasks(self.task(task_id, check), framework=framework))

    def launch_group(self, framework: mesos.FrameworkInfo) -> None:
        tasks = [self.task(f"t{self.number()}") for _ in range(self.random.choice((1, 2, 3)))]
        has_image = self.random.random() < 0.2
        pod = pod_info(self.random.choice(("px", "py")), IMAGE if has_image else None)
        self.hear(group_of(*tasks, framework=framework, executor=pod))

    def task(self, task_id: str, check: mesos.HealthCheck | None = None) -> mesos.TaskInfo:
        limit_ms = 20_000 if self.random.random() < 0.1 else None
        container = self.random.choice((None, None, IMAGE, OWN_LIMITS))
        info = task_info(task_id, health_check=check, max_completion_ms=limit_ms)
        return structs.replace(info, container=container)

    def provision(self) -> None:
        name = self.taken(self.provisioning)
        if name is None:
            return
        if name in self.doomed or self.random.random() < 0.1:
            self.doomed.discard(name)
            self.put(events.LaunchFailed(name, "no"))
        elif self.random.random() < 0.3:
            self.provisioning.append(name)
            self.put(events.ContainerProgressed(name, "going on"))
        else:
            self.provisioned.add(name)
            self.put(events.ContainerProvisioned(name))

    def prepare(self) -> None:
        name = self.taken(self.sandboxes)
        if name is None:
            return
        if self.random.random() < 0.1:
            stage = self.random.choice(list(events.SandboxStage))
            self.put(events.SandboxFailed(name, stage, "no"))
        else:
            self.put(events.SandboxPrepared(name))

    def start(self) -> None:
        name = self.taken(self.launching)
        if name is None:
            return
        parent = name.rpartition(".")[0]
        if self.random.random() < 0.1 or (parent and parent not in self.running):
            self.doomed.discard(name)
            self.put(events.LaunchFailed(name, "no"))
        else:
            self.running.append(name)
            self.put(events.ContainerStarted(name, self.number()))

    def exit(self) -> None:
        if self.running:
            self.end(self.random.choice(self.running))

    def end_doomed(self) -> None:
        for name in self.running.copy():
            if name in self.doomed:
                self.end(name)

    def end(self, name: str) -> None:
        self.running.remove(name)
        self.doomed.discard(name)
        self.doomed.update(one for one in self.running if one.startswith(f"{name}."))
        oom = "much" if self.random.random() < 0.1 else None
        self.put(events.ContainerExited(name, self.random.choice((0, 9, 256)), oom))

    def subscribe(self) -> None:
        found = self.executor()
        if found is not None:
            call = executor.Call(
                type=executor.Call.Type.SUBSCRIBE,
                framework_id=mesos.FrameworkID(found[0]),
                executor_id=mesos.ExecutorID(found[1]),
                subscribe=executor.Call.Subscribe(),
            )
            self.put(events.ExecutorSubscribed(self.number(), call))

    def leave(self) -> None:
        if self.connections:
            connection = self.random.choice(self.connections)
            self.connections.remove(connection)
            self.put(events.ExecutorLeft(connection))

    def update(self) -> None:
        found = self.executor()
        if found is None:
            return
        status = mesos.TaskStatus(
            task_id=mesos.TaskID(self.random.choice(found[2])),
            state=self.random.choice(UPDATES),
            source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
            uuid=UUID(int=self.number()).bytes,
        )
        call = executor.Call(
            type=executor.Call.Type.UPDATE,
            framework_id=mesos.FrameworkID(found[0]),
            executor_id=mesos.ExecutorID(found[1]),
            update=executor.Call.Update(status=status),
        )
        self.put(events.ExecutorCalled(self.number(), call))

    def acknowledge(self) -> None:
        if self.unacknowledged:
            uuid = self.random.choice(list(self.unacknowledged))
            one = self.unacknowledged.pop(uuid)
            task_id = one.status.task_id.value
            self.hear(link.AcknowledgeUpdate(one.framework_id, task_id, uuid))

    def kill(self) -> None:
        tasks = [
            (framework.id, task_id)
            for framework in self.agent.state.frameworks.values()
            for task_id in framework.tasks
        ]
        if tasks:
            self.hear(link.KillTask(*self.random.choice(tasks), None))

    def shut_down(self) -> None:
        found = self.executor()
        if found is not None and self.random.random() < 0.3:
            self.hear(link.ShutdownExecutor(found[0], found[1]))
        elif self.random.random() < 0.1:
            self.hear(link.ShutdownFramework(self.random.choice(FRAMEWORKS)))

    def check(self) -> None:
        run = self.taken(self.checks)
        if run is not None:
            status = self.random.choice((0, 0, 256))
            self.put(events.CheckFinished(run.check_id, events.CommandExited(status)))

    def lose_link(self) -> None:
        if self.random.random() < 0.1:
            self.put(events.LinkLost())
            self.put(events.LinkOpened())
            self.put(events.MasterSpoke(link.Registered("A", PING_TIMEOUT_MS)))

    def restart(self) -> None:
        """The agent is killed, and comes back after a while; now and then the machine is, too."""
        if self.random.random() > 0.2:
            return
        self.forget()
        for name in sorted(self.launching, key=len):  # what is within another after that
            parent = name.rpartition(".")[0]
            if self.random.random() < 0.7 and (not parent or parent in self.running):
                self.running.append(name)
        self.launching.clear()
        found: dict[str, Found] = {}
        if self.random.random() < 0.2:
            self.running.clear()
        for name in sorted(self.running, key=len):
            exited = None
            is_alone = "." in name and name.rpartition(".")[0] not in self.running
            if name in self.doomed or is_alone or self.random.random() < 0.2:
                exited = events.ContainerExited(name, self.random.choice((0, 9, 256)))
                self.running.remove(name)
            found[name] = Found(self.number(), exited)
        self.doomed.clear()
        self.see(self.agent.restart(Leftovers(containers=found)))
        self.put(events.LinkOpened())
        self.put(events.MasterSpoke(link.Registered("A", PING_TIMEOUT_MS)))

    def forget(self) -> None:
        """What only the agent that was killed was waiting for."""
        self.sandboxes.clear()
        self.provisioning.clear()
        self.provisioned.clear()
        self.checks.clear()
        self.connections.clear()

    def wait(self) -> None:
        self.see(self.agent.advance(self.random.choice((10, 1_000, 5_000, 60_000))))
        if self.agent.state.registered:
            self.hear(link.Ping(self.number()))

    # Helpers

    def taken(self, waiting: list[T]) -> T | None:
        return waiting.pop(self.random.randrange(len(waiting))) if waiting else None

    def executor(self) -> tuple[str, str, list[str]] | None:
        """One whose process runs, and the tasks that it knows."""
        found = [
            (framework.id, one.id, list(one.tasks))
            for framework in self.agent.state.frameworks.values()
            for one in framework.executors.values()
            if one.kind is Kind.CUSTOM and one.container_id in self.running and one.tasks
        ]
        return self.random.choice(found) if found else None

    def finish(self) -> None:
        """Shut everything down, and let it end."""
        for name in FRAMEWORKS:
            self.hear(link.ShutdownFramework(name))
        for _ in range(20):
            self.see(self.agent.advance(10_000))
            self.hear(link.Ping(1))
            while self.provisioning:
                self.provision()
            while self.launching:
                self.start()
            self.end_doomed()


@pytest.mark.parametrize("seed", SEEDS)
def test_any_history_leaves_a_sound_state(seed: int) -> None:
    world = World(seed)
    may_happen = (
        world.launch, world.launch, world.prepare, world.prepare, world.provision,
        world.provision, world.start, world.start, world.start, world.exit, world.end_doomed, world.subscribe, world.leave, world.update, world.update,
        world.acknowledge, world.acknowledge, world.acknowledge, world.kill, world.shut_down,
        world.check, world.lose_link, world.wait, world.restart,
    )  # fmt: skip
    for _ in range(STEPS):
        world.random.choice(may_happen)()
    world.finish()
    state = world.agent.state
    assert state.frameworks == {}
    assert state.containers == {}
    assert state.task_containers == {}
    assert state.connections == {}
    assert state.checks == {}
    assert list(world.agent.disk) == ["agent"]
    for framework in state.completed_frameworks:
        assert all(one.phase is Phase.TERMINATED for one in framework.completed_executors)
