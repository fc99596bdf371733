"""Plays one recorded scenario against running daemons and tells where they answer otherwise.

A request is sent when its step comes. Events are taken as they come, each for the recorded one of its kind: the
updates of one task in their order, and so the events of every other kind, while different kinds may come in any
order. Offers are matched by what they offer: an allocation at another moment may have cut the same resources into
other pieces, so offers that fit no recorded one are declined, without a filter, until they come as recorded.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from tests.compat import bodies, rawwire, sandbox, znodes
from tests.compat.connection import Connection, Ended, Stream
from tests.compat.jsonvalue import Json, parse
from tests.compat.jsonvalue import field as member
from tests.compat.matching import PLACEHOLDER, Names, Problem, Unknown, compare, names_in
from tests.compat.recorded import (
    AGENT_PORT,
    CUT,
    END,
    MASTER_PORT,
    Request,
    Response,
    Step,
    body_bytes,
    records,
)

EVENT_S = 40.0  # for an event that was recorded; heartbeats come every 15 s
LATE_S = 2.0  # the same, after one has already failed to come
SETTLE_S = 0.1  # offers that fit nothing are declined after this time without a new one
WHOLE_S = 0.5  # for the parts of an agent to be free again
WHOLE = (4.0, 4096.0)  # cpus and memory of every recorded agent
# Begins with views of the agent, when the tasks before it had ended for longer than executors linger.
SEES_COMPLETED = "operator-valid-agent"
COMPLETED_S = 10.0  # for that
LOOK_S = 0.05
SILENCE_S = 0.3  # nothing comes within this time where nothing was recorded
HEARTBEAT = '{"type":"HEARTBEAT"}'
ENDED = "last chunk"  # how a stream ends that is over
# Mesos died of these calls, which are right: nothing is refused.
RIGHT = ("agent-remove-ended-standalone-container",)
HEALTH_UPDATED = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
IGNORED_HEADERS = ("date", "content-length")


class Finding(Struct, frozen=True):
    """A problem and the step it was found in."""

    step: Step
    problem: Problem


class Unplayed(Exception):
    """The scenario can't go on: something that later steps need never came."""


class Arrivals:
    """What came on one stream and was not matched yet, by kind."""

    def __init__(self, stream: Stream, stream_id: str, *, all_heartbeats: bool) -> None:
        self.stream = stream
        self.stream_id = stream_id
        self.by_kind: dict[str, list[Json]] = {}
        self.offers: list[Json] = []
        self.first: str | None = None
        self.framework: Json = None  # whose scheduler's stream it is
        self.heartbeats = 0
        self.health: dict[str, Json] = {}  # as last told, by kind
        self.all_heartbeats = all_heartbeats  # the recordings leave out all but the first

    def read(self, until: float) -> bool:
        """Take one more event; False when the stream has ended. Raises TimeoutError at `until`."""
        record = self.stream.next(until)
        if record is None:
            return False
        event = parse(record)
        kind = kind_of(event)
        self.first = self.first or kind
        if kind == "SUBSCRIBED":
            self.framework = member(event, "subscribed", "framework_id")
        if kind == "HEARTBEAT" and self.heartbeats and not self.all_heartbeats:
            return True
        self.heartbeats += kind == "HEARTBEAT"
        if kind == "OFFERS":
            offers = member(event, "offers", "offers")
            assert isinstance(offers, list), f"OFFERS without offers: {record!r}"
            self.offers += offers
        else:
            self.by_kind.setdefault(kind, []).append(event)
        if kind.startswith("RESCIND "):
            gone = member(event, "rescind", "offer_id", "value")
            self.offers = [one for one in self.offers if member(one, "id", "value") != gone]
        return True

    def named(self, kind: str) -> str:
        """The kind with the name of its offer, when that is of a scenario before."""
        if not kind.startswith("RESCIND <"):
            return kind
        there = [one for one, some in self.by_kind.items() if some]
        return next((one for one in there if one.startswith("RESCIND ")), kind)

    def wait(self, kind: str, until: float) -> Json:
        """Take the next event of a kind; None when none comes in time."""
        while not self.by_kind.get(self.named(kind)):
            try:
                if not self.read(until):
                    return None
            except TimeoutError:
                return None
        return self.by_kind[self.named(kind)].pop(0)


