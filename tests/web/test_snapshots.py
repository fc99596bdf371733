"""Snapshots by fork: real children, small renderers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
from msgspec import Struct

from tepui.base.loop import Overloaded
from tepui.web import snapshots as module
from tepui.web.filed import SharedFile, new_file
from tepui.web.snapshots import Render, SnapshotFailed, Snapshots
from tepui.wire.pieces import Later, Part

pytestmark = pytest.mark.real

LIMIT_S = 20  # of a test that hangs


class Asked(Struct, frozen=True):
    """A question."""

    name: str
    count: int = 1


class Desk:
    """Snapshots whose owner takes one when the test says so."""

    def __init__(self, render: Render, *, deadline_s: float = LIMIT_S) -> None:
        self.wanted = 0
        self.snapshots = Snapshots(render, self._want, deadline_s=deadline_s)

    def _want(self) -> None:
        self.wanted += 1

    async def answer(self, question: Struct) -> bytes:
        """The answer of a snapshot that is taken at once."""
        return text_of(await self.file(question))

    async def file(self, question: Struct) -> SharedFile:
        """The same, in its file."""
        waiting = self.snapshots.ask(question)
        self.snapshots.take()
        return await waiting


def text_of(file: SharedFile) -> bytes:
    """All that is in the file."""
    found, offset = b"", 0
    while piece := file.read(offset):
        found += piece
        offset += len(piece)
    assert len(found) == file.size_bytes
    return found


def play(test: Callable[[], Awaitable[None]]) -> None:
    """Run the test in a loop, for a limited time."""

    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(limited())


def repeat(question: Struct) -> Iterator[bytes]:
    """The name of the question, as often as it says."""
    assert isinstance(question, Asked)
    for _ in range(question.count):
        yield question.name.encode()


def test_answer_is_what_the_renderer_writes() -> None:
    async def test() -> None:
        desk = Desk(repeat)
        assert await desk.answer(Asked("ab", 3)) == b"ababab"
        assert await desk.answer(Asked("x" * 1_000, 1_000)) == b"x" * 1_000_000
        assert await desk.answer(Asked("nothing", 0)) == b""

    play(test)


def test_answer_is_of_the_moment_when_the_snapshot_was_taken() -> None:
    async def test() -> None:
        known = ["before"]
        desk = Desk(lambda question: iter([" ".join(known).encode()]))
        waiting = desk.snapshots.ask(Asked("a"))
        known.append("asked")
        desk.snapshots.take()
        known.append("taken")
        assert text_of(await waiting) == b"before asked"

    play(test)


def test_equal_questions_share_an_answer_and_others_the_snapshot() -> None:
    async def test() -> None:
        desk = Desk(lambda question: iter([f"{os.getpid()} {question}".encode()]))
        one, same = desk.snapshots.ask(Asked("a")), desk.snapshots.ask(Asked("a"))
        other = desk.snapshots.ask(Asked("a", 2))
        assert one is same
        assert desk.wanted == 1
        desk.snapshots.take()
        first, second = text_of(await one), text_of(await other)
        assert first != second
        assert first.split()[0] == second.split()[0]
        assert first.split()[0] != str(os.getpid()).encode()

    play(test)


def test_who_asks_while_a_child_works_waits_for_the_next_one() -> None:
    async def test() -> None:
        desk = Desk(lambda question: iter([str(os.getpid()).encode()]))
        early = desk.snapshots.ask(Asked("a"))
        desk.snapshots.take()
        late = desk.snapshots.ask(Asked("a"))
        desk.snapshots.take()  # one child at a time
        assert desk.wanted == 1
        first = text_of(await early)
        assert desk.wanted == 2  # the child has ended, and somebody waits
        assert not late.done()
        desk.snapshots.take()
        assert text_of(await late) != first

    play(test)


def test_renderer_that_raises_is_answered_500_and_said_on_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(question: Struct) -> Iterator[bytes]:
        yield b"half an answer"
        raise ValueError("the renderer is broken")

    async def test() -> None:
        desk = Desk(fail)
        with pytest.raises(SnapshotFailed) as failed:
            await desk.answer(Asked("a"))
        assert (failed.value.status, failed.value.text) == (
            500,
            "The answer could not be made; the log says why",
        )

    play(test)
    assert "ValueError: the renderer is broken" in capfd.readouterr().err


def test_child_that_dies_is_answered_500_and_the_next_one_works() -> None:
    def die(question: Struct) -> Iterator[bytes]:
        assert isinstance(question, Asked)
        if question.name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        yield b"alive"

    async def test() -> None:
        desk = Desk(die)
        with pytest.raises(SnapshotFailed) as failed:
            await desk.answer(Asked("die"))
        assert failed.value.status == 500
        assert await desk.answer(Asked("live")) == b"alive"

    play(test)


def test_child_that_passes_its_deadline_is_killed_and_answered_503() -> None:
    def hang(question: Struct) -> Iterator[bytes]:
        signal.pause()
        yield b""

    async def test() -> None:
        desk = Desk(hang, deadline_s=0.05)
        with pytest.raises(SnapshotFailed) as failed:
            await desk.answer(Asked("a"))
        assert failed.value.status == 503
        assert failed.value.text == "The answer was not ready within 0.05 seconds"

    play(test)


def test_as_many_questions_wait_as_the_limit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUESTIONS_MAX", 2)

    async def test() -> None:
        desk = Desk(repeat)
        one, two = desk.snapshots.ask(Asked("a")), desk.snapshots.ask(Asked("b"))
        assert desk.snapshots.ask(Asked("b")) is two
        with pytest.raises(Overloaded):
            desk.snapshots.ask(Asked("c"))
        desk.snapshots.take()
        three = desk.snapshots.ask(Asked("c"))
        assert (text_of(await one), text_of(await two)) == (b"a", b"b")
        desk.snapshots.take()
        assert text_of(await three) == b"c"

    play(test)


def in_shares(monkeypatch: pytest.MonkeyPatch, render: Render) -> Desk:
    """A desk whose answers are made by four processes, on any machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(4))
    desk = Desk(render)
    desk.snapshots = Snapshots(render, lambda: None, lambda question: 4 * module.SHARE_VALUES_MIN)
    return desk


