"""The ledger of a soak run: what became of every task, and whether any update was lost.

A task that was launched has exactly one end. Its updates come in order, each at least once, and
not again when it was acknowledged. What does not fit is a fault; faults fail the run.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from tepui.sdk import is_terminal
from tepui.wire import mesos

TaskState = mesos.TaskState
Reason = mesos.TaskStatus.Reason

RANKS: Final = {
    TaskState.TASK_STAGING: 0,
    TaskState.TASK_STARTING: 1,
    TaskState.TASK_RUNNING: 2,
    TaskState.TASK_KILLING: 3,
}
ENDED: Final = 4  # the rank of all others
REPEAT_S: Final = 5.0  # an update may have been under way when its acknowledgement was answered
REMEMBERED_MAX: Final = 50_000  # tasks that have ended, to know repeated updates
FAULTS_MAX: Final = 10  # of one turn that are told; all are counted
NEVER_LAUNCHED: Final = {  # although the ACCEPT was answered
    (TaskState.TASK_DROPPED, Reason.REASON_INVALID_OFFERS),  # the offer was rescinded meanwhile
    (TaskState.TASK_DROPPED, Reason.REASON_RECONCILIATION),  # it got lost with an agent's link
}


class Task(Struct):
    """A task from its launch on."""

    id: str
    framework: str  # the scheduler's name: ids may come later
    agent_id: str
    expected: TaskState | None  # how it ends; None: it is not known
    launched_s: float
    accepted: bool = False  # the ACCEPT was answered 202
    answered: bool = False  # or it is known that no answer will come: now one may reconcile
    may_be_unknown: bool = False  # the scheduler may have missed that it was dropped
    rank: int = 0
    updates: dict[bytes, float | None] = field(default_factory=dict)  # uuid: acknowledged when
    ended: TaskState | None = None


class Ledger:
    """All tasks of good schedulers."""

    def __init__(self) -> None:
        self.open: dict[str, Task] = {}  # not ended, or the end is not acknowledged
        self._past: dict[str, Task] = {}
        self._past_order: deque[str] = deque()
        self.launched = 0
        self.ended: Counter[str] = Counter()  # by state
        self.repeated = 0  # updates that came again, as they may
        self.foreign = 0  # updates of tasks that nobody here has launched
        self.faults: list[str] = []
        self.fault_count = 0
        self._faults_told = 0  # in this turn
        self.last_end_s = 0.0
        self.first_update_s: list[float] = []  # from ACCEPT; taken by the run after each phase

    def turn(self) -> None:
        """Another turn begins: its faults are told again, and its times are new."""
        self._faults_told = 0
        self.first_update_s = []

    def fault(self, text: str) -> None:
        """Something that must not be."""
        self.fault_count += 1
        if self._faults_told < FAULTS_MAX:
            self._faults_told += 1
            self.faults.append(text)

    def launch(self, task: Task) -> None:
        """The task is about to be launched."""
        assert task.id not in self.open, task.id
        self.open[task.id] = task
        self.launched += 1

    def accepted(self, task_id: str, *, is_taken: bool) -> None:
        """The master has taken the ACCEPT, or nobody knows whether it has."""
        if task := self.open.get(task_id):
            task.accepted, task.answered = is_taken, True

    def subscribed(self, framework: str) -> None:
        """The scheduler reads a new stream: what it did not read of the one before is lost.

        That a task was dropped, for its offer was no more, is said once and without a uuid.
        """
        for task in self.of(framework):
            task.may_be_unknown = not task.updates

    def updated(self, status: mesos.TaskStatus, now_s: float) -> None:
        """A scheduler was told this of a task. With a uuid it must be acknowledged."""
        task = self.open.get(status.task_id.value) or self._past.get(status.task_id.value)
        if task is None:
            self.foreign += 1
        elif status.uuid:
            self._told(task, status, status.uuid, now_s)
        elif task.ended is None and is_terminal(status.state):
            self._never_ran(task, status, now_s)

    def acknowledged(self, task_id: str, uuid: bytes, now_s: float) -> None:
        """The master has taken the acknowledgement."""
        task = self.open.get(task_id)
        if task is None or uuid not in task.updates or task.updates[uuid] is not None:
            return
        task.updates[uuid] = now_s
        if task.ended is not None and all(at is not None for at in task.updates.values()):
            self._close(task)

    def torn_down(self, framework: str) -> None:
        """The framework is no more: nothing more is told of its tasks."""
        for task in self.of(framework):
            task.ended = TaskState.TASK_KILLED
            self.ended["torn down"] += 1
            self._close(task)

    def write_off(self, why: str, known: Callable[[Task], str]) -> None:
        """What is open now is lost; `known` tells what others know of a task."""
        for task in list(self.open.values()):
            told = "no end" if task.ended is None else f"{task.ended.name} not acknowledged"
            self.fault(
                f"{why}: task '{task.id}' of '{task.framework}' on '{task.agent_id}': {told},"
                f" rank {task.rank}, {len(task.updates)} updates, accepted={task.accepted};"
                f" {known(task)}"
            )
            task.ended = TaskState.TASK_LOST
            self._close(task)

    def of(self, framework: str) -> list[Task]:
        """The open tasks of a scheduler."""
        return [task for task in self.open.values() if task.framework == framework]

    def _told(self, task: Task, status: mesos.TaskStatus, uuid: bytes, now_s: float) -> None:
        if uuid in task.updates:
            self.repeated += 1
            acknowledged_s = task.updates[uuid]
            if acknowledged_s is not None and now_s - acknowledged_s > REPEAT_S:
                self.fault(
                    f"'{task.id}': {status.state.name} came again {now_s - acknowledged_s:.1f} s"
                    " after its acknowledgement was answered"
                )
            return
        if not task.updates:
            self.first_update_s.append(now_s - task.launched_s)
        rank = RANKS.get(status.state, ENDED)
        if task.ended is not None and not task.accepted and len(task.updates) == 0:
            self._open_again(task)  # the ACCEPT was taken after all, and after the reconciliation
        if task.ended is not None:
            self.fault(f"'{task.id}': {status.state.name} after its end, {task.ended.name}")
        elif rank < task.rank:
            self.fault(f"'{task.id}': {status.state.name} after an update of rank {task.rank}")
        task.rank = max(rank, task.rank)
        task.updates[uuid] = None
        if is_terminal(status.state) and task.ended is None:
            self._ended(task, status, now_s)
            if task.expected is not None and status.state is not task.expected:
                self.fault(
                    f"'{task.id}': {status.state.name}, not {task.expected.name}:"
                    f" {status.reason} {status.message}"
                )

    def _never_ran(self, task: Task, status: mesos.TaskStatus, now_s: float) -> None:
        """The master itself says that the task is not there."""
        task.ended = status.state
        self.ended[f"never ran, {status.state.name}"] += 1
        self._close(task)
        is_known = (status.state, status.reason) not in NEVER_LAUNCHED and not task.may_be_unknown
        if task.accepted and (task.updates or is_known):
            self.fault(
                f"'{task.id}': the master says {status.state.name} after {len(task.updates)}"
                f" updates: {status.reason} {status.message}"
            )

    def _ended(self, task: Task, status: mesos.TaskStatus, now_s: float) -> None:
        task.ended = status.state
        self.ended[status.state.name] += 1
        self.last_end_s = now_s

    def _open_again(self, task: Task) -> None:
        assert task.ended is not None
        self.ended[f"never ran, {task.ended.name}"] -= 1
        task.ended = None
        task.accepted = True
        self.open[task.id] = task

    def _close(self, task: Task) -> None:
        del self.open[task.id]
        self._past[task.id] = task
        self._past_order.append(task.id)
        if len(self._past_order) > REMEMBERED_MAX:
            self._past.pop(self._past_order.popleft(), None)
