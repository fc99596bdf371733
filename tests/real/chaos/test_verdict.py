"""The verdict of a chaos run finds what must not be: ledgers and logs in which it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.chaos.ledger import Ledger, entries_of
from tests.real.chaos.verdict import RACE_S, Verdict, judge

RUN = "start 7\nend 7\n"
LEADER = "127.0.0.1:1 stream-1"
NEXT = "127.0.0.1:2 stream-2"
TRACE = "Traceback (most recent call last):\n"


class Story:
    """A framework with one task, as it would have written it down."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self.notes = directory / "tasks"
        self.notes.mkdir()
        self.logs: list[Path] = []
        self.ledger = Ledger(directory / "ledger")
        self.ledger.write("subscribed", framework="f", leader=LEADER)
        self.ledger.write("submit", task="t", agent="a")
        self.ledger.write("accepted", tasks=["t"])

    def update(self, state: str, uuid: str, leader: str = LEADER, pid: int = 0) -> None:
        self.ledger.write(
            "update", task="t", state=state, uuid=uuid, leader=leader, text="", pid=pid
        )

    def ack(self, state: str, uuid: str) -> None:
        self.ledger.write("ack", task="t", state=state, uuid=uuid, leader=LEADER)

    def log(self, name: str, text: str) -> None:
        path = self._root / name
        path.write_text(text)
        self.logs.append(path)

    def verdict(self) -> Verdict:
        return judge({"sdk": self._root / "ledger"}, self.notes, self.logs)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def finished(story: Story) -> None:
    """The task has run and ended well."""
    (story.notes / "t").write_text(RUN)
    story.update("TASK_RUNNING", "1", pid=7)
    story.ack("TASK_RUNNING", "1")
    story.update("TASK_FINISHED", "2", pid=7)
    story.ack("TASK_FINISHED", "2")


def test_a_task_that_ran_once_and_finished_is_well(story: Story) -> None:
    finished(story)
    verdict = story.verdict()
    assert verdict.faults == []
    assert verdict.outcomes == {"TASK_FINISHED": 1}


def test_a_task_that_was_dropped_before_it_ran_is_well(story: Story) -> None:
    story.update("TASK_DROPPED", "")
    verdict = story.verdict()
    assert verdict.faults == []
    assert verdict.outcomes == {"TASK_DROPPED, said by a master": 1}


def test_a_task_without_an_outcome_is_a_fault(story: Story) -> None:
    story.update("TASK_RUNNING", "1")
    [fault] = story.verdict().faults
    assert fault.startswith("t: it has no outcome; accepted=True, updates ['TASK_RUNNING']")


def test_a_second_end_is_a_fault(story: Story) -> None:
    finished(story)
    story.update("TASK_LOST", "3")
    [fault] = story.verdict().faults
    assert "t: it has ended 2 times" in fault


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("start 7\nstart 8\nend 8\n", "t: it was started 2 times"),
        ("start 7\nend 8\n", "t: its process has changed"),
        ("start 8\nend 8\n", "t: its process is 8, and the updates name [7]"),
        ("start 7\n", "t: it has finished, and its file has ['start 7']"),
    ],
)
def test_a_task_that_was_started_anew_is_a_fault(story: Story, lines: str, fault: str) -> None:
    finished(story)
    (story.notes / "t").write_text(lines)
    assert any(one.startswith(fault) for one in story.verdict().faults)


def test_a_task_that_ran_and_is_said_to_be_nowhere_is_a_fault(story: Story) -> None:
    (story.notes / "t").write_text(RUN)
    story.update("TASK_GONE", "")
    [fault] = story.verdict().faults
    assert fault.startswith("t: it ran, and its outcome is TASK_GONE, said by a master")


def test_a_task_that_nobody_has_submitted_is_a_fault(story: Story) -> None:
    finished(story)
    (story.notes / "u").write_text(RUN)
    assert story.verdict().faults == ["u: it ran, but nobody has submitted it"]


