"""The soak run's ledger finds what must not be, and the run itself still runs."""

from __future__ import annotations

import pytest

from bench.hostile import KINDS
from bench.soak import Options, soak
from bench.soak_ledger import REPEAT_S, Ledger, Task
from tepui.wire import mesos

TaskState = mesos.TaskState
Reason = mesos.TaskStatus.Reason
UPDATES = (TaskState.TASK_STARTING, TaskState.TASK_RUNNING, TaskState.TASK_FINISHED)


def ledger_of_one(expected: TaskState = TaskState.TASK_FINISHED) -> Ledger:
    """A ledger with one task, `t`, that was accepted."""
    ledger = Ledger()
    ledger.launch(Task(id="t", framework="f", agent_id="a", expected=expected, launched_s=0.0))
    ledger.accepted("t", is_taken=True)
    return ledger


def tell(
    ledger: Ledger,
    state: TaskState,
    number: int | None = None,
    *,
    now_s: float = 1.0,
    reason: Reason | None = None,
) -> None:
    """An update of `t`; without a number it needs no acknowledgement."""
    uuid = None if number is None else bytes((number,)) * 16
    status = mesos.TaskStatus(task_id=mesos.TaskID("t"), state=state, uuid=uuid, reason=reason)
    ledger.updated(status, now_s)


def live(ledger: Ledger) -> None:
    """The whole life of `t`, each update acknowledged at second 2."""
    for number, state in enumerate(UPDATES, 1):
        tell(ledger, state, number)
        ledger.acknowledged("t", bytes((number,)) * 16, 2.0)


def test_a_task_that_ends_and_is_acknowledged_is_no_fault() -> None:
    ledger = ledger_of_one()
    live(ledger)
    assert ledger.faults == []
    assert ledger.open == {}
    assert ledger.ended == {"TASK_FINISHED": 1}


def test_an_end_that_is_not_acknowledged_stays_open() -> None:
    ledger = ledger_of_one()
    tell(ledger, TaskState.TASK_FINISHED, 1)
    assert list(ledger.open) == ["t"]
    ledger.write_off("turn", lambda task: "nobody knows it")
    assert len(ledger.faults) == 1
    assert ledger.open == {}


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (TaskState.TASK_STARTING, "TASK_STARTING after an update of rank 2"),
        (TaskState.TASK_FAILED, "TASK_FAILED, not TASK_FINISHED"),
    ],
)
def test_updates_that_do_not_follow_are_faults(second: TaskState, text: str) -> None:
    ledger = ledger_of_one()
    tell(ledger, TaskState.TASK_RUNNING, 1)
    tell(ledger, second, 2)
    assert len(ledger.faults) == 1
    assert text in ledger.faults[0]


def test_a_second_end_is_a_fault() -> None:
    ledger = ledger_of_one()
    live(ledger)
    tell(ledger, TaskState.TASK_FINISHED, 4)
    assert len(ledger.faults) == 1


@pytest.mark.parametrize(("later_s", "faults"), [(REPEAT_S, 0), (REPEAT_S + 0.1, 1)])
def test_an_acknowledged_update_may_not_come_again_for_long(later_s: float, faults: int) -> None:
    ledger = ledger_of_one()
    live(ledger)
    tell(ledger, TaskState.TASK_FINISHED, 3, now_s=2.0 + later_s)
    assert len(ledger.faults) == faults
    assert ledger.repeated == 1


@pytest.mark.parametrize(
    ("state", "reason", "faults"),
    [
        (TaskState.TASK_DROPPED, Reason.REASON_INVALID_OFFERS, 0),
        (TaskState.TASK_GONE, Reason.REASON_RECONCILIATION, 1),
    ],
)
def test_a_task_that_was_accepted_may_not_be_unknown(
    state: TaskState, reason: Reason, faults: int
) -> None:
    ledger = ledger_of_one()
    tell(ledger, state, reason=reason)
    assert len(ledger.faults) == faults
    assert ledger.open == {}


def test_a_task_may_be_unknown_when_that_it_was_dropped_may_have_been_missed() -> None:
    ledger = ledger_of_one()
    ledger.subscribed("f")
    tell(ledger, TaskState.TASK_GONE, reason=Reason.REASON_RECONCILIATION)
    assert ledger.faults == []


def test_a_task_whose_accept_broke_may_be_unknown_and_then_come_after_all() -> None:
    ledger = ledger_of_one()
    ledger.accepted("t", is_taken=False)
    tell(ledger, TaskState.TASK_GONE, reason=Reason.REASON_RECONCILIATION)
    assert ledger.open == {}
    live(ledger)
    assert ledger.faults == []
    assert ledger.ended["TASK_FINISHED"] == 1


def test_every_hostile_client_has_a_name_of_its_own() -> None:
    assert "" not in KINDS
    assert len({kind.__doc__ for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.real
@pytest.mark.long
def test_a_tiny_soak_run_passes() -> None:
    kinds = ("half_requests", "foreign_updates")
    chosen = Options(
        minutes=0.1, kinds=kinds, agents=3, real_agents=1, schedulers=4, rate=20.0, share=0.2
    )
    assert soak(chosen) == []
