"""Steps the master's production core through a journal: what it was at any moment.

    replay = Replay(read_journal(directory))
    replay.to(moment_ms)
    replay.state, replay.now_ms

A moment between two terms shows the master as it was at the end of the first: what happened in
between was not told to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tepui.base.errors import Refused
from tepui.base.names import StreamId
from tepui.master.core.actions import Effects, SendEvent
from tepui.master.core.state import State
from tepui.master.core.step import step
from tepui.master.daemon.journal_format import decided, mark_of
from tepui.sim.replay.files import Recorded, Segment, batches_of, picture_of
from tepui.sim.replay.moments import text_of_moment
from tepui.wire import master

# A stream of the operator API that no daemon gives away: what is published comes out on it.
WATCHER = StreamId("replay")
NO_TIMER = -1


class Watcher:
    """Sees what is stepped; all that it is given is only to be read."""

    def stepping(self, state: State, batch: Recorded) -> None:
        """The batch is going to be stepped."""

    def stepped(
        self, state: State, batch: Recorded, effects: Effects, published: Sequence[master.Event]
    ) -> None:
        """It was, with these effects; `published` is what operators who subscribed would read."""


class Replay:
    """A core that goes through the journal, forward as long as it can and else from a picture."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._at = -1  # the index of the segment
        self._batches: Iterator[Recorded] = iter(())
        self._next: Recorded | None = None
        self._state: State | None = None
        self._effects = (0, 0)
        self._has_stepped = False  # since the picture: `_effects` are known
        self.now_ms = 0
        self.batch = 0  # the number of the next one, in its term
        self.notes: list[str] = []  # what whoever reads the result should know

    @property
    def state(self) -> State:
        """After `to`. Only to be read."""
        assert self._state is not None, "`to` comes first"
        return self._state

    @property
    def segment(self) -> Segment:
        """The one that it is in, after `to`."""
        return self._segments[self._at]

    def to(self, moment_ms: int, watcher: Watcher | None = None) -> None:
        """All that was stepped until the moment has been, and `watcher` has seen it.

        Raises Refused for a moment that the journal does not reach, and when the core decides
        otherwise than it has.
        """
        self._go(self._start_for(moment_ms), moment_ms, watcher)
        self.now_ms = moment_ms

    def before(self, moment_ms: int) -> None:
        """What was stepped earlier than the moment has been, and nothing of the moment itself."""
        begins_ms = self._segments[0].begins_ms
        self._go(self._start_for(max(begins_ms, moment_ms - 1)), moment_ms - 1, None)

    def _go(self, first: int, moment_ms: int, watcher: Watcher | None) -> None:
        if not self._is_on_the_way(first, moment_ms, must_see_all=watcher is not None):
            self._load(first)
        while True:
            self._step_until(moment_ms, watcher)
            if self._next is not None or not self._has_segment_before(moment_ms):
                break
            self._pass_on()
        is_last = self._at == len(self._segments) - 1
        if is_last and self._next is None and moment_ms > self.segment.last_ms:
            self._note(f"the journal ends at {text_of_moment(self.segment.last_ms)}")
        if not is_last and self._next is None and moment_ms > self.segment.last_ms:
            self._note_gap(self._segments[self._at + 1])

    def _note_gap(self, following: Segment) -> None:
        """The moment is between two terms: nobody was told anything, or the last were lost."""
        ended, began = text_of_moment(self.segment.last_ms), _begin(following)
        if self.segment.header.term != following.header.term:
            self._note(
                f"nothing is recorded between {ended} and {began}, when a master began anew:"
                f" shown is what was at {ended}"
            )

    def _start_for(self, moment_ms: int) -> int:
        """The index of the last picture before the moment."""
        if not self._segments or moment_ms < self._segments[0].begins_ms:
            begins = text_of_moment(self._segments[0].begins_ms) if self._segments else "never"
            raise Refused(f"the journal begins at {begins}")
        for index in range(len(self._segments) - 1, -1, -1):
            segment = self._segments[index]
            if segment.begins_ms <= moment_ms and segment.has_picture:
                return index
        later = [s.begins_ms for s in self._segments if s.has_picture]
        known = f"from {text_of_moment(later[0])} on" if later else "at no time"
        raise Refused(f"the master's state is known {known}: earlier pictures are missing")

    def _is_on_the_way(self, first: int, moment_ms: int, *, must_see_all: bool) -> bool:
        """Whether the moment is to be reached from where this is."""
        if self._state is None or moment_ms < self.now_ms:
            return False
        return must_see_all or first <= self._at

    def _has_segment_before(self, moment_ms: int) -> bool:
        index = self._at + 1
        return index < len(self._segments) and self._segments[index].begins_ms <= moment_ms

    def _load(self, index: int) -> None:
        segment = self._segments[index]
        self._state = picture_of(segment)
        self._has_stepped = False
        self._enter(index)

    def _pass_on(self) -> None:
        """To the next segment; without its picture when it follows on this one."""
        here, index = self.segment, self._at + 1
        following = self._segments[index]
        follows_on = (
            here.header.term == following.header.term and self.batch == following.header.first_batch
        )
        if follows_on:
            self._enter(index)
            return
        ended = text_of_moment(here.last_ms)
        if here.header.term != following.header.term:
            self._note(f"this master did not lead from {ended} to {_begin(following)}")
        else:
            self._note(f"nothing was recorded from {ended} to {_begin(following)}")
        if following.has_picture:
            self._load(index)
        else:
            self._note(f"the state at {_begin(following)} is missing: what follows is left out")
            self._at = index
            self.batch = -1  # nothing follows on this
            self._next = None
            self._batches = iter(())

    def _enter(self, index: int) -> None:
        segment = self._segments[index]
        self._at = index
        self.batch = segment.header.first_batch
        self._batches = batches_of(segment)
        self._next = next(self._batches, None)

    def _step_until(self, moment_ms: int, watcher: Watcher | None) -> None:
        state = self.state
        if watcher is not None:
            state.operators[WATCHER] = NO_TIMER
        try:
            while self._next is not None and self._next.at_ms <= moment_ms:
                self._check(state, self._next)
                self._step(state, self._next, watcher)
                self._next = next(self._batches, None)
        finally:
            state.operators.pop(WATCHER, None)

    def _check(self, state: State, batch: Recorded) -> None:
        if self._has_stepped and mark_of(state, *self._effects) != batch.mark:
            raise Refused(
                f"the replay differs from what was recorded, at {text_of_moment(batch.at_ms)}"
                f" (batch {batch.number} of term {self.segment.header.term}):"
                f" it was written by another program that calls itself {self.segment.header.version},"
                " or the program is at fault"
            )

    def _step(self, state: State, batch: Recorded, watcher: Watcher | None) -> None:
        if watcher is not None:
            watcher.stepping(state, batch)
        effects = step(state, batch.events, batch.at_ms)
        if watcher is not None:
            published = _take_published(effects)
            watcher.stepped(state, batch, effects, published)
        self._effects = decided(effects)
        self._has_stepped = True
        self.now_ms = batch.at_ms
        self.batch = batch.number + 1

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _take_published(effects: Effects) -> list[master.Event]:
    """What was sent to the watcher, and to nobody else; it is not among the effects any more."""
    published: list[master.Event] = []
    others = []
    for action in effects.then:
        if isinstance(action, SendEvent) and action.stream == WATCHER:
            assert isinstance(action.event, master.Event)  # the stream is an operator's
            published.append(action.event)
        else:
            others.append(action)
    effects.then[:] = others
    return published


def _begin(segment: Segment) -> str:
    return text_of_moment(segment.begins_ms)