def quarters(name: Callable[[int], str]) -> Iterator[Part]:
    """A text whose quarters have these names; each is made by one process."""

    def text(number: int) -> bytes:
        return name(number).encode()

    for number in range(4):
        yield Later(partial(text, number), module.SHARE_VALUES_MIN)


def test_long_answer_is_made_by_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        desk = in_shares(monkeypatch, lambda question: quarters(lambda n: f"{n}:{os.getpid()} "))
        file = await desk.file(Asked("a"))
        shares = [share.split(b":") for share in text_of(file).split()]
        assert [number for number, _ in shares] == [b"0", b"1", b"2", b"3"]
        assert len({pid for _, pid in shares}) == 4
        assert [file.read(offset) for offset in (file.size_bytes, file.size_bytes + 1)] == [b""] * 2

    play(test)


def test_answer_of_which_one_share_fails_is_none(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(number: int) -> str:
        if number == 2:
            raise ValueError("the third quarter is broken")
        return "fine"

    async def test() -> None:
        desk = in_shares(monkeypatch, lambda question: quarters(fail))
        with pytest.raises(SnapshotFailed) as failed:
            await desk.file(Asked("a"))
        assert failed.value.status == 500

    play(test)
    assert "ValueError: the third quarter is broken" in capfd.readouterr().err


def test_child_has_no_descriptor_but_its_file() -> None:
    def named(question: Struct) -> Iterator[bytes]:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        paths = [f"/proc/self/fd/{number}" for number in numbers if number > 2]
        # The directory itself was open while it was read.
        yield ",".join(os.readlink(path) for path in paths if os.path.lexists(path)).encode()

    async def test() -> None:
        reading, writing = os.pipe()
        try:
            assert await Desk(named).answer(Asked("a")) == b"/memfd:snapshot (deleted)"
        finally:
            os.close(reading)
            os.close(writing)

    play(test)


def test_readers_of_the_largest_answers_are_cut_off_when_all_hold_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 1_500)

    async def test() -> None:
        desk = Desk(repeat)
        held = []
        for size in (1_000, 400, 200):
            waiting = desk.snapshots.ask(Asked("x", size))
            desk.snapshots.take()
            held.append(await waiting)
        assert [file.is_cut for file in held] == [False, False, False]
        await desk.answer(Asked("y"))
        assert [file.is_cut for file in held] == [True, False, False]

    play(test)


def test_close_answers_those_who_wait_and_ends_the_child() -> None:
    def hang(question: Struct) -> Iterator[bytes]:
        signal.pause()
        yield b""

    async def test() -> None:
        desk = Desk(hang)
        working = desk.snapshots.ask(Asked("a"))
        desk.snapshots.take()
        waiting = desk.snapshots.ask(Asked("b"))
        desk.snapshots.close()
        for answer in (working, waiting):
            with pytest.raises(SnapshotFailed):
                await answer
        with pytest.raises(Overloaded):
            desk.snapshots.ask(Asked("c"))

    play(test)


def open_files() -> set[str]:
    """What is open in this process, but for the directory that is read to find out."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return found


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_no_file_and_no_child_is_left_when_there_are_too_few_files(
    monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    """Two answers need two files, and their child a third."""
    fork = os.fork
    children: list[int] = []

    def forked() -> int:
        children.append(fork())
        return children[-1]

    def too_few(made: Callable[..., int]) -> Callable[..., int]:
        def new(*args: object) -> int:
            nonlocal spare
            if not spare:
                raise OSError(errno.EMFILE, "Too many open files")
            spare -= 1
            return made(*args)

        return new

    async def test() -> None:
        desk = Desk(repeat)
        waiting = [desk.snapshots.ask(Asked(name)) for name in "ab"]
        before = open_files()
        with monkeypatch.context() as few:
            few.setattr("tepui.web.snapshots.new_file", too_few(new_file))
            few.setattr(os, "pidfd_open", too_few(os.pidfd_open))
            few.setattr(os, "fork", forked)
            desk.snapshots.take()
        for one in waiting:
            with pytest.raises(SnapshotFailed) as failed:
                await one
            assert failed.value.status == 503
        assert open_files() <= before  # others may be gone by now
        for pid in children:
            with pytest.raises(ProcessLookupError):  # it is not even one that has ended
                os.kill(pid, 0)
        assert await desk.answer(Asked("c")) == b"c"

    play(test)
