"""A journal is replayed: the same effects, the state of any moment, and what differs between two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from tepui.base.errors import Refused
from tepui.base.names import AgentId
from tepui.master.core.actions import Effects
from tepui.master.core.events import LinkReceived
from tepui.master.core.invariants import check
from tepui.master.core.state import State
from tepui.master.core.step import HANDLERS
from tepui.master.daemon import journal
from tepui.master.daemon.journal import Recorder
from tepui.sim.replay.events import Line, Lines, Wanted
from tepui.sim.replay.files import Recorded, read_journal
from tepui.sim.replay.moments import moment_ms, text_of_moment
from tepui.sim.replay.replay import WATCHER, Replay, Watcher
from tepui.sim.replay.views import Difference, Ledger, difference, overview, view
from tepui.wire import link, master
from tests.master.journals import Played, as_bytes, busy_world, play_much, record
from tests.master.world import START_MS, Scheduler, TaskState, World

ROOT = Path(__file__).parents[3]


class Noting(Watcher):
    """Keeps the effects of each batch."""

    def __init__(self) -> None:
        self.effects: list[bytes] = []

    def stepped(
        self, state: State, batch: Recorded, effects: Effects, published: Sequence[master.Event]
    ) -> None:
        self.effects.append(as_bytes(effects))


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """Much that happened, in several segments."""
    monkeypatch.setattr(journal, "SEGMENT_EVENTS_MAX", 60)
    return record(tmp_path, play_much, world=busy_world())


def effects_of(directory: Path, segment: int) -> list[bytes]:
    """From the picture of a segment to the end of the journal."""
    noting = Noting()
    Replay(read_journal(directory)[segment:]).to(2**45, noting)
    return noting.effects


def test_every_segment_alone_leads_to_the_recorded_effects(played: Played) -> None:
    segments = read_journal(played.directory)
    assert len(segments) > 3
    for index, segment in enumerate(segments):
        replay, noting = Replay(segments[index : index + 1]), Noting()
        replay.to(segment.last_ms, noting)
        first = segment.header.first_batch
        assert noting.effects == played.effects[first : segment.next_batch]


def test_another_process_decides_the_same(played: Played) -> None:
    program = (
        "import sys; from pathlib import Path; from hashlib import sha256;"
        "from tests.sim.replay.test_replay import effects_of;"
        "print(sha256(b''.join(effects_of(Path(sys.argv[1]), 0))).hexdigest())"
    )
    told = sha256(b"".join(effects_of(played.directory, 0))).hexdigest()
    for seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }
        found = subprocess.run(
            [sys.executable, "-c", program, str(played.directory)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stdout.strip()) == (0, told), found.stderr


def test_the_end_is_the_state_that_was(played: Played) -> None:
    replay = Replay(read_journal(played.directory))
    replay.to(played.world.now_ms)
    assert overview(replay.state, "") == overview(played.world.state, "")
    for path in ("/state", "/roles", "/master/tasks?limit=3", "/frameworks", "/metrics/snapshot"):
        known = view(played.world.state, path, played.world.now_ms)
        assert json.loads(view(replay.state, path, played.world.now_ms)) == json.loads(known)


def test_any_moment_is_reached_forward_and_backward(played: Played) -> None:
    segments = read_journal(played.directory)
    replay = Replay(segments)
    shown = {}
    for at_ms in range(segments[0].begins_ms, segments[-1].last_ms, 7_000):
        replay.to(at_ms)
        check(replay.state)
        shown[at_ms] = view(replay.state, "/state", at_ms)
    assert len(set(shown.values())) > 5
    for at_ms in reversed(shown):
        replay.to(at_ms)
        assert view(replay.state, "/state", at_ms) == shown[at_ms]
    assert not replay.notes


def test_a_moment_holds_all_that_was_stepped_at_it(tmp_path: Path) -> None:
    async def play(world: World, recorder: Recorder) -> None:
        world.add_agent()
        world.advance(1_000)
        world.add_agent()

    record(tmp_path, play)
    replay = Replay(read_journal(tmp_path))
    replay.to(START_MS + 999)
    assert len(replay.state.agents) == 1
    replay.to(START_MS + 1_000)
    assert len(replay.state.agents) == 2
    replay.before(START_MS + 1_000)
    assert len(replay.state.agents) == 1
    replay.before(START_MS)
    assert len(replay.state.agents) == 0


def test_nothing_is_known_before_the_journal(played: Played) -> None:
    replay = Replay(read_journal(played.directory))
    with pytest.raises(Refused, match=r"the journal begins at 2023-11-14T22:13:20\.000Z"):
        replay.to(START_MS - 1)


def test_a_moment_after_the_journal_is_its_end_and_says_so(played: Played) -> None:
    replay = Replay(read_journal(played.directory))
    replay.to(played.world.now_ms + 3_600_000)
    ends = text_of_moment(read_journal(played.directory)[-1].last_ms)
    assert replay.notes == [f"the journal ends at {ends}"]
    assert overview(replay.state, "") == overview(played.world.state, "")


def test_a_picture_that_is_missing_is_reached_from_the_one_before(played: Played) -> None:
    pictures = sorted(played.directory.glob("*.state"))
    for picture in pictures[1:]:
        picture.unlink()
    segments = read_journal(played.directory)
    noting = Noting()
    Replay(segments).to(played.world.now_ms, noting)
    assert noting.effects == played.effects
    pictures[0].unlink()
    with pytest.raises(Refused, match="the master's state is known at no time"):
        Replay(read_journal(played.directory)).to(played.world.now_ms)


def test_terms_follow_each_other(tmp_path: Path) -> None:
    async def first(world: World, recorder: Recorder) -> None:
        world.add_agent()
        world.advance(20_000)

    async def second(world: World, recorder: Recorder) -> None:
        world.subscribe()
        world.advance(20_000)

    record(tmp_path, first)
    later = World()
    later.now_ms += 60_000
    record(tmp_path, second, world=later)
    replay = Replay(read_journal(tmp_path))
    replay.to(START_MS + 30_000)
    assert (len(replay.state.agents), len(replay.state.frameworks)) == (1, 0)
    assert [note.split(" between ")[0] for note in replay.notes] == ["nothing is recorded"]
    replay.notes.clear()
    watcher = Noting()
    replay.to(START_MS + 70_000, watcher)
    assert (len(replay.state.agents), len(replay.state.frameworks)) == (0, 1)
    assert [note.split(" from ")[0] for note in replay.notes] == ["this master did not lead"]


def test_a_core_that_decides_otherwise_is_noticed(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HANDLERS, LinkReceived, lambda state, event, now_ms, step: None)
    with pytest.raises(
        Refused, match="the replay differs from what was recorded, at 2023-11-14T22"
    ):
        Replay(read_journal(played.directory)).to(played.world.now_ms)


# What differs


async def a_day(world: World, recorder: Recorder) -> None:
    """Two agents that are lost, one with its task; another task ends, and a framework leaves."""
    agents = [world.add_agent(hostname=f"h{n}") for n in range(2)]
    scheduler = world.subscribe(name="shop")
    other = world.subscribe(name="other", failover_s=0.0)
    world.advance(10_000)
    for n, agent in enumerate(agents):
        offered = scheduler if agent.id in _offered(scheduler) else other
        offered.launch(f"t{n}", agent)
        agent.update(offered, f"t{n}", TaskState.TASK_RUNNING)
    world.advance(10_000)
    owner = scheduler if "t0" in scheduler.framework.tasks else other
    agents[0].update(owner, "t0", TaskState.TASK_FINISHED)
    agents[1].disconnect()
    world.advance(80_000)
    other.leave()
    world.add_agent(hostname="h2")
    world.advance(10_000)


def _offered(scheduler: Scheduler) -> set[AgentId]:
    return {offer.agent_id for offer in scheduler.framework.offers.values()}


def difference_of(directory: Path, begin_ms: int, end_ms: int) -> Difference:
    replay = Replay(read_journal(directory))
    replay.to(begin_ms)
    before, ledger = overview(replay.state, "a"), Ledger()
    replay.to(end_ms, ledger)
    return difference(before, overview(replay.state, "b"), ledger)


def test_what_came_and_went_is_counted(tmp_path: Path) -> None:
    record(tmp_path, a_day)
    found = difference_of(tmp_path, START_MS + 5_000, START_MS + 105_000)
    assert [(one.hostname, one.change) for one in found.agents] == [
        ("h0", "became unreachable"),
        ("h1", "disconnected, then became unreachable"),
        ("h2", "came"),
    ]
    assert sum(one.launched for one in found.frameworks) == 2
    ended = [one.ended for one in found.frameworks if one.ended]
    assert {name for each in ended for name in each} == {"TASK_FINISHED", "TASK_LOST"}
    assert {one.name: one.change for one in found.frameworks}["other"] == "went"


def test_who_comes_back_has_come_back(tmp_path: Path) -> None:
    async def again(world: World, recorder: Recorder) -> None:
        agent = world.add_agent(hostname="h0")
        world.advance(10_000)
        agent.disconnect()
        world.advance(1_000)
        agent.reregister()
        world.advance(10_000)

    record(tmp_path, again)
    (found,) = difference_of(tmp_path, START_MS + 5_000, START_MS + 20_000).agents
    assert found.change == "disconnected, then came back"


def test_an_overview_says_why_an_agent_is_offered_nothing() -> None:
    world = World()
    agent = world.add_agent()
    full = link.Condition(accepts_tasks=False, reason="the disk is full")
    states = [overview(world.state, "").agents[0].state]
    agent.say(full)
    states.append(overview(world.state, "").agents[0].state)
    agent.disconnect()
    states.append(overview(world.state, "").agents[0].state)
    assert states == ["active", "takes no tasks", "disconnected"]


def test_between_two_equal_moments_nothing_differs(tmp_path: Path) -> None:
    record(tmp_path, a_day)
    found = difference_of(tmp_path, START_MS + 5_000, START_MS + 5_000)
    assert (found.agents, found.frameworks, found.weights, found.flags) == ([], [], {}, {})


def test_watching_changes_nothing(played: Played) -> None:
    alone, watched = (Replay(read_journal(played.directory)) for _ in range(2))
    alone.to(played.world.now_ms)
    watched.before(START_MS)
    watched.to(played.world.now_ms, Ledger())
    assert WATCHER not in watched.state.operators
    assert view(watched.state, "/state", 0) == view(alone.state, "/state", 0)


# What happened


def lines_of(directory: Path, wanted: Wanted) -> list[Line]:
    found: list[Line] = []
    replay = Replay(read_journal(directory))
    replay.before(START_MS)
    replay.to(2**45, Lines(wanted, found.append))
    return found


def test_the_life_of_a_task_is_told(tmp_path: Path) -> None:
    record(tmp_path, a_day)
    lost = [(line.way, line.kind, line.content) for line in lines_of(tmp_path, Wanted(task="t1"))]
    assert lost == [
        ("<", "ACCEPT", "operations=LAUNCH"),
        (">", "TASK_ADDED", "is TASK_STAGING"),
        (">", "RunTasks", ""),
        ("<", "StatusUpdated", "TASK_RUNNING"),
        (">", "TASK_UPDATED", "is TASK_RUNNING"),
        (">", "UPDATE", "TASK_RUNNING"),
        ("<", "ACKNOWLEDGE", ""),
        (">", "AcknowledgeUpdate", ""),
        (">", "TASK_UPDATED", "is TASK_LOST"),
        (">", "UPDATE", "TASK_LOST REASON_AGENT_REMOVED 'health check timed out'"),
    ]


def test_lines_are_chosen_by_agent_and_framework(tmp_path: Path) -> None:
    world = record(tmp_path, a_day).world
    everything = lines_of(tmp_path, Wanted())
    of_agent = lines_of(tmp_path, Wanted(agent="-S1"))
    framework_id = next(iter(world.state.frameworks))
    of_framework = lines_of(tmp_path, Wanted(framework=framework_id))
    assert 0 < len(of_agent) < len(everything)
    assert "Register" in {line.kind for line in of_agent}
    assert "LinkClosed" in {line.kind for line in of_agent}
    assert all(any(one.endswith("-S1") for one in line.agents) for line in of_agent)
    assert {"SUBSCRIBE", "OFFERS", "SUBSCRIBED"} <= {line.kind for line in of_framework}
    assert not lines_of(tmp_path, Wanted(task="no such task"))
    assert len({line.text() for line in everything}) > 10


# Moments

BEGINS_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z
ENDS_MS = BEGINS_MS + 86_400_000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2023-11-14T22:13:20Z", BEGINS_MS),
        ("2023-11-14T22:13:20.250Z", BEGINS_MS + 250),
        ("2023-11-14T23:13:20+01:00", BEGINS_MS),
        ("2023-11-14 22:13:20", BEGINS_MS),
        ("22:13", ENDS_MS - 20_000),
        ("22:13:20", ENDS_MS),
        ("22:13:20.007", ENDS_MS + 7),
        ("+0", BEGINS_MS),
        ("+90.5", BEGINS_MS + 90_500),
    ],
)
def test_a_moment_is_read(text: str, found: int) -> None:
    assert moment_ms(text, BEGINS_MS, ENDS_MS) == found


NO_YEARS = ["+999999999999", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:59"]


@pytest.mark.parametrize(
    "text", ["", "noon", "24:00", "03:60", "+", "+-1", "-5", "1e9", "+1e9", *NO_YEARS]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="expected 2026-11-21T03:12:00Z, 03:12 or"):
        moment_ms(text, BEGINS_MS, ENDS_MS)


def test_a_moment_is_written_in_utc() -> None:
    assert text_of_moment(BEGINS_MS + 7) == "2023-11-14T22:13:20.007Z"
