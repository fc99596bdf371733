"""What must hold of containers: each task runs once, a group whole, and nobody ends what nobody wants ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tepui.agent.core import actions

if TYPE_CHECKING:
    from tepui.sim.cluster.agent_node import AgentNode
    from tepui.sim.cluster.launcher import Container

Task = tuple[str, str]  # ids of the framework and of the task
Group = tuple[str, tuple[str, ...]]  # ids of the framework and of the tasks


class ContainerAudit:
    """Knows all containers of a simulation, from what is done with them."""

    def __init__(self) -> None:
        self._started: dict[Task, str] = {}  # their containers
        self._failed: set[Task] = set()  # they did not start, or something was wrong with them
        self._limited: set[Task] = set()  # they may run for some time only
        self._groups: set[Group] = set()
        self._kills: set[Task] = set()
        self._shutdowns: set[Task] = set()  # ids of frameworks and of pods

    # What schedulers want

    def kill_wanted(self, framework_id: str, task_id: str) -> None:
        """A scheduler is about to say so."""
        self._kills.add((framework_id, task_id))

    def shutdown_wanted(self, framework_id: str, executor_id: str) -> None:
        """A scheduler is about to say so of a pod."""
        self._shutdowns.add((framework_id, executor_id))

    # What agents do

    def acted(self, node: AgentNode, then: Iterable[actions.Action]) -> None:
        """All of this was carried out: of a group all are launched at once, or none."""
        launched: defaultdict[Group, set[str]] = defaultdict(set)
        for container in _launched(node, then):
            if container.group:
                assert container.task_id is not None
                group = (container.framework_id, container.group)
                launched[group].add(container.task_id)
        for (framework_id, names), found in launched.items():
            self._groups.add((framework_id, names))
            assert found == set(names), f"of the group {names} only {found} are launched"

    def cut_short(self, node: AgentNode, left: Iterable[actions.Action]) -> None:
        """This was decided, and will not be carried out."""
        for container in _launched(node, left):
            self.fails(container)

    def ends(self, node: AgentNode, container_id: str) -> None:
        """The container is being signalled or destroyed, with what is within it."""
        container = node.launcher.containers.get(container_id)
        if container is None or not container.is_checkpointed or node.was_shut_down:
            return
        for one in (container, *node.launcher.within(container_id)):
            assert not one.runs or self._may_end(one), f"{one.task_id} is killed by nobody"

    def _may_end(self, container: Container) -> bool:
        """Somebody wants it, or a task has failed that it came with."""
        framework_id, task_id = container.framework_id, container.task_id
        if task_id is None or (framework_id, container.executor_id) in self._shutdowns:
            return True
        names = (task_id, *container.group)
        return any(
            (framework_id, name) in reasons
            for reasons in (self._kills, self._failed, self._limited)
            for name in names
        )

    # What happens to containers

    def starts(self, container: Container) -> None:
        """It begins to run."""
        if container.task_id is None:
            return
        task = (container.framework_id, container.task_id)
        if container.is_limited:
            self._limited.add(task)
        before = self._started.setdefault(task, container.id)
        assert before == container.id, f"{container.task_id} is started twice"

    def fails(self, container: Container) -> None:
        """It did not start, did not end well, or something else is wrong with it."""
        if container.task_id is not None:
            self._failed.add((container.framework_id, container.task_id))

    def check_end(self) -> None:
        """Of each group all have run, but those that failed."""
        for framework_id, names in self._groups:
            for name in names:
                task = (framework_id, name)
                assert task in self._started or task in self._failed, f"{name} was never started"


def _launched(node: AgentNode, then: Iterable[actions.Action]) -> list[Container]:
    return [
        node.container_of(action) for action in then if isinstance(action, actions.LaunchContainer)
    ]
