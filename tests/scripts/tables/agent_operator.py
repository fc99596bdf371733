"""The wrong requests to POST /api/v1 of an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tepui.wire import agent
from tests.scripts.tables import common
from tests.scripts.tables.case import RECORDIO, Case, Fields, Section, Table, case, compact
from tests.scripts.tables.master_operator import accepts, files, logging_level, metrics
from tests.scripts.tables.schema import MESSAGES, Wrongs, call_types, example, part_of

PATH = "/api/v1"
HEADERS = common.json_headers()
HARMLESS: Fields = {"type": "GET_HEALTH"}
CONTAINER_CALLS = (
    *(name for name in call_types("agent") if name.endswith("_CONTAINER")),
    "LAUNCH_NESTED_CONTAINER_SESSION",
    "ATTACH_CONTAINER_OUTPUT",
)
LENGTHS = ("x.y", "x" * 242, "x" * 243, "x" * 255, "x" * 256)  # the limits: 242, and 255 of all ids
LINKS = 40  # of a chain of containers, far more than may nest

Cases = Iterator[Case]


def tables() -> Iterator[Table]:
    """All of the API."""
    yield Table(
        name="agent-http",
        about="Operator API of the agent: methods, content types, Accept and paths.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Methods and content types", common.media_types(compact(HARMLESS), PATH)),
            Section("Accept", list(accepts(HARMLESS))),
            Section("RecordIO", list(_streaming())),
            Section("Paths", list(_paths())),
        ],
    )
    yield Table(
        name="agent-body",
        about="Operator API of the agent: bodies that are no call, and calls without a known type.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Bodies", common.bodies(HARMLESS, agent.Call)),
            Section("Types", [*common.types({}), common.unknown_type_in_protobuf("agent", {})]),
        ],
    )
    wrongs = Wrongs("agent")
    for call_type in call_types("agent"):
        yield _call_table(call_type, wrongs)


def _streaming() -> Cases:
    """Content-Type and Accept of application/recordio, and what they need beside them."""
    whole = compact(HARMLESS)
    record = b"%d\n%b" % (len(whole), whole)
    streaming = {"Content-Type": RECORDIO, "Message-Content-Type": "application/json"}

    def sent(title: str, body: bytes, **more: str | None) -> Case:
        names = {name.replace("_", "-"): value for name, value in more.items()}
        return Case(title=title, body=body, headers={**streaming, **names})

    yield sent("no Message-Content-Type", record, Message_Content_Type=None)
    for kind in ("text/plain", "application/recordio", ""):
        yield sent("another Message-Content-Type", record, Message_Content_Type=kind)
    yield Case(
        title="Message-Content-Type without RecordIO",
        body=whole,
        headers={"Message-Content-Type": "application/json"},
    )
    yield sent("a call that is not to be streamed", record)
    for title, body in (
        ("empty", b""),
        ("a call that is not framed", whole),
        ("no length", b"\n" + whole),
        ("a negative length", b"-1\n" + whole),
        ("a length that is no number", b"x\n" + whole),
        ("a length without end", b"1" * 100),
        ("a length beyond the limit", b"99999999999\n" + whole),
        ("a record cut in the middle", record[: len(record) // 2]),
        ("a record of no JSON", b"1\nx"),
    ):
        yield sent(f"RecordIO: {title}", body)
    for accept in ("application/recordio", "application/recordio;q=0.5"):
        yield case("an answer that is not to be streamed", HARMLESS, headers={"Accept": accept})
    message = {"Message-Accept": "application/json"}
    yield case("Message-Accept without RecordIO", HARMLESS, headers=message)
    other = {"Accept": RECORDIO, "Message-Accept": "text/html"}
    yield case("another Message-Accept", HARMLESS, headers=other)


def _paths() -> Cases:
    yield case("no such version", HARMLESS, path="/api/v2")
    yield case("not the whole path", HARMLESS, path="/api")
    yield case("the master's path", HARMLESS, path="/master/api/v1")
    yield case("a path below that of the API is it too", {}, path=f"{PATH}/x")
    yield case("with the name of the agent", {}, path=f"/slave(1){PATH}")


def _call_table(call_type: str, wrongs: Wrongs) -> Table:
    base: Fields = {"type": call_type}
    part = part_of("agent", call_type)
    sections = []
    if part is not None and call_type not in ("GET_CONTAINERS", "PRUNE_IMAGES"):
        other = "list_files" if part != "list_files" else "remove_container"
        missing = common.part_missing("agent", call_type, part, base, other)
        sections.append(Section("The call as a whole", list(missing)))
    own = OWN.get(call_type)
    if call_type in CONTAINER_CALLS:
        sections += [
            common.odd_ids("container_id", partial(_container, call_type), *LENGTHS),
            common.odd_ids("container_id.parent", partial(_within, call_type), *LENGTHS),
            Section("The container", list(_containers(call_type))),
        ]
    elif own is not None:
        sections.append(Section("What is asked for", list(own())))
    elif part is not None and call_type not in ("GET_CONTAINERS", "PRUNE_IMAGES"):
        whole = {**base, part: example(str(MESSAGES["mesos.v1.agent.Call"][part][1]))}
        sections.append(Section("What is asked for", [case("a call that is complete", whole)]))
    elif call_type == "UNKNOWN":
        sections.append(Section("The call as a whole", [case("the type that is none", base)]))
    else:
        sections.append(Section("Accept", list(accepts(base))))
    sections.append(common.fields(wrongs, "agent", part, base))
    return Table(
        name=f"agent-{call_type.lower()}",
        about=f"Operator API of the agent: {call_type} (see tests/scripts/tables/agent.py).",
        path=PATH,
        headers=HEADERS,
        sections=sections,
    )


def _call(call_type: str, **part: object) -> Fields:
    return {"type": call_type, call_type.lower(): part}


def _container(call_type: str, odd: str) -> Fields:
    nested = {"value": odd, "parent": {"value": "parent"}}
    return _call(call_type, container_id=nested)


def _within(call_type: str, odd: str) -> Fields:
    nested = {"value": "x", "parent": {"value": odd}}
    return _call(call_type, container_id=nested)


def _containers(call_type: str) -> Cases:
    """Ids that cannot be those of a container, by themselves and as the id of a parent."""
    parent = {"value": "parent"}
    yield case("without a parent", _call(call_type, container_id={"value": "x"}))
    chain: Fields = {"value": "0"}
    for number in range(1, LINKS):
        chain = {"value": str(number), "parent": chain}
    yield case(
        "containers that nest deeper than any",
        _call(call_type, container_id=chain),
    )
    if call_type.startswith("KILL"):
        for signal in (-1, 0, 999, 2**31 - 1):
            nested = {"value": "x", "parent": parent}
            call = _call(call_type, container_id=nested, signal=signal)
            yield case("a signal that is none", call)
    if call_type.startswith("LAUNCH"):
        nested = {"value": "x", "parent": parent}
        if call_type == "LAUNCH_CONTAINER":
            nested = {"value": "x"}
        yield case("nothing to run", _call(call_type, container_id=nested))
        variable = {"name": "a", "type": "SECRET"}
        environment = {"environment": {"variables": [variable]}}
        call = _call(call_type, container_id=nested, command=environment)
        yield case("a variable that is a secret, and has none", call)


def _attach_input() -> Cases:
    container = {"value": "x", "parent": {"value": "parent"}}
    body = _call("ATTACH_CONTAINER_INPUT", type="CONTAINER_ID", container_id=container)
    yield case("not as RecordIO", body)
    for title, part in (
        ("no type", {}),
        ("a type that nobody knows", {"type": "NOPE"}),
        ("the type that is none", {"type": "UNKNOWN"}),
        ("no container", {"type": "CONTAINER_ID"}),
        ("an odd container", {"type": "CONTAINER_ID", "container_id": {"value": "a/b"}}),
        ("no input", {"type": "PROCESS_IO"}),
        ("input of no kind", {"type": "PROCESS_IO", "process_io": {}}),
        ("data without any", {"type": "PROCESS_IO", "process_io": {"type": "DATA"}}),
        ("control of no kind", {"type": "PROCESS_IO", "process_io": {"type": "CONTROL"}}),
        ("input without its container", {"type": "PROCESS_IO", "process_io": _TTY}),
        ("the container", {"type": "CONTAINER_ID", "container_id": container}),
    ):
        whole = compact(_call("ATTACH_CONTAINER_INPUT", **part))
        yield Case(
            title=f"RecordIO: {title}",
            body=b"%d\n%b" % (len(whole), whole),
            headers={"Content-Type": RECORDIO, "Message-Content-Type": "application/json"},
        )


_TTY: Fields = {"type": "CONTROL", "control": {"type": "TTY_INFO", "tty_info": {}}}


def _read_file() -> Cases:
    yield from files("READ_FILE", root="/sandbox")()
    directory = _call("READ_FILE", path="/sandbox", offset=0)
    yield case("a directory", directory)
    for offset, length in ((-1, 1), (2**63, 1), (2**64 - 1, 1), (1e30, 1), (0, -1), (0, 1e30)):
        call = _call("READ_FILE", path="/sandbox/stdout", offset=offset, length=length)
        yield case("numbers beyond the file", call)


OWN: dict[str, Callable[[], Cases]] = {
    "LIST_FILES": files("LIST_FILES", root="/sandbox"),
    "READ_FILE": _read_file,
    "SET_LOGGING_LEVEL": logging_level,
    "GET_METRICS": metrics,
    "ATTACH_CONTAINER_INPUT": _attach_input,
}
