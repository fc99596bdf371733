"""Lines that say what a master was told, and what it then said and did: the life of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from tepui.base.names import OfferId
from tepui.master.core.actions import Effects, SendEvent, SendToAgent
from tepui.master.core.events import (
    Asked,
    CallReceived,
    Event,
    LinkClosed,
    LinkReceived,
    OperatorCallReceived,
    StreamClosed,
    SubscribeReceived,
)
from tepui.master.core.state import State
from tepui.sim.replay.files import Recorded
from tepui.sim.replay.moments import text_of_moment
from tepui.sim.replay.replay import Watcher
from tepui.wire import link, master, mesos, scheduler

TOLD = "<"  # the master was told
SAID = ">"  # the master says
SHOWN = 3  # ids of one kind in a line; then only how many more there are
TEXT_CHARS = 120  # of a message

TO_AGENT = (
    link.RunTasks,
    link.KillTask,
    link.AcknowledgeUpdate,
    link.ShutdownExecutor,
    link.ShutdownFramework,
)
NOT_SHOWN = (scheduler.Event.Type.HEARTBEAT, master.Event.Type.HEARTBEAT)


class Line(Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    at: str
    way: str  # TOLD or SAID
    kind: str
    tasks: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    offers: int = 0
    content: str = ""

    def text(self) -> str:
        """As a line for people."""
        parts = [f"{self.at}  {self.way}  {self.kind:<22}"]
        for name, ids in (
            ("task", self.tasks),
            ("framework", self.frameworks),
            ("agent", self.agents),
        ):
            if ids:
                more = f",+{len(ids) - SHOWN}" if len(ids) > SHOWN else ""
                parts.append(f"{name}={','.join(ids[:SHOWN])}{more}")
        if self.offers:
            parts.append(f"offers={self.offers}")
        parts.append(self.content)
        return " ".join(part for part in parts if part).rstrip()


class Wanted(Struct, frozen=True):
    """Which lines: those of all ids that are given. An id may be given by its end."""

    task: str | None = None
    framework: str | None = None
    agent: str | None = None

    def has(self, line: Line) -> bool:
        """Whether the line is one."""
        return (
            _is_among(self.task, line.tasks)
            and _is_among(self.framework, line.frameworks)
            and _is_among(self.agent, line.agents)
        )


class Lines(Watcher):
    """Gives `tell` the lines that are wanted, while a replay goes on."""

    def __init__(self, wanted: Wanted, tell: Callable[[Line], None]) -> None:
        self._wanted = wanted
        self._tell = tell
        self._told: list[tuple[Event, _Found]] = []

    def stepping(self, state: State, batch: Recorded) -> None:
        """Whose offers are answered is known only before they are."""
        self._told = [(event, _found_in_event(state, event)) for event in batch.events]

    def stepped(
        self, state: State, batch: Recorded, effects: Effects, published: Sequence[master.Event]
    ) -> None:
        """The lines of the batch are told."""
        at = text_of_moment(batch.at_ms)
        for event, found in self._told:
            if isinstance(event, LinkReceived):
                found.add_agent(state.agent_by_link.get(event.link))
            elif isinstance(event, SubscribeReceived):
                found.add_framework(state.framework_by_stream.get(event.stream))
            self._give(_line(at, TOLD, _kind(event), found))
        for kind, found in _said(state, effects, published):
            self._give(_line(at, SAID, kind, found))

    def _give(self, line: Line) -> None:
        if self._wanted.has(line):
            self._tell(line)


class _Found:
    """What a message is about."""

    def __init__(self) -> None:
        self.tasks: dict[str, None] = {}
        self.frameworks: dict[str, None] = {}
        self.agents: dict[str, None] = {}
        self.offers: dict[str, None] = {}
        self.words: list[str] = []

    def add_agent(self, agent_id: str | None) -> None:
        if agent_id is not None:
            self.agents[agent_id] = None

    def add_framework(self, framework_id: str | None) -> None:
        if framework_id is not None:
            self.frameworks[framework_id] = None

    def search(self, found: object) -> None:
        """Every id in a message, by its type; on the link and in events by the name of its field."""
        match found:
            case mesos.TaskID(value=value):
                self.tasks[value] = None
            case mesos.FrameworkID(value=value):
                self.frameworks[value] = None
            case mesos.AgentID(value=value):
                self.agents[value] = None
            case mesos.OfferID(value=value):
                self.offers[value] = None
            case tuple():
                for each in found:
                    self.search(each)
            case Struct():
                for name in found.__struct_fields__:
                    self._search_field(name, getattr(found, name))

    def _search_field(self, name: str, value: object) -> None:
        if not isinstance(value, str):
            self.search(value)
        elif name == "framework_id":
            self.frameworks[value] = None
        elif name == "agent_id":
            self.agents[value] = None
        elif name == "task_id":
            self.tasks[value] = None


def _found_in_event(state: State, event: Event) -> _Found:
    found = _Found()
    found.search(event)
    match event:
        case LinkReceived(link=link_id, message=message):
            found.add_agent(state.agent_by_link.get(link_id))
            _say_of_link(found, message)
        case CallReceived(call=call):
            _say_of_call(found, call)
        case SubscribeReceived(call=call):
            info = call.subscribe.framework_info if call.subscribe else None
            found.words.append(f"name={info.name!r}" if info else "")
        case Asked(question=question):
            found.words.append(type(question).__name__)
        case LinkClosed(link=link_id):
            found.add_agent(state.agent_by_link.get(link_id))
        case StreamClosed(stream=stream):
            found.add_framework(state.framework_by_stream.get(stream))
        case _:
            pass
    for offer_id in found.offers:
        if (offer := state.offers.get(OfferId(offer_id))) is not None:
            found.add_agent(offer.agent_id)
            found.add_framework(offer.framework_id)
    return found


def _say_of_link(found: _Found, message: link.FromAgent) -> None:
    match message:
        case link.StatusUpdated(status=status):
            _say_of_status(found, status)
        case link.Register(info=info) | link.Reregister(info=info) | link.Return(info=info):
            found.words.append(f"hostname={info.hostname}")
        case link.Pong(sequence=sequence):
            found.words.append(f"sequence={sequence}")
        case _:
            pass


def _say_of_call(found: _Found, call: scheduler.Call) -> None:
    if call.accept is not None:
        kinds = [one.type.value for one in call.accept.operations if one.type is not None]
        found.words.append(f"operations={','.join(kinds)}" if kinds else "")


def _say_of_status(found: _Found, status: mesos.TaskStatus) -> None:
    found.words.append(status.state.value)
    if status.reason is not None:
        found.words.append(status.reason.value)
    if status.message:
        found.words.append(repr(status.message[:TEXT_CHARS]))


def _kind(event: Event) -> str:
    """What it is called: the call or message within, if it only carries one."""
    match event:
        case CallReceived(call=call):
            return call.type.value if call.type else "CALL"
        case OperatorCallReceived(call=asked):
            return asked.type.value if asked.type else "CALL"
        case LinkReceived(message=message):
            return type(message).__name__
        case SubscribeReceived():
            return "SUBSCRIBE"
        case _:
            return type(event).__name__


def _said(
    state: State, effects: Effects, published: Sequence[master.Event]
) -> Iterator[tuple[str, _Found]]:
    """What was published to operators, then what schedulers and agents are told."""
    for event in published:
        found = _Found()
        found.search(event)
        if (updated := event.task_updated) is not None:
            found.words.append(f"is {updated.state.value}" if updated.state else "")
        elif event.task_added is not None and event.task_added.task.state is not None:
            found.words.append(f"is {event.task_added.task.state.value}")
        yield event.type.value if event.type else "EVENT", found
    for action in effects.then:
        match action:
            case SendEvent(stream=stream, event=scheduler.Event(type=kind) as sent):
                if kind is None or kind in NOT_SHOWN:
                    continue
                found = _Found()
                found.search(sent)
                found.add_framework(state.framework_by_stream.get(stream))
                if sent.update is not None:
                    _say_of_status(found, sent.update.status)
                if sent.error is not None:
                    found.words.append(repr(sent.error.message[:TEXT_CHARS]))
                yield kind.value, found
            case SendToAgent(link=to, message=message) if isinstance(message, TO_AGENT):
                found = _Found()
                found.search(message)
                found.add_agent(state.agent_by_link.get(to))
                yield type(message).__name__, found
            case _:
                pass


def _line(at: str, way: str, kind: str, found: _Found) -> Line:
    return Line(
        at=at,
        way=way,
        kind=kind,
        tasks=tuple(found.tasks),
        frameworks=tuple(found.frameworks),
        agents=tuple(found.agents),
        offers=len(found.offers),
        content=" ".join(word for word in found.words if word),
    )


def _is_among(wanted: str | None, ids: Sequence[str]) -> bool:
    return wanted is None or any(one.endswith(wanted) for one in ids)
