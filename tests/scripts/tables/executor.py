"""The wrong requests to POST /api/v1/executor of an agent."""

from __future__ import annotations

from collections.abc import Iterator

from tepui.agent.core.state import UPDATE_BYTES_MAX
from tepui.wire import executor
from tests.scripts.tables import common
from tests.scripts.tables.agent import COMMAND, EARLY, EXECUTOR, FRAMEWORK, TASK
from tests.scripts.tables.case import Case, Fields, Section, Table, case, compact, large
from tests.scripts.tables.schema import Wrongs, call_types, part_of

PATH = "/api/v1/executor"
HEADERS = common.json_headers()
UUID = "bmV3bmV3EXVuZXduZXduZQ=="  # 16 bytes, version 1
CALLER: Fields = {
    "executor_id": {"value": EXECUTOR},
    "framework_id": {"value": FRAMEWORK},
}
TOO_LARGE = "an update that is too large"
HARMLESS: Fields = {**CALLER, "type": "HEARTBEAT"}

Cases = Iterator[Case]


def tables() -> Iterator[Table]:
    """All of the API."""
    yield Table(
        name="executor-http",
        about="Executor API: methods, content types and paths, with a HEARTBEAT that is right.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Methods and content types", common.media_types(compact(HARMLESS), PATH)),
            Section("Paths", list(_paths())),
        ],
    )
    yield Table(
        name="executor-body",
        about="Executor API: bodies that are no call, and calls without a known type or ids.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Bodies", common.bodies(HARMLESS, executor.Call)),
            Section(
                "Types",
                [*common.types(CALLER), common.unknown_type_in_protobuf("executor", CALLER)],
            ),
        ],
    )
    wrongs = Wrongs("executor")
    yield Table(
        name="executor-ids",
        about="Executor API: the ids that every call has.",
        path=PATH,
        headers=HEADERS,
        sections=[
            common.fields(wrongs, "executor", name, HARMLESS)
            for name in ("executor_id", "framework_id")
        ],
    )
    for call_type in call_types("executor"):
        yield _call_table(call_type, wrongs)


def _paths() -> Cases:
    yield case("no such version", HARMLESS, path="/api/v2/executor")
    yield case("the master's path", HARMLESS, path="/master/api/v1/executor")
    yield case("a path below that of the API is it too", {}, path=f"{PATH}/x")
    yield case("with the name of the agent", {}, path=f"/slave(1){PATH}")


def _call_table(call_type: str, wrongs: Wrongs) -> Table:
    base: Fields = {**CALLER, "type": call_type}
    part = part_of("executor", call_type)
    sections = []
    if part is not None:
        other = "message" if part != "message" else "subscribe"
        missing = common.part_missing("executor", call_type, part, base, other)
        sections.append(Section("The call as a whole", list(missing)))
    whole = {**base, **FILLING.get(call_type, {})}
    sections += [
        common.odd_ids("framework_id", lambda odd: {**whole, "framework_id": {"value": odd}}),
        common.odd_ids("executor_id", lambda odd: {**whole, "executor_id": {"value": odd}}),
    ]
    sections.append(Section("Who calls", list(_callers(whole))))
    if call_type == "SUBSCRIBE":
        sections.append(Section("Headers", list(_accepts(whole))))
        sections.append(Section("Updates that it repeats", list(_repeated(base))))
    if call_type == "UPDATE":
        sections.append(Section("The update", list(_updates(base))))
        sections.append(common.odd_ids("task_id, which is acknowledged, and no more", _of_task))
    sections.append(common.fields(wrongs, "executor", part, base))
    return Table(
        name=f"executor-{call_type.lower()}",
        about=f"Executor API: {call_type}. The caller is executor {EXECUTOR} of framework"
        f" {FRAMEWORK} (see tests/scripts/tables/agent.py).",
        path=PATH,
        headers=HEADERS,
        sections=sections,
    )


