"""Which processes belong to which container, where only /proc can tell."""

from __future__ import annotations

import os

import pytest

from tepui.agent.launcher.tree import Process, Root, Tree


def process(
    pid: int, parent: int, session: int, *, state: str = "S", start_time: int = 1
) -> Process:
    fields = [state, parent, session, session, 0, 0, 0, 0, 0, 0, 0, 5, 6, 0, 0, 20, 0, 3, 0]
    fields += [start_time, 0, 2]
    text = " ".join(str(field) for field in fields)
    return Process(pid, f"{pid} (a) b) {text}".encode())


class Machine(Tree):
    """A tree whose walk and marks are given."""

    def __init__(self, processes: list[Process], marks: dict[int, str]) -> None:
        super().__init__("token")
        self._processes = {one.pid: one for one in processes}
        self._given = marks

    def walk(self) -> dict[int, Process]:
        return self._processes

    def container_of(self, process: Process) -> str:
        return self._given.get(process.pid, "")


LAUNCHER = os.getpid()
PROCESSES = [
    process(1, 0, 1),
    process(LAUNCHER, 1, LAUNCHER),
    process(100_010, LAUNCHER, 100_010),  # main of a
    process(100_011, 100_010, 100_010),  # its child
    process(100_012, LAUNCHER, 100_010),  # an orphan in its session
    process(100_013, LAUNCHER, 100_013),  # a marked daemon of a
    process(100_014, 100_013, 100_014),  # its child, without mark and in a session of its own
    process(100_020, LAUNCHER, 100_020),  # main of b
    process(100_021, 100_020, 100_021),  # its child in a session of its own
    process(100_030, LAUNCHER, 100_030),  # a daemon that nobody knows
    process(100_040, 1, 100_040),  # none of ours
]
MARKS = {100_010: "a", 100_011: "a", 100_013: "a", 100_020: "b"}


@pytest.mark.parametrize(
    ("root", "others", "adopt", "found"),
    [
        (Root("a", 100_010, 1), {100_020}, False, [100_010, 100_011, 100_012, 100_013, 100_014]),
        (Root("b", 100_020, 1), {100_010}, False, [100_020, 100_021]),
        (Root("b", 100_020, 1), set(), True, [100_020, 100_021, 100_030]),
        (Root("c", 100_020, 2), {100_010}, False, []),
    ],
    ids=["session, parent and mark", "other", "the last adopts the unknown", "a reused pid"],
)
def test_members(root: Root, others: set[int], adopt: bool, found: list[int]) -> None:
    machine = Machine(PROCESSES, MARKS)
    if adopt:
        machine._processes = {
            pid: one for pid, one in machine.walk().items() if MARKS.get(pid) != "a"
        }
        for pid in (100_012, 100_014):
            del machine._processes[pid]
    members = machine.members(root, others, adopt=adopt)
    assert sorted(one.pid for one in members) == found


def test_name_with_parentheses_is_no_obstacle() -> None:
    one = process(7, 3, 5, state="Z", start_time=99)
    assert (one.parent, one.session, one.start_time, one.threads) == (3, 5, 99, 3)
    assert (one.user_ticks, one.system_ticks, one.ended) == (5, 6, True)
