"""Which events follow a SUBSCRIBED that is made from a snapshot: each change once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tepui.base.names import StreamId
from tepui.master.core import operator
from tepui.master.core.actions import (
    Answer,
    AnswerFromSnapshot,
    Effects,
    EndStream,
    SendEvent,
    TakeSnapshot,
)
from tepui.master.core.events import (
    Event,
    OperatorLeft,
    OperatorSubscribed,
    RequestId,
    SnapshotDue,
)
from tepui.master.core.frameworks import OPERATOR_HEARTBEAT
from tepui.master.core.settings import HEARTBEAT_INTERVAL_MS
from tepui.master.core.views import questions, reading, v1
from tepui.wire import json, master, media
from tepui.wire.media import Media
from tepui.wire.pieces import made
from tests.master.operator.mirror import Mirror
from tests.master.views.test_reading import populated
from tests.master.world import TaskState, World

OPERATOR = StreamId("operator")
ASKED = RequestId(1_000)
PUTS = 12  # of `history` at least, each a batch


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked, it is much."""
    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", -1)


class Played(World):
    """A world in which one subscribes, and a snapshot is taken, within batches of other events.

    The shell is played, too: it acts when the whole batch has been stepped.
    """

    def __init__(self, batches: dict[int, tuple[list[Event], list[Event]]]) -> None:
        self._batches = batches  # what comes before and behind the batch of that number
        self._puts = 0
        self._has_asked = False
        self.mirror = Mirror()
        super().__init__()

    def put(self, *events: Event) -> Effects:
        before, behind = self._batches.get(self._puts, ([], []))
        self._puts += 1
        return super().put(*before, *events, *behind)

    def _keep(self, effects: Effects) -> None:
        super()._keep(effects)
        for action in effects.then:
            match action:
                case AnswerFromSnapshot(request=request):
                    self._has_asked |= request == ASKED
                case TakeSnapshot() if self._has_asked:
                    self._has_asked = False
                    parts = reading.render(self.state, questions.SubscribedAsked(), self.now_ms)
                    body = b"".join(made(parts))
                    self.mirror.apply(json.decode(master.Event, body))
                case SendEvent(stream=stream, event=event) if stream == OPERATOR:
                    assert isinstance(event, master.Event)
                    self.mirror.apply(event)
                case _:
                    pass


def history(world: World) -> None:
    """Something of everything that operators are told of."""
    agent = world.add_agent()
    one = world.subscribe(name="one", roles=("web",))
    one.launch("t1", agent)
    agent.update(one, "t1", TaskState.TASK_RUNNING)
    one.launch("t2", agent)
    agent.update(one, "t1", TaskState.TASK_FINISHED)
    other = world.add_agent()
    two = world.subscribe(name="two", roles=("db",))
    one.leave()
    two.launch("t3", other)
    other.disconnect()
    world.put()


def places() -> Iterator[tuple[int, int]]:
    for asked in range(PUTS):
        for due in range(asked, PUTS):
            yield asked, due


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("asks_first", [True, False])
@pytest.mark.parametrize("is_due_first", [True, False])
def test_state_and_events_together_hold_each_change_once(
    asks_first: bool, is_due_first: bool
) -> None:
    for asked, due in places():
        batches: dict[int, tuple[list[Event], list[Event]]] = {}
        for at, event, is_first in (
            (asked, OperatorSubscribed(ASKED, OPERATOR), asks_first),
            (due, SnapshotDue(), is_due_first),
        ):
            before, behind = batches.setdefault(at, ([], []))
            (before if is_first else behind).append(event)
        world = Played(batches)
        history(world)
        world.mirror.assert_is(v1.state_of(world.state))
        assert world.mirror.kinds[1] is master.Event.Type.HEARTBEAT, (asked, due)


@pytest.mark.usefixtures("large")
def test_who_waits_is_told_nothing_until_the_snapshot_is_taken() -> None:
    world = World()
    request = RequestId(1)
    asked = world.put(OperatorSubscribed(request, OPERATOR, accepted=Media.PROTOBUF))
    question = questions.SubscribedAsked(Media.PROTOBUF)
    assert asked.then == [AnswerFromSnapshot(request, question, "application/x-protobuf")]
    world.add_agent()
    world.advance(3 * HEARTBEAT_INTERVAL_MS)
    assert world.events(OPERATOR, master.Event) == []
    taken = world.put(SnapshotDue())
    assert taken.then == [TakeSnapshot(), SendEvent(OPERATOR, OPERATOR_HEARTBEAT)]
    assert list(world.state.operators) == [OPERATOR]
    assert not world.state.operators_waiting
    assert world.put(SnapshotDue()).then == [TakeSnapshot()]


@pytest.mark.usefixtures("large")
def test_snapshot_is_the_last_of_its_step() -> None:
    world = World()
    world.put(OperatorSubscribed(RequestId(1), OPERATOR))
    left = OperatorSubscribed(RequestId(2), StreamId("another"))
    done = world.put(SnapshotDue(), left, OperatorLeft(OPERATOR))
    assert [type(action) for action in done.then] == [AnswerFromSnapshot, TakeSnapshot, SendEvent]
    assert list(world.state.operators) == ["another"]


@pytest.mark.usefixtures("large")
def test_who_leaves_while_waiting_is_forgotten() -> None:
    world = World()
    world.put(OperatorSubscribed(RequestId(1), OPERATOR))
    world.put(OperatorLeft(OPERATOR))
    assert world.put(SnapshotDue()).then == [TakeSnapshot()]
    assert not world.state.operators


def test_little_is_told_at_once() -> None:
    world = World()
    request = RequestId(1)
    told = world.put(OperatorSubscribed(request, OPERATOR)).then
    assert told == [
        SendEvent(OPERATOR, v1.subscribed(world.state)),
        SendEvent(OPERATOR, OPERATOR_HEARTBEAT),
        Answer(request, 200),
    ]


@pytest.mark.parametrize("more", [0, 1])
def test_so_much_is_told_at_once_and_more_is_not(
    more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = populated()
    count = reading.objects_count(world.state, questions.SubscribedAsked())
    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", count - more)
    world.put(OperatorSubscribed(RequestId(1_000), OPERATOR))
    assert (OPERATOR in world.state.operators_waiting) == bool(more)
    assert (OPERATOR in world.state.operators) == (not more)


def test_the_oldest_makes_room_whether_it_waits_or_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operator, "OPERATORS_MAX", 2)
    world = World()
    first = world.watch()
    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", -1)
    second = world.watch()
    assert world.ended == set()
    world.watch()
    assert world.ended == {first}
    last = world.put(OperatorSubscribed(RequestId(1_000), OPERATOR))
    assert last.then[0] == EndStream(second)
    assert len(world.state.operators_waiting) == 2


@pytest.mark.parametrize("accepted", [Media.JSON, Media.PROTOBUF])
@pytest.mark.parametrize("is_empty", [True, False])
def test_subscribed_from_a_snapshot_is_the_same(accepted: Media, is_empty: bool) -> None:
    world = World() if is_empty else populated()[0]
    question = questions.SubscribedAsked(accepted)
    parts = reading.render(world.state, question, world.now_ms)
    assert b"".join(made(parts)) == media.encode(v1.subscribed(world.state), accepted)
