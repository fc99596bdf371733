"""What only a bystander can see, asserted after each step of any core.

- no two masters act in one epoch, and none after a later epoch has begun to act;
- no update that a leader has taken as acknowledged is sent again by it;
- no task leaves a terminal state, and none is started twice;
- no container of a checkpointing framework is killed that nobody wanted to be killed;
- an agent never follows a lesser epoch than it has followed;
- what is on a disk, or being written, is what the state needs;
- `master.core.invariants` and `agent.core.invariants`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from tepui.agent.core import invariants as agent_invariants
from tepui.agent.core.saved import Saved, whole
from tepui.base.names import AgentId, StreamId
from tepui.master.core import actions
from tepui.master.core import invariants as master_invariants
from tepui.master.core.actions import AgentAdmitted, AgentGone, AgentUnreachable, EpochBegan
from tepui.master.core.registry import Registered, entry
from tepui.master.core.state import Agent, State
from tepui.sim.cluster.agreement import check_agreement
from tepui.sim.cluster.container_audit import ContainerAudit, Task
from tepui.wire import mesos, scheduler
from tepui.wire.states import TERMINAL_STATES

if TYPE_CHECKING:
    from tepui.agent.core.effects import Effects
    from tepui.sim.cluster.agent_node import AgentNode
    from tepui.sim.cluster.master_node import Leader, MasterNode

FORCED_MS = 3_000  # after a session was ended by force its leader may not know


class Audit:
    """Holds what happens against what went before."""

    def __init__(self, check_every: int, *, digests: bool = False) -> None:
        """Whole states are looked at each so many steps of a node.

        With `digests` it keeps a digest of all that the cores decided.
        """
        self.steps = 0
        self.digest = sha256() if digests else None
        self.masters: list[MasterNode] = []
        self.agents: list[AgentNode] = []
        self.forced_ms: int | None = None  # when a session was ended last that had not to
        self.containers = ContainerAudit()
        self.ended: dict[Task, mesos.TaskState] = {}  # as agents have said
        self._check_every = check_every
        self._actors: dict[int, Leader] = {}  # by epoch
        self._epoch = 0  # the greatest of them
        self._streams: dict[StreamId, str] = {}  # their frameworks
        self._acknowledged: set[tuple[int, bytes]] = set()  # epochs and updates
        self._followed: dict[str, int] = {}  # the greatest epoch, by agent

    # Masters

    def begins_to_lead(self, node: MasterNode) -> None:
        """It was elected."""
        if self._is_forced(node):
            return
        for other in self.masters:
            if other is not node and other.process.alive and other.candidate is not None:
                assert not other.candidate.holds(), f"{node.name} and {other.name} both lead"

    def acts(self, leader: Leader) -> None:
        """It does something that others see."""
        epoch = leader.state.epoch
        assert self._actors.setdefault(epoch, leader) is leader, f"two masters act in epoch {epoch}"
        if not self._is_forced(leader.node):
            assert epoch >= self._epoch, f"epoch {epoch} acts, and {self._epoch} has begun"
        self._epoch = max(self._epoch, epoch)

    def _is_forced(self, node: MasterNode) -> bool:
        return self.forced_ms is not None and self.forced_ms + FORCED_MS > node.machine.time.now_ms

    def master_stepped(self, leader: Leader, effects: actions.Effects) -> None:
        """Nothing of the step has been saved or done."""
        self.steps += 1
        self._note(effects)
        self._streams |= leader.state.framework_by_stream
        if self.steps % self._check_every == 0:
            master_invariants.check(leader.state)
            self._check_registry(leader, effects)

    def _check_registry(self, leader: Leader, effects: actions.Effects) -> None:
        found = leader.registry()
        if found is None:
            return
        for record in effects.save:
            key, registered = entry(record)
            if registered is None:
                found.pop(key, None)
            else:
                found[key] = registered
        wanted = registry_of(leader.state)
        for key in sorted(found.keys() | wanted.keys()):
            assert found.get(key) == wanted.get(key), f"{key}: {found.get(key)}, {wanted.get(key)}"

    def sends(self, leader: Leader, stream: StreamId, event: scheduler.Event) -> None:
        """A scheduler is told something."""
        framework_id = self._streams.get(stream)
        if event.update is None or framework_id is None:  # it came and went within one batch
            return
        status = event.update.status
        if status.uuid is None:
            return  # the master's own word, which may be provisional
        task_id = status.task_id.value
        known = (leader.state.epoch, status.uuid)
        assert known not in self._acknowledged, f"{task_id}: acknowledged, and sent again"
        key = (framework_id, task_id)
        ended = self.ended.get(key)
        assert ended is None or status.state is ended, f"{task_id}: {ended}, {status.state}"
        if status.state in TERMINAL_STATES:
            self.ended[key] = status.state

    def acknowledges(self, leader: Leader, uuid: bytes) -> None:
        """An agent is told that its update need not be sent again."""
        self._acknowledged.add((leader.state.epoch, uuid))

    def answers(self, leader: Leader, call: scheduler.Call, status: int) -> None:
        """A call of a scheduler was taken, or refused.

        An acknowledgement counts if the leader remembers it: it may have had no such update.
        """
        if status != 202 or call.acknowledge is None:
            return
        state, uuid = leader.state, call.acknowledge.uuid
        agent_id = AgentId(call.acknowledge.agent_id.value)
        agent = state.agents.get(agent_id)
        absent = state.unreachable_agents.get(agent_id) or state.recovered_agents.get(agent_id)
        if (agent is not None and _knows_acknowledged(agent, call.acknowledge)) or (
            absent is not None and uuid in absent.acknowledged
        ):
            self._acknowledged.add((state.epoch, uuid))

    # Agents

    def agent_stepped(self, node: AgentNode, effects: Effects) -> None:
        """Nothing of the step has been saved or done."""
        self.steps += 1
        self._note(effects)
        if self.steps % self._check_every == 0:
            agent_invariants.check(node.state)
            self._check_disk(node, effects)

    def follows(self, node: AgentNode, epoch: int) -> None:
        """The leader of this epoch has taken the agent, and the agent knows that for good."""
        before = self._followed.get(node.name, 0)
        assert epoch >= before, f"{node.name} follows epoch {epoch} after {before}"
        self._followed[node.name] = epoch

    def _check_disk(self, node: AgentNode, effects: Effects) -> None:
        from tepui.sim.cluster.agent_node import writes_of

        found: dict[str, Saved] = node.disk.when_saved()
        for key, saved in writes_of(effects.save):
            if saved is None:
                found.pop(key, None)
            else:
                found[key] = saved
        wanted = whole(node.state)
        for key in sorted(found.keys() | wanted.keys()):
            assert found.get(key) == wanted.get(key), (
                f"{node.name} {key}: {found.get(key)}, {wanted.get(key)}"
            )

    def lives(self, agent_id: str) -> bool:
        """Whether there is an agent that is called so, or will be when it starts again."""
        return any(agent_id in (node.agent_id, node.saved_id) for node in self.agents)

    # All together

    def look_around(self) -> None:
        """Called now and then, between two events."""
        for node in self.masters:
            if node.leader is not None and node.process.alive:
                for agent in self.agents:
                    if agent.process.alive:
                        check_agreement(node.leader, agent)

    def _note(self, effects: object) -> None:
        if self.digest is not None:
            self.digest.update(repr(effects).encode())


def registry_of(state: State) -> dict[str, Registered]:
    """What the registry must hold of a leader's state."""
    records: list[Registered] = [EpochBegan(state.epoch)]
    for agent in state.agents.values():
        records.append(AgentAdmitted(agent.info, agent.deactivated))
    for absent in state.recovered_agents.values():
        records.append(AgentAdmitted(absent.info, absent.deactivated))
    for absent in state.unreachable_agents.values():
        records.append(AgentUnreachable(absent.info, absent.since_ms, absent.deactivated))
    for absent in state.gone_agents.values():
        records.append(AgentGone(absent.info, absent.since_ms))
    found: dict[str, Registered] = {}
    for record in records:
        key, registered = entry(record)
        assert registered is not None
        found[key] = registered
    return found


def _knows_acknowledged(agent: Agent, call: scheduler.Call.Acknowledge) -> bool:
    tasks = (task for (_, name), task in agent.tasks.items() if name == call.task_id.value)
    early = any(task.acknowledged_early == call.uuid for task in tasks)
    return early or agent.has_acknowledged(call.uuid)
