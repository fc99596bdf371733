"""The recorder: what it writes, within which size, and that it never hurts the master."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tepui import __version__
from tepui.base.errors import Refused
from tepui.base.ids import Uuids
from tepui.base.names import StreamId
from tepui.master.core.actions import Effects
from tepui.master.core.events import (
    Asked,
    CallReceived,
    Event,
    LinkClosed,
    LinkId,
    LinkReceived,
    RequestId,
)
from tepui.master.core.invariants import check
from tepui.master.core.state import State
from tepui.master.core.step import HANDLERS
from tepui.master.core.views.questions import (
    ExplainFrameworkAsked,
    MetricsAsked,
    MetricsForm,
    StateAsked,
)
from tepui.master.daemon import journal, journal_format
from tepui.master.daemon.journal import JournalOptions, Recorder
from tepui.master.daemon.journal_pickle import pickled, restored, restored_state
from tepui.master.daemon.journal_writer import JournalWriter
from tepui.resources import parse_resources
from tepui.sim.replay.files import Segment, batches_of, picture_of, read_journal
from tepui.wire import link, mesos, scheduler
from tests.master.journals import Played, busy_world, play_much, record
from tests.master.world import World


def events_in(directory: Path) -> list[Event]:
    return [e for s in read_journal(directory) for b in batches_of(s) for e in b.events]


def played(directory: Path) -> Played:
    return record(directory, play_much, world=busy_world())


def test_every_batch_is_recorded_as_it_was_stepped(tmp_path: Path) -> None:
    stepped: list[tuple[int, tuple[Event, ...]]] = []

    async def play(world: World, recorder: Recorder) -> None:
        step = world.step

        def noting(state: State, events: Sequence[Event], now_ms: int) -> Effects:
            stepped.append((now_ms, tuple(events)))
            return step(state, events, now_ms)

        world.step = noting
        await play_much(world, recorder)

    record(tmp_path, play, world=busy_world())
    recorded = [b for s in read_journal(tmp_path) for b in batches_of(s)]
    assert [(b.at_ms, b.events) for b in recorded] == stepped
    assert [b.number for b in recorded] == list(range(len(stepped)))


@pytest.mark.parametrize(
    "event",
    [
        Asked(RequestId(1), StateAsked()),
        Asked(RequestId(2), MetricsAsked(MetricsForm.PROMETHEUS, {"http/x": 1.5})),
        Asked(RequestId(3), ExplainFrameworkAsked("f", parse_resources("cpus:1;ports:[1-5,7-9]"))),
        Asked(RequestId(4), ExplainFrameworkAsked("f")),
        LinkReceived(LinkId(1), link.Pong(2**62)),
        LinkReceived(LinkId(2), link.ExecutorMessage("f", "e", b"\x00\xff")),
        LinkClosed(LinkId(3)),
        CallReceived(
            RequestId(5),
            scheduler.Call(type=scheduler.Call.Type.KILL, framework_id=mesos.FrameworkID("\ud800")),
            StreamId("s"),
        ),
        LinkReceived(LinkId(2**70), link.Unregister()),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    buffer = bytearray()
    journal_format.append_batch(buffer, 7, 8, (event, LinkClosed(LinkId(9))))
    (batch,) = journal_format.read_batches(bytes(buffer))
    assert (batch.at_ms, batch.mark) == (7, 8)
    found = tuple(journal_format.event_of(*one) for one in batch.events)
    assert found == (event, LinkClosed(LinkId(9)))


def test_each_segment_begins_with_the_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_EVENTS_MAX", 60)
    played(tmp_path)
    segments = read_journal(tmp_path)
    assert len(segments) > 3
    assert all(segment.has_picture for segment in segments)
    assert len({segment.header.term for segment in segments}) == 1
    for before, after in itertools.pairwise(segments):
        assert after.header.first_batch == before.next_batch
        assert after.begins_ms >= before.last_ms
    for segment in segments:
        check(picture_of(segment))


def test_a_large_state_is_pictured_by_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "AT_ONCE_OBJECTS", 0)
    monkeypatch.setattr(journal, "SEGMENT_EVENTS_MAX", 20)

    async def play(world: World, recorder: Recorder) -> None:
        scheduler = world.subscribe()
        for n in range(30):
            scheduler.launch(f"t{n}", world.add_agent())
            await recorder.pictured()

    world = record(tmp_path, play).world
    pictured = [s for s in read_journal(tmp_path) if s.has_picture]
    assert len(pictured) > 2
    state = picture_of(pictured[-1])
    assert state.info == world.state.info
    assert 0 < len(state.agents) <= 30
    check(state)


def test_a_state_comes_back_as_it_was() -> None:
    world = busy_world()
    asyncio.run(play_much(world, Recorder(JournalOptions(Path("/nowhere")))))
    state = restored_state(pickled(world.state))
    check(state)
    for at_ms in range(world.now_ms, world.now_ms + 100_000, 5_000):
        assert world.step(state, (), at_ms) == world.step(world.state, (), at_ms)


def test_the_oldest_goes_when_the_journal_is_as_large_as_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_EVENTS_MAX", 60)
    whole = played(tmp_path / "whole")
    full = sum(file.stat().st_size for file in (tmp_path / "whole").iterdir())
    part = record(tmp_path / "part", play_much, world=busy_world(), bytes_max=full // 2)
    assert len(part.effects) == len(whole.effects)
    left = read_journal(tmp_path / "part")
    assert sum(file.stat().st_size for file in (tmp_path / "part").iterdir()) <= full // 2
    assert 2 <= len(left) < len(read_journal(tmp_path / "whole"))
    assert left[0].has_picture
    assert left[-1].next_batch == len(part.effects)


def test_one_segment_that_is_too_large_ends_the_recording_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = record(tmp_path, play_much, world=busy_world(), bytes_max=1)
    assert len(found.effects) > 100
    stopped = [r for r in caplog.records if "journal_stopped" in r.getMessage()]
    assert len(stopped) == 1
    assert "--journal_size" in stopped[0].getMessage()


def test_a_directory_that_cannot_be_made_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    found = record(tmp_path / "file" / "journal", play_much, world=busy_world())
    assert len(found.effects) > 100
    assert sum("journal_stopped" in r.getMessage() for r in caplog.records) == 1


def test_a_full_disk_is_said_once_and_ends_the_recording_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*about: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_format, "block", full)
    found = record(tmp_path, play_much, world=busy_world())
    assert len(found.effects) > 100
    assert sum("journal_stopped" in r.getMessage() for r in caplog.records) == 1
    assert "No space left on device" in caplog.text


def test_two_masters_do_not_write_into_one_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(world: World, recorder: Recorder) -> None:
        world.add_agent()
        other = Recorder(JournalOptions(tmp_path))
        other.step(World().state, (), world.now_ms)
        await other.close()
        world.add_agent()

    record(tmp_path, play)
    assert "another master writes into" in caplog.text
    assert len(events_in(tmp_path)) == 2


def test_a_disk_that_is_too_slow_makes_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(world: World, recorder: Recorder) -> None:
        world.add_agent()
        monkeypatch.setattr(JournalWriter, "waiting_bytes", journal.WAITING_BYTES_MAX + 1)
        for _ in range(5):
            world.add_agent()
        monkeypatch.setattr(JournalWriter, "waiting_bytes", 0)
        world.add_agent()

    found = record(tmp_path, play)
    before, after = read_journal(tmp_path)
    assert (before.header.first_batch, after.next_batch) == (0, len(found.effects))
    assert after.header.first_batch > before.next_batch
    assert len(picture_of(after).agents) == 6
    assert caplog.text.count("journal_gap") == 1


def test_whoever_leads_no_more_does_not_wait_for_the_disk_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = threading.Event()
    finish = JournalWriter.finish

    def finish_later(writer: JournalWriter) -> None:
        assert turned.wait(20), "the loop stands still"
        finish(writer)

    async def play(world: World, recorder: Recorder) -> None:
        world.add_agent()
        monkeypatch.setattr(JournalWriter, "finish", finish_later)
        asyncio.get_running_loop().call_soon(turned.set)

    record(tmp_path, play)
    assert len(events_in(tmp_path)) == 1


def test_what_ends_the_process_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*about: object) -> None:
        raise AssertionError("our fault")

    async def play(world: World, recorder: Recorder) -> None:
        world.add_agent()
        monkeypatch.setitem(HANDLERS, LinkClosed, fail)
        with pytest.raises(AssertionError, match="our fault"):
            world.put(LinkClosed(LinkId(77)))
        assert events_in(tmp_path)[-1] == LinkClosed(LinkId(77))

    record(tmp_path, play)


def test_only_the_owner_may_read_a_journal(tmp_path: Path) -> None:
    played(tmp_path / "journal")
    modes = {
        stat.S_IMODE(path.stat().st_mode)
        for path in ((tmp_path / "journal"), *(tmp_path / "journal").iterdir())
    }
    assert modes == {0o700, 0o600}


# What somebody else may have written


class Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not be printed",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Runs()),
        pickle.dumps(Path("/")),
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x05\x8c\x17tepui.master.core.state\x8c\x0fState.__init__\x93.",
        b"\x80\x05\x8c\x17tepui.master.core.state\x8c\x06msgspec\x93.",
        b"",
        b"\x80\x05.",
        b"\x80\x05]r\xff\xff\xff\x7f.",
        pickle.dumps([1, 2]),
        pickle.dumps(LinkId(3)),
    ],
)
def test_a_pickle_that_is_no_state_is_refused(
    content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused):
        restored_state(content)
    assert capfd.readouterr().out == ""


def test_a_pickle_names_classes_only() -> None:
    with pytest.raises(Refused, match=r"names 'builtins.print', which is no part"):
        restored(pickle.dumps(Runs()))


def test_a_pickle_that_changes_a_class_is_undone_and_refused() -> None:
    """`BUILD` sets attributes of whatever is on the stack, and a class may be."""
    taken = b"\x80\x05\x8c\x0etepui.base.ids\x8c\x05Uuids\x93"
    before = dict(vars(Uuids))
    for content, named in (
        (taken + b"N}\x8c\x0anext_bytes\x8c\x04mine\x73\x86b.", "Uuids.next_bytes"),
        (taken + b"N}\x8c\x04more\x8c\x04mine\x73\x86b.", "Uuids.more"),
    ):
        with pytest.raises(Refused, match=f"changes {named}, which no"):
            restored(content)
        assert dict(vars(Uuids)) == before


def test_another_version_is_refused_and_named(tmp_path: Path) -> None:
    played(tmp_path)
    path = next(tmp_path.glob("*.events"))
    content = path.read_bytes().replace(f'"{__version__}"'.encode(), b'"0.0.9"', 1)
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"was written by tepui 0\.0\.9 \(format 1\): only that"):
        read_journal(tmp_path)


def cut(tmp_path: Path, by: int) -> tuple[Segment, list[Event], list[Event]]:
    """A journal whose last bytes are missing; what was in it, and what is left."""
    played(tmp_path)
    whole = events_in(tmp_path)
    path = next(tmp_path.glob("*.events"))
    path.write_bytes(path.read_bytes()[:-by])
    (segment,) = read_journal(tmp_path)
    return segment, whole, events_in(tmp_path)


@pytest.mark.parametrize("by", [1, 3, 100])
def test_a_torn_end_is_cut_off(tmp_path: Path, by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PUT_BYTES", 2_000)
    segment, whole, left = cut(tmp_path, by)
    assert segment.is_torn
    assert 0 < len(left) < len(whole)
    assert left == whole[: len(left)]
    assert segment.events == len(left)


def test_a_damaged_block_ends_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PUT_BYTES", 2_000)
    played(tmp_path)
    whole = events_in(tmp_path)
    path = next(tmp_path.glob("*.events"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    left = events_in(tmp_path)
    assert 0 < len(left) < len(whole)
    assert left == whole[: len(left)]


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    played(tmp_path)
    path = next(tmp_path.glob("*.state"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    (segment,) = read_journal(tmp_path)
    with pytest.raises(Refused, match="is damaged"):
        picture_of(segment)
