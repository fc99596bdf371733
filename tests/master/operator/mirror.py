"""What a reader of the operators' events knows of a cluster, if it believes what it reads."""

from __future__ import annotations

from tepui.wire import master, mesos

Event = master.Event
GetState = master.Response.GetState


class Mirror:
    """SUBSCRIBED and all that followed. An event that changes nothing was sent twice."""

    def __init__(self) -> None:
        self.tasks: dict[str, mesos.TaskState] = {}
        self.frameworks: dict[str, bool] = {}  # whether they are connected
        self.agents: set[str] = set()
        self.updates: set[bytes] = set()
        self.kinds: list[Event.Type] = []

    def apply(self, event: Event) -> None:
        """Believe the event. Raises AssertionError if it can't follow on what is known."""
        assert event.type is not None
        assert (event.type is Event.Type.SUBSCRIBED) == (not self.kinds)
        self.kinds.append(event.type)
        if event.subscribed is not None:
            assert event.subscribed.get_state is not None
            self._begin(event.subscribed.get_state)
        elif event.task_added is not None:
            self._add(event.task_added.task)
        elif event.task_updated is not None:
            self._update(event.task_updated)
        elif event.framework_added is not None:
            name, connected = _framework(event.framework_added.framework)
            assert name not in self.frameworks
            self.frameworks[name] = connected
        elif event.framework_updated is not None:
            name, connected = _framework(event.framework_updated.framework)
            assert self.frameworks[name] != connected
            self.frameworks[name] = connected
        elif event.framework_removed is not None:
            removed = event.framework_removed.framework_info.id
            assert removed is not None
            del self.frameworks[removed.value]
        elif event.agent_added is not None:
            agent_id = event.agent_added.agent.agent_info.id
            assert agent_id is not None
            assert agent_id.value not in self.agents
            self.agents.add(agent_id.value)
        elif event.agent_removed is not None:
            self.agents.remove(event.agent_removed.agent_id.value)
        else:
            assert event.type is Event.Type.HEARTBEAT

    def assert_is(self, state: GetState) -> None:
        """What is known is what is."""
        real = Mirror()
        real._begin(state)
        assert self.tasks == real.tasks
        assert self.frameworks == real.frameworks
        assert self.agents == real.agents
        assert real.updates <= self.updates

    def _begin(self, state: GetState) -> None:
        tasks, frameworks, agents = state.get_tasks, state.get_frameworks, state.get_agents
        assert tasks is not None
        assert frameworks is not None
        assert agents is not None
        for each in (*tasks.tasks, *tasks.unreachable_tasks, *tasks.completed_tasks):
            self._add(each)
        self.frameworks = dict(map(_framework, frameworks.frameworks))
        for agent in agents.agents:
            assert agent.agent_info.id is not None
            self.agents.add(agent.agent_info.id.value)

    def _add(self, task: mesos.Task) -> None:
        assert task.task_id.value not in self.tasks
        self.tasks[task.task_id.value] = task.state
        self.updates.update(status.uuid for status in task.statuses if status.uuid)

    def _update(self, update: Event.TaskUpdated) -> None:
        assert update.status.task_id.value in self.tasks
        self.tasks[update.status.task_id.value] = update.state
        if update.status.uuid:
            assert update.status.uuid not in self.updates
            self.updates.add(update.status.uuid)


def _framework(found: master.Response.GetFrameworks.Framework) -> tuple[str, bool]:
    assert found.framework_info.id is not None
    return found.framework_info.id.value, found.connected