class Player:
    """Plays the steps of scenarios, one after the other, on the streams that they share."""

    def __init__(
        self,
        ports: dict[int, int],
        places: Mapping[str, str],
        known: Names,
        absent: Callable[[Step, str], bool] = lambda step, path: False,
    ) -> None:
        self.ports = ports
        self._absent = absent  # what is known not to come is not waited for
        self.places = places  # recorded paths and what they are here
        self.names = known
        self.findings: list[Finding] = []
        self.played: list[Step] = []
        self.streams: dict[str, Arrivals] = {}
        self.steps: Sequence[Step] = ()
        self._done: set[tuple[str, int, int]] = set()  # events that were taken ahead of their step
        self._late = False
        self._questions = 0
        self.zookeeper: str | None = None  # its hosts, where there are several masters

    def play(self, steps: Sequence[Step], before: Mapping[int, Callable[[], None]]) -> None:
        """Play all steps, doing what belongs `before` each; what differs is in `findings`."""
        self.steps = steps
        step = steps[0]
        try:
            if step.name == SEES_COMPLETED:
                self._until_completed()
            for index, step in enumerate(steps):
                if step.step in before:
                    before[step.step]()
                if step.is_exchange:
                    self._close_unused(index)
                    self._play(step)
                    self.played.append(step)
        except (Unknown, Unplayed, AssertionError) as error:
            stopped = f"stopped: {type(error).__name__} {error}"
            self._find(step, Problem("scenario", "played to its end", stopped))

    def _until_completed(self) -> None:
        """No executor of the agent lingers whose tasks are over."""
        until = time.monotonic() + COMPLETED_S
        while True:
            address = f"http://127.0.0.1:{self.ports[AGENT_PORT]}/state"
            with urllib.request.urlopen(address, timeout=COMPLETED_S) as answer:
                state = json.load(answer)
            executors = [one for each in state["frameworks"] for one in each["executors"]]
            if all(one["tasks"] or one["queued_tasks"] for one in executors):
                return
            assert time.monotonic() < until, executors
            time.sleep(LOOK_S)

    def end(self) -> None:
        """After the last step nothing may be left that was not recorded."""
        self._nothing_more()
        for label in list(self.streams):
            self.cut(label)

    def see_what_was_decided(self, label: str) -> None:
        """Until now, by the master; what that leads to on this stream has come then."""
        self._all_that_was_decided(self.streams[label])

    def cut(self, label: str) -> None:
        """Close the connection of a stream; no more is expected of it."""
        if arrivals := self.streams.pop(label, None):
            arrivals.stream.connection.close()

    def _play(self, step: Step) -> None:
        if step.raw_request is not None:
            self._raw(step)
        elif step.request is not None and step.response is not None:
            self._exchange(step, step.request, step.response)
        elif step.events is not None and step.stream is not None:
            arrivals = self.streams.get(step.stream)
            if arrivals is None:
                raise Unplayed(f"{step.where}: no stream {step.stream}")
            self._expect(step, arrivals, step.events)
        elif step.znode is not None:
            assert self.zookeeper is not None, "this lane has no ZooKeeper"
            wanted = parse(self._ported(json.dumps(step.znode)))
            assert isinstance(wanted, dict)
            self._problems(step, znodes.findings(wanted, self.zookeeper, self.names))
        else:
            work = Path(self.places[f"<WORK>/agent{AGENT_PORT}"])
            found = sandbox.findings(step, work, self.names, self._ported)
            if found is None:
                self._find(step, Problem("kept", "as recorded", "not compared"))
            self._problems(step, found or [])

    def _raw(self, step: Step) -> None:
        at = AGENT_PORT if (step.case or "").startswith("agent:") else MASTER_PORT
        recorded = rawwire.recorded_answers(self._ported(step.raw_response or ""))
        filled = structs.replace(step, raw_request=self._filled(step.raw_request or ""))
        got, closed = rawwire.answers(self.ports[at], filled, recorded)
        if len(recorded) != len(got):
            shown = [f"{one.head.status} {one.body}" for one in got]
            problem = Problem("answers", f"{len(recorded)}", f"{len(got)} {shown}")
            self._find(step, problem)
            return
        if closed != step.server_closed:
            self._find(step, Problem("server closed", str(step.server_closed), str(closed)))
        for one, other in zip(recorded, got, strict=True):
            self._compare_head(step, one.head, other.head)
            if one.events is not None:
                left = list(other.events or ())
                for wanted in one.events:
                    kind = kind_of(wanted)
                    found = next((came for came in left if kind_of(came) == kind), None)
                    if found is None:
                        self._find(step, Problem(f"event {kind}", "came", "nothing"))
                        continue
                    left.remove(found)
                    self._problems(step, compare(wanted, found, self.names, f"event {kind}"))
            else:
                whole = structs.replace(one.head, body=one.body)
                self._compare_body(step, whole, other.body.encode(), other.head)

    def _exchange(self, step: Step, request: Request, recorded: Response) -> None:
        self._learn(request)
        headers = [(name, self._filled(value)) for name, value in request.headers]
        body = None if request.body is None else body_bytes(self._filled(request.body))
        path = self._filled(request.path)
        connection = Connection(self._port(request))
        connection.send(request.method, path, headers, body)
        try:
            got = connection.head()
        except (Ended, TimeoutError) as error:
            connection.close()
            if recorded.status != 0:
                self._find(step, Problem("status", str(recorded.status), f"no answer: {error!r}"))
            return
        if recorded.status == 0:
            self._survived(step, connection, request, got)
            return
        self._compare_head(step, recorded, got)
        is_stream = "chunked" in dict(_lower(got.headers)).get("transfer-encoding", "")
        if is_stream and got.status != recorded.status:
            connection.close()
            return
        if is_stream and (
            step.stream is not None or recorded.ended is not None or recorded.body is None
        ):
            stream_id = dict(_lower(got.headers)).get("mesos-stream-id", "")
            beats = step.name == "subscribe-and-heartbeats"
            self._opened(
                step, recorded, Arrivals(Stream(connection), stream_id, all_heartbeats=beats)
            )
            return
        content = connection.body(got, request.method)
        connection.close()
        if recorded.body is not None:
            self._compare_body(step, recorded, content, got)

    def _survived(
        self, step: Step, connection: Connection, request: Request, got: Response
    ) -> None:
        """Mesos gave no answer, mostly since it died: here there is one, and the daemon lives."""
        text = connection.body(got, request.method).decode()
        connection.close()
        self._find(step, Problem("status", "(no answer)", f"{got.status} {text}"))
        is_wrong = step.name not in RIGHT and "GET_QUOTA" not in (request.body or "")
        refuses = step.area == "B-crashes" and is_wrong
        if refuses and (not 400 <= got.status < 600 or not text):
            self._find(step, Problem("refusal", "an error with a text", f"{got.status} {text}"))
        connection = Connection(self._port(request))
        connection.send("GET", "/health", [], None)
        if connection.head().status != 200:
            self._find(step, Problem("health", "200", "another"))
        connection.close()

    def _opened(self, step: Step, recorded: Response, arrivals: Arrivals) -> None:
        executor = step.request is not None and step.request.path.endswith("/api/v1/executor")
        if label := step.stream or ("executor" if executor else None):
            self.cut(label)
            self.streams[label] = arrivals
            return
        if recorded.body is not None:
            self._expect(step, arrivals, [json.dumps(one) for one in records(recorded.body)])
            if recorded.ended == ENDED:
                self._expect_end(step, arrivals, END)
        arrivals.stream.connection.close()

    def _compare_head(self, step: Step, recorded: Response, got: Response) -> None:
        if recorded.status != got.status:
            self._find(step, Problem("status", str(recorded.status), str(got.status)))
        wanted, came = dict(_lower(recorded.headers)), dict(_lower(got.headers))
        for name in sorted({*wanted, *came} - {*IGNORED_HEADERS}):
            one, other = wanted.get(name), came.get(name)
            ported = None if one is None else self._ported(one)
            if ported is None or other is None or not self.names.matches(ported, other):
                self._find(step, Problem(f"header {name}", one or "(absent)", other or "(absent)"))

    def _compare_body(
        self, step: Step, recorded: Response, content: bytes, got_head: Response
    ) -> None:
        wanted = bodies.Wanted(recorded.body or "", cut=recorded.body_cut, metrics=is_metrics(step))
        headers = dict(_lower(got_head.headers))
        self._problems(step, bodies.compared(wanted, content, headers, self.names, self._ported))

    def _expect(self, step: Step, arrivals: Arrivals, events: Sequence[str]) -> None:
        offers: list[Json] = []
        for number, text in enumerate(events):
            if (step.name, step.step, number) in self._done:
                continue
            if text in (END, CUT):
                self._expect_end(step, arrivals, text)
                continue
            event = parse(self._ported(text))
            if kind_of(event) == "OFFERS":
                some = member(event, "offers", "offers")
                assert isinstance(some, list)
                offers += some
            else:
                self._expect_event(step, arrivals, event)
        if offers:
            self._expect_offers(step, arrivals, offers)
        if not {*events} - {HEARTBEAT}:
            self._silence(step, arrivals)

    def _expect_event(self, step: Step, arrivals: Arrivals, recorded: Json) -> None:
        kind = names_in(kind_of(recorded), self.names)
        known = self._absent(step, f"event {kind}")
        until = time.monotonic() + SILENCE_S if known else self._deadline()
        got = arrivals.wait(kind, until)
        while got is not None and self._again(got) and not self._again(recorded):
            got = arrivals.wait(kind, until)
        while got is not None and self._same_health(arrivals, kind, recorded, got):
            self._acknowledge(arrivals, got)
            got = arrivals.wait(kind, until)
        if got is None:
            others = sorted(name for name, some in arrivals.by_kind.items() if some)
            self._late = self._late or not known
            self._find(step, Problem(f"event {kind}", "came", f"nothing; there is {others}"))
            return
        arrivals.health[kind] = member(got, "update", "status", "healthy")
        self._problems(step, compare(recorded, got, self.names, f"event {kind}"))

    def _same_health(self, arrivals: Arrivals, kind: str, recorded: Json, got: Json) -> bool:
        """One more check has failed before the next success: how many do depends on when they fall."""
        reason = member(got, "update", "status", "reason")
        wanted, came = (member(one, "update", "status", "healthy") for one in (recorded, got))
        told = arrivals.health.get(kind)
        return reason == HEALTH_UPDATED and came is False and told is False and wanted is True

    def _acknowledge(self, arrivals: Arrivals, event: Json) -> None:
        """Let the agent send the next update."""
        status = ("update", "status")
        self._call(
            arrivals,
            {
                "type": "ACKNOWLEDGE",
                "framework_id": {"value": self.names.values["<FRAMEWORK_1>"]},
                "acknowledge": {
                    "agent_id": member(event, *status, "agent_id"),
                    "task_id": member(event, *status, "task_id"),
                    "uuid": member(event, *status, "uuid"),
                },
            },
        )

    def _again(self, event: Json) -> bool:
        """The update was there before: it is sent again every 10 s until it is acknowledged."""
        uuid = member(event, "update", "status", "uuid")
        return names_in(str(uuid), self.names) in self.names.values.values()

    def _expect_end(self, step: Step, arrivals: Arrivals, recorded: str) -> None:
        until = self._deadline()
        try:
            while arrivals.read(until):
                pass
        except TimeoutError:
            self._late = True
            self._find(step, Problem("end of stream", recorded, "still open"))
            return
        if str(arrivals.stream.end) not in recorded:
            self._find(step, Problem("end of stream", recorded, str(arrivals.stream.end)))

    def _expect_offers(self, step: Step, arrivals: Arrivals, recorded: list[Json]) -> None:
        """Wait until there are the offers recorded, and claim them."""
        known = self._absent(step, "offer")
        until = time.monotonic() + SILENCE_S if known else self._deadline()
        missing = list(recorded)
        declined: list[Json] = []
        while missing:
            missing = [offer for offer in missing if not self._claim(arrivals, offer)]
            if not missing:
                return
            try:
                if not arrivals.read(min(until, time.monotonic() + SETTLE_S)):
                    break
            except TimeoutError:
                # One that differs as it is known to differ is the one recorded.
                missing = [offer for offer in missing if not self._claim(arrivals, offer, step)]
                if not missing:
                    return
                if time.monotonic() >= until:
                    break
                declined = list(arrivals.offers) or declined
                self._decline(arrivals)
        self._late = self._late or not known
        for offer in missing:
            # The last that came, though they were declined, tell how they differ.
            candidates = arrivals.offers or declined
            trials = [compare(offer, one, self.names.copy(), "offer") for one in candidates]
            if not trials:
                self._find(step, Problem("offer", json.dumps(offer), "(none came)"))
                continue
            best = min(range(len(trials)), key=lambda index: len(trials[index]))
            names = self.names if arrivals.offers else self.names.copy()  # a declined id is no use
            self._problems(step, compare(offer, candidates.pop(best), names, "offer"))

    def _claim(self, arrivals: Arrivals, recorded: Json, known: Step | None = None) -> bool:
        for position, offer in enumerate(arrivals.offers):
            trial = self.names.copy()
            problems = compare(recorded, offer, trial, "offer")
            if all(known and self._absent(known, one.path) for one in problems):
                if known:
                    self._problems(known, problems)
                self.names.adopt(trial)
                del arrivals.offers[position]
                return True
        return False

    def _decline(self, arrivals: Arrivals) -> None:
        """Give back the offers that fit nothing, so that they come again as one."""
        if not arrivals.offers or arrivals.stream.end is not None:
            return
        first = arrivals.offers[0]
        framework = member(first, "framework_id", "value")
        ids = [member(offer, "id") for offer in arrivals.offers]
        arrivals.offers.clear()
        call: Json = {
            "type": "DECLINE",
            "framework_id": {"value": framework},
            "decline": {"offer_ids": ids, "filters": {"refuse_seconds": 0}},
        }
        self._call(arrivals, call)

    def _call(self, arrivals: Arrivals, call: Json) -> int:
        """A call that the recorded framework did not make; the status of its answer."""
        connection = Connection(arrivals.stream.connection.port)
        headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", arrivals.stream_id)]
        connection.send("POST", "/api/v1/scheduler", headers, json.dumps(call).encode())
        status = connection.head().status
        connection.close()
        return status

    def _silence(self, step: Step, arrivals: Arrivals) -> None:
        """Nothing comes, and no offer is there that the recorded framework did not have."""
        until = time.monotonic() + SILENCE_S
        try:
            while arrivals.read(until):
                pass
        except TimeoutError:
            self._all_that_was_decided(arrivals)
        if step.events_left_out is None:
            for offer in arrivals.offers:
                self._find(step, Problem("offer", "(none)", json.dumps(offer)))
            self._decline(arrivals)

    def _all_that_was_decided(self, arrivals: Arrivals) -> None:
        """Read what the master has decided until now: the answer to a question comes after it.

        Only schedulers have such a question: how a task is that nobody knows, of an agent that
        nobody knows, so that it is answered also while agents are expected back.
        """
        if arrivals.framework is None or arrivals.stream.end is not None:
            return
        self._questions += 1
        task = f"nobody-knows-{self._questions}"
        asked = self._call(
            arrivals,
            {
                "type": "RECONCILE",
                "framework_id": arrivals.framework,
                "reconcile": {
                    "tasks": [{"task_id": {"value": task}, "agent_id": {"value": "nobody"}}]
                },
            },
        )
        if asked == 202:
            answered = arrivals.wait(f"UPDATE {task} by the master", time.monotonic() + EVENT_S)
            assert answered is not None or arrivals.stream.end is not None, "no reconciliation"

    def _nothing_more(self) -> None:
        """After the last step nothing is left that was not recorded; offers may come at any time."""
        for label, arrivals in self.streams.items():
            self._all_that_was_decided(arrivals)
            for kind, events in arrivals.by_kind.items():
                if kind == "HEARTBEAT" and not self._recorded_in_events(HEARTBEAT):
                    continue  # they were left out
                for event in events:
                    if kind.startswith("RESCIND") or self._again(event):
                        continue
                    problem = Problem(f"{label} event {kind}", "(none)", json.dumps(event))
                    self._find(self.steps[-1], problem)

    def _close_unused(self, index: int) -> None:
        """A stream that no later step names was closed by the recorder before the next SUBSCRIBE."""
        step = self.steps[index]
        if step.stream is None or step.request is None:
            return
        rest = [one for one in self.steps[index:] if one.is_exchange]
        for label in list(self.streams):
            stream_id = self.streams[label].stream_id
            marks = [name for name, value in self.names.values.items() if value == stream_id]
            if not any(one.stream == label or _mentions(one, marks) for one in rest):
                self.cut(label)

    def _deadline(self) -> float:
        return time.monotonic() + (LATE_S if self._late else EVENT_S)

    def _problems(self, step: Step, problems: list[Problem]) -> None:
        for problem in problems:
            self._find(step, problem)

    def _find(self, step: Step, problem: Problem) -> None:
        self.findings.append(Finding(step, problem))

    def _port(self, request: Request) -> int:
        at = AGENT_PORT if request.path.startswith("/slave(1)/") else MASTER_PORT
        host = dict(_lower(request.headers)).get("host", f"127.0.0.1:{at}")
        return self.ports[int(host.rpartition(":")[2])]

    def _learn(self, request: Request) -> None:
        """Take from the streams what this request needs and no step before it has told."""
        if request.body is None:
            return
        for name in sorted(set(PLACEHOLDER.findall(request.body)) - set(self.names.values)):
            if name.startswith("<UUIDB64_") and '"ACKNOWLEDGE"' in request.body:
                self._learn_update(name)
            elif name.startswith("<OFFER_") and not self._recorded_in_events(name):
                self._learn_offer(name)

    def _recorded_in_events(self, name: str) -> bool:
        return any(name in text for step in self.steps for text in step.events or ())

    def _learn_update(self, name: str) -> None:
        """An acknowledgement stands before the update that was recorded with others."""
        for step in self.steps:
            for number, text in enumerate(step.events or ()):
                event = parse(self._ported(text)) if name in text else None
                if event is None or not kind_of(event).startswith("UPDATE "):
                    continue
                arrivals = self.streams.get(step.stream or "")
                if arrivals is not None:
                    self._done.add((step.name, step.step, number))
                    self._expect_event(step, arrivals, event)
                return

    def _learn_offer(self, name: str) -> None:
        """The recording left the offers out: the next one, of a whole agent if that comes soon."""
        (arrivals,) = self.streams.values()
        until = time.monotonic() + WHOLE_S
        while True:
            whole = [offer for offer in arrivals.offers if _size(offer) == WHOLE]
            if whole or (arrivals.offers and time.monotonic() > until):
                best = max(whole or arrivals.offers, key=_size)
                arrivals.offers.remove(best)
                self.names.values[name] = str(member(best, "id", "value"))
                self.names.values.setdefault("<AGENT_1>", str(member(best, "agent_id", "value")))
                return
            try:
                if not arrivals.read(time.monotonic() + SETTLE_S / 2):
                    raise Unplayed(f"the stream ended before {name}")
            except TimeoutError:
                if time.monotonic() > until + EVENT_S:
                    raise Unplayed(f"{name} never came") from None
                self._decline(arrivals)

    def _ported(self, text: str) -> str:
        for place, path in self.places.items():
            text = text.replace(place, path)
        # All at once: a port here may be one that was recorded.
        recorded = "|".join(map(str, self.ports))
        return re.sub(recorded, lambda match: str(self.ports[int(match[0])]), text)

    def _filled(self, text: str) -> str:
        return self.names.fill(self._ported(text))