def _status(**fields: object) -> Fields:
    """A right update but for `fields`; None takes one away."""
    whole = {
        "task_id": {"value": TASK},
        "state": "TASK_RUNNING",
        "uuid": UUID,
        "source": "SOURCE_EXECUTOR",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


FILLING: dict[str, Fields] = {
    "SUBSCRIBE": {"subscribe": {}},
    "UPDATE": {"update": {"status": _status()}},
    "MESSAGE": {"message": {"data": "aGk="}},
}


def _callers(whole: Fields) -> Cases:
    """The call is complete, and it is nobody's to make."""
    for name in ("framework_id", "executor_id"):
        yield case(f"no {name}", {key: value for key, value in whole.items() if key != name})
        yield case(f"{name} without value", {**whole, name: {}})
    command = {**whole, "executor_id": {"value": COMMAND}}
    yield case("a command, which the agent runs itself", command)
    early = {**whole, "executor_id": {"value": EARLY}}
    if whole["type"] not in ("SUBSCRIBE", "HEARTBEAT"):
        yield case("an executor that has not subscribed", early)
    if whole["type"] == "UNKNOWN":
        yield case("a type that asks for nothing", whole)


def _accepts(whole: Fields) -> Cases:
    for accept in ("text/html", "application/recordio", "application/json;q=0", "*/*;q=0", ""):
        yield case("an Accept that allows nothing we have", whole, headers={"Accept": accept})
    wrong = {"Accept": "text/html"}
    nobody = {**whole, "executor_id": {"value": "nope"}}
    yield case("Accept is looked at before the caller", nobody, headers=wrong)
    yield case("and after the body", {"type": "SUBSCRIBE"}, headers=wrong)


def _faulty() -> Iterator[tuple[str, Fields]]:
    """Every rule for an update, broken."""
    yield "no uuid", _status(uuid=None)
    for uuid in ("", "AAAA", "AAAAAAAAEAAAAAAAAAAA", "AAAAAAAAEAAAAAAAAAAAAAA="):
        yield "a uuid that has not 16 bytes", _status(uuid=uuid)
    for uuid in ("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAYAAAAAAAAAAAAA=="):
        yield "a uuid of a version that nobody knows", _status(uuid=uuid)
    yield "a uuid that is no base64", _status(uuid="!")
    yield "another executor_id", _status(executor_id={"value": "other"})
    yield "no source", _status(source=None)
    for source in ("SOURCE_MASTER", "SOURCE_AGENT", "NOPE"):
        yield "another source", _status(source=source)
    for check in ({}, {"type": "UNKNOWN"}, {"type": "COMMAND"}, {"type": "TCP", "http": {}}):
        yield "a check's status of another kind", _status(check_status=check)
    yield TOO_LARGE, _status(message="x" * UPDATE_BYTES_MAX)
    yield "TASK_STAGING", _status(state="TASK_STAGING")
    yield "a state that nobody knows", _status(state="NOPE")
    yield "a state as a number", _status(state=1)


def _updates(base: Fields) -> Cases:
    def call(status: Fields) -> Fields:
        return {**base, "update": {"status": status}}

    for title, status in _faulty():
        yield _faulty_case(title, call(status))
    other = _status(task_id={"value": COMMAND})
    yield case("a task of another executor: acknowledged, and no more", call(other))
    yield case("an update that came before", call(_status(uuid="dXV1dXV1EXV1dXV1dXV1dQ==")))


def _of_task(task_id: str) -> Fields:
    status = _status(task_id={"value": task_id})
    return {**CALLER, "type": "UPDATE", "update": {"status": status}}


def _repeated(base: Fields) -> Cases:
    """A faulty update within SUBSCRIBE is passed over; the subscription is not."""
    for title, status in _faulty():
        updates = {"unacknowledged_updates": [{"status": status}]}
        is_call = title not in ("a uuid that is no base64", "a state as a number") and (
            status.get("state") != "NOPE"
        )
        yield _faulty_case(title, {**base, "subscribe": updates}, effect=is_call)


def _faulty_case(title: str, call: Fields, *, effect: bool = False) -> Case:
    return (large if title == TOO_LARGE else case)(title, call, effect=effect)
