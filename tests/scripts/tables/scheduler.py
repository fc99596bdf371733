"""The wrong requests to POST /api/v1/scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tepui.wire import scheduler
from tests.scripts.tables import common
from tests.scripts.tables.case import Case, Fields, Section, Table, case, compact
from tests.scripts.tables.master import (
    ADS,
    ADS_STREAM,
    AGENT,
    AWAY,
    GONE,
    STREAM,
    STREAM_ID,
    UUID,
    WEB,
)
from tests.scripts.tables.scheduler_calls import IDS, OWN, acknowledge_of
from tests.scripts.tables.schema import MESSAGES, Wrongs, call_types, example, part_of
from tests.scripts.tables.subscribe import subscribe_cases

PATH = "/api/v1/scheduler"
WITHOUT_FIELD = ("UNKNOWN", "TEARDOWN", "REVIVE", "SUPPRESS")  # which is none, or may be absent
HEADERS = common.json_headers(Mesos_Stream_Id=STREAM)
HARMLESS = {
    "type": "RECONCILE",
    "framework_id": {"value": WEB},
    "reconcile": {"tasks": [{"task_id": {"value": "x"}}]},
}

Cases = Iterator[Case]


def tables() -> Iterator[Table]:
    """All of the API."""
    yield _http()
    yield _body()
    wrongs = Wrongs("scheduler")
    yield Table(
        name="scheduler-ids",
        about="Scheduler API: the framework_id that every call but SUBSCRIBE has.",
        path=PATH,
        headers=HEADERS,
        sections=[common.fields(wrongs, "scheduler", "framework_id", HARMLESS)],
    )
    for call_type in call_types("scheduler"):
        yield _call_table(call_type, wrongs)


def _http() -> Table:
    return Table(
        name="scheduler-http",
        about="Scheduler API: methods, content types and paths, with a RECONCILE that is right.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Methods and content types", common.media_types(compact(HARMLESS), PATH)),
            Section(
                "Paths",
                [
                    case("no such version", HARMLESS, path="/api/v2/scheduler"),
                    case("not the whole path", HARMLESS, path="/api"),
                    case("the agent's path", HARMLESS, path="/slave(1)/api/v1/scheduler"),
                    case("a path below is the operators' API", HARMLESS, path="/api/v1/nope"),
                    case("a path below that of the API is it too", {}, path=f"{PATH}/x"),
                    case("with the name of the master", {}, path=f"/master{PATH}"),
                ],
            ),
        ],
    )


def _body() -> Table:
    base: Fields = {"framework_id": {"value": WEB}}
    return Table(
        name="scheduler-body",
        about="Scheduler API: bodies that are no call, and calls without a known type.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Bodies", common.bodies(HARMLESS, scheduler.Call)),
            Section(
                "Types",
                [*common.types(base), common.unknown_type_in_protobuf("scheduler", base)],
            ),
        ],
    )


def _call_table(call_type: str, wrongs: Wrongs) -> Table:
    base: Fields = {"type": call_type, "framework_id": {"value": WEB}}
    part = part_of("scheduler", call_type)
    sections = []
    if call_type == "SUBSCRIBE":
        base = {"type": call_type}
    if part is not None and call_type not in WITHOUT_FIELD:
        other = "kill" if part != "kill" else "shutdown"
        missing = common.part_missing("scheduler", call_type, part, base, other)
        sections.append(Section("The call as a whole", list(missing)))
    if call_type == "SUBSCRIBE":
        sections += subscribe_cases()
    else:
        sections += _callers(base, part)
        sections += [
            common.odd_ids(what, calls, *more) for what, calls, *more in IDS.get(call_type, ())
        ]
        own = OWN.get(call_type)
        if own is not None:
            sections.append(Section("What is asked for", list(own())))
    sections.append(common.fields(wrongs, "scheduler", part, base))
    headers = common.json_headers() if call_type == "SUBSCRIBE" else HEADERS
    return Table(
        name=f"scheduler-{call_type.lower()}",
        about=f"Scheduler API: {call_type}. The caller is {WEB} on {STREAM}"
        " (see tests/scripts/tables/master.py).",
        path=PATH,
        headers=headers,
        sections=sections,
    )


def _callers(base: Fields, part: str | None) -> list[Section]:
    """The call is complete, and it is not the caller's to make."""
    if part is not None:
        base = {**base, part: example(str(MESSAGES["mesos.v1.scheduler.Call"][part][1]))}
    if base["type"] == "ACKNOWLEDGE":
        base = {**base, "acknowledge": acknowledge_of(UUID)}
    if base["type"] == "ACKNOWLEDGE_OPERATION_STATUS":
        operation = {"agent_id": {"value": AGENT}, "uuid": UUID, "operation_id": {"value": "o"}}
        base = {**base, "acknowledge_operation_status": operation}

    def called_by(framework_id: str) -> Fields:
        call = {**base, "framework_id": {"value": framework_id}}
        if base["type"] == "UPDATE_FRAMEWORK":
            info = {"user": "x", "name": "x", "id": {"value": framework_id}}
            call["update_framework"] = {"framework_info": info}
        return call

    return [
        common.odd_ids("framework_id", called_by),
        Section(
            f"Who calls, in a call like\n{compact(called_by(WEB)).decode()}",
            list(_strangers(called_by)),
            lines=True,
        ),
    ]


def _strangers(called_by: Callable[[str], Fields]) -> Cases:
    mine = called_by(WEB)
    nobody = {name: value for name, value in mine.items() if name != "framework_id"}
    yield case("no framework_id", nobody)
    yield case("framework_id {}", {**nobody, "framework_id": {}})
    away, gone = ({STREAM_ID: f"stream-{number}"} for number in (2, 3))
    yield case(f"{AWAY}, which is not connected", called_by(AWAY), headers=away)
    yield case(f"{GONE}, which was torn down", called_by(GONE), headers=gone)
    yield case(f"{ADS} on the stream of {WEB}", called_by(ADS))
    yield case("authenticated as alice, which the framework is not", mine, principal="alice")
    yield case("no Mesos-Stream-Id", mine, headers={STREAM_ID: None})
    for stream in ("", "nope", "STREAM-0", f"{STREAM}, {STREAM}", "../x", "x" * 300, ADS_STREAM):
        title = f"Mesos-Stream-Id {common.shown(stream)}"
        yield case(title, mine, headers={STREAM_ID: stream})