def test_an_update_may_come_again_before_it_was_acknowledged_only(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.update("TASK_RUNNING", "1")
    finished(story)
    story.update("TASK_FINISHED", "2", leader=NEXT)  # the next master does not know of it
    story.update("TASK_FINISHED", "2")  # it was on its way
    verdict = story.verdict()
    assert (verdict.faults, verdict.repeated, verdict.crossed) == ([], 1, 1)
    assert verdict.repeated_by_next == 1
    monkeypatch.setattr("time.time", lambda: _last_s(story) + RACE_S + 1)
    story.update("TASK_FINISHED", "2")
    [fault] = story.verdict().faults
    assert "t: TASK_FINISHED came again" in fault


def _last_s(story: Story) -> float:
    [*_, last] = entries_of(story._root / "ledger")
    at_s = last["at_s"]
    assert isinstance(at_s, float)
    return at_s


def test_two_masters_in_one_epoch_and_an_agent_that_goes_back_are_faults(story: Story) -> None:
    finished(story)
    for number, since in ((1, "10:00"), (2, "11:00"), (3, "12:00")):
        epoch = min(number, 2)
        story.log(
            f"master-{number}.log",
            f"09:00 INFO tepui.master started pid=master@m:{number} id=x\n"
            f"{since} INFO tepui.master leading id=x epoch={epoch} agents_expected=1\n",
        )
    story.log(
        "agent.log",
        "11:01 INFO tepui.agent link_opened master=m:2\n"
        "11:02 INFO tepui.agent registered agent=a\n"
        "11:03 INFO tepui.agent link_opened master=m:1\n"
        "11:03 WARNING tepui.agent link_lost master=m:1\n"
        "11:04 INFO tepui.agent link_opened master=m:1\n"
        "11:04 INFO tepui.agent container_exited container=c status=0\n"
        "11:05 INFO tepui.agent registered agent=a\n",
    )
    verdict = story.verdict()
    assert verdict.leaders == 3
    assert verdict.faults == [
        "2 masters led in epoch 2",
        f"{story.logs[-1]}: 11:05: registered with m:1 in epoch 1 after epoch 2",
    ]


def test_a_traceback_in_a_log_is_a_fault(story: Story) -> None:
    finished(story)
    story.log("master.log", TRACE)
    assert story.verdict().faults == [f"{story.logs[0]}: {TRACE.strip()}"]


def test_a_ledger_that_was_cut_off_by_a_kill_goes_on(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.write("subscribed", framework="f", leader=LEADER)
    first.write("submit", task="t", agent="a")
    with (tmp_path / "0000.jsonl").open("a") as file:
        file.write('{"kind": "subm')
    second = Ledger(tmp_path)
    assert (second.framework_id, second.submitted, second.open) == ("f", 1, {"t": "a"})
    second.write("ack", task="t", state="TASK_FINISHED", uuid="1", leader=LEADER)
    assert Ledger(tmp_path).open == {}


def test_what_is_unknown_to_a_master_may_come_back_until_the_ledger_is_settled(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)

    def told(state: str, uuid: str = "") -> None:
        ledger.write("update", task="t", state=state, uuid=uuid, leader=LEADER, text="", pid=0)

    ledger.write("submit", task="t", agent="a")
    told("TASK_UNKNOWN")
    assert (ledger.open, ledger.missing) == ({}, {"t": "a"})
    told("TASK_RUNNING", "1")
    assert (ledger.open, ledger.missing) == ({"t": "a"}, {})
    told("TASK_FINISHED")  # the update of the agent is to come
    assert ledger.open == {"t": "a"}
    told("TASK_UNKNOWN")
    ledger.settle()
    assert (ledger.open, ledger.missing) == ({"t": "a"}, {})
    told("TASK_UNKNOWN")
    assert (ledger.open, ledger.missing) == ({}, {})