def kind_of(event: Json) -> str:
    """Events of one kind are in order: the type, and of updates the task.

    What the master says of a task on its own account has no place in the order of the agent's updates.
    """
    kind = str(member(event, "type"))
    match kind:
        case "UPDATE":
            task = member(event, "update", "status", "task_id", "value")
            ours = member(event, "update", "status", "uuid") is None
            return f"UPDATE {task}{' by the master' if ours else ''}"
        case "TASK_ADDED":
            return f"TASK_ADDED {member(event, 'task_added', 'task', 'task_id', 'value')}"
        case "TASK_UPDATED":
            task = member(event, "task_updated", "status", "task_id", "value")
            return f"TASK_UPDATED {task}"
        case "RESCIND":
            return f"RESCIND {member(event, 'rescind', 'offer_id', 'value')}"
        case "DATA":
            return f"DATA {member(event, 'data', 'type')}"
    return kind


def is_metrics(step: Step) -> bool:
    """The answer holds metrics, whose values are of one moment."""
    request = step.request
    return request is not None and (
        "/metrics/snapshot" in request.path or "GET_METRICS" in (request.body or "")
    )


def _size(offer: Json) -> tuple[float, float]:
    """The cpus and the memory of an offer."""
    resources = member(offer, "resources")
    assert isinstance(resources, list)
    sums = {"cpus": 0.0, "mem": 0.0}
    for one in resources:
        name, value = member(one, "name"), member(one, "scalar", "value")
        if isinstance(name, str) and name in sums and isinstance(value, (int, float)):
            sums[name] += value
    return sums["cpus"], sums["mem"]


def _lower(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]


def _mentions(step: Step, marks: Sequence[str]) -> bool:
    if step.request is None:
        return False
    return any(mark in str(step.request) for mark in marks)
