"""The wrong requests to POST /api/v1 of a master."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tepui.wire import master
from tests.scripts.tables import common
from tests.scripts.tables.case import PROTOBUF, Case, Fields, Section, Table, case, compact
from tests.scripts.tables.master import AGENT, GONE, GONE_AGENT
from tests.scripts.tables.schema import MESSAGES, Wrongs, call_types, example, part_of
from tests.scripts.tables.subscribe import BAD_ROLES

PATH = "/api/v1"
HEADERS = common.json_headers()
HARMLESS: Fields = {"type": "GET_HEALTH"}
MAY_BE_ABSENT = "SUBSCRIBE"  # has no field

Cases = Iterator[Case]


def tables() -> Iterator[Table]:
    """All of the API."""
    yield Table(
        name="master-http",
        about="Operator API of the master: methods, content types, Accept and paths.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Methods and content types", common.media_types(compact(HARMLESS), PATH)),
            Section("Accept", list(accepts(HARMLESS))),
            Section("Paths", list(_paths())),
        ],
    )
    yield Table(
        name="master-body",
        about="Operator API of the master: bodies that are no call, and calls without a known type.",
        path=PATH,
        headers=HEADERS,
        sections=[
            Section("Bodies", common.bodies(HARMLESS, master.Call)),
            Section("Types", [*common.types({}), common.unknown_type_in_protobuf("master", {})]),
        ],
    )
    wrongs = Wrongs("master")
    for call_type in call_types("master"):
        yield _call_table(call_type, wrongs)


def accepts(call: Fields) -> Cases:
    """Headers that allow no answer."""
    for accept in (
        "text/html",
        "application/recordio",
        "application/json;q=0",
        "application/json;q=0, application/x-protobuf;q=0",
        "*/*;q=0",
        "json",
        "",
    ):
        yield case("an Accept that allows nothing we have", call, headers={"Accept": accept})
    both = {"Accept": "text/html", "Content-Type": "text/html"}
    yield case("Content-Type is looked at first", call, headers=both)
    yield case("then the body", {}, headers={"Accept": "text/html"})


def _paths() -> Cases:
    yield case("no such version", HARMLESS, path="/api/v2")
    yield case("not the whole path", HARMLESS, path="/api")
    yield case("the agent's path", HARMLESS, path="/slave(1)/api/v1")
    yield case("a path below that of the API is it too", {}, path=f"{PATH}/x")
    yield case("with the name of the master", {}, path=f"/master{PATH}")


def _call_table(call_type: str, wrongs: Wrongs) -> Table:
    base: Fields = {"type": call_type}
    part = part_of("master", call_type)
    sections = []
    if part is not None:
        other = "teardown" if part != "teardown" else "remove_quota"
        missing = common.part_missing("master", call_type, part, base, other)
        sections.append(Section("The call as a whole", list(missing)))
    if call_type in IDS:
        sections.append(IDS[call_type])
    own = OWN.get(call_type)
    if own is not None:
        sections.append(Section("What is asked for", list(own())))
    elif part is not None and call_type not in IDS:
        whole = {**base, part: example(str(MESSAGES["mesos.v1.master.Call"][part][1]))}
        sections.append(Section("What is asked for", [case("a call that is complete", whole)]))
    if call_type == "UNKNOWN":
        sections.append(Section("The call as a whole", [case("the type that is none", base)]))
    elif part is None:
        sections.append(Section("Accept", list(accepts(base))))
    sections.append(common.fields(wrongs, "master", part, base))
    return Table(
        name=f"master-{call_type.lower()}",
        about=f"Operator API of the master: {call_type} (see tests/scripts/tables/master.py).",
        path=PATH,
        headers=HEADERS,
        sections=sections,
    )


def _call(call_type: str, **part: object) -> Fields:
    return {"type": call_type, call_type.lower(): part}


def _of_agent(call_type: str, *more: str) -> Section:
    def call(agent_id: str) -> Fields:
        return _call(call_type, agent_id={"value": agent_id})

    return common.odd_ids("agent_id", call, *more)


def _mark_gone() -> Cases:
    again = _call("MARK_AGENT_GONE", agent_id={"value": GONE_AGENT})
    yield case("an agent that was marked gone before: as if it were done again", again)


def _reactivate() -> Cases:
    active = _call("REACTIVATE_AGENT", agent_id={"value": AGENT})
    yield case("an agent that is active", active)


def _weights() -> Cases:
    def call(*infos: Fields) -> Fields:
        return _call("UPDATE_WEIGHTS", weight_infos=list(infos))

    yield case("no weights", call())
    yield case("no role", call({"weight": 1}))
    for role in BAD_ROLES:
        yield case("a role whose name is none", call({"role": role, "weight": 1}))
    for weight in (0, -1, "-Infinity", "Infinity"):
        yield case(
            "a weight that is not positive and finite", call({"role": "web", "weight": weight})
        )
    right, wrong = {"role": "web", "weight": 2}, {"role": "ads", "weight": 0}
    yield case("a wrong one after a right one: none is set", call(right, wrong))
    yield Case(
        title="a weight that is NaN, which only protobuf can carry",
        body=bytes.fromhex("0810320e0a0c09000000000000f87f1203776562"),
        headers={"Content-Type": PROTOBUF},
    )


def files(call_type: str, *, root: str) -> Callable[[], Cases]:
    """LIST_FILES or READ_FILE of what nobody may see; `root` is attached."""
    more: Fields = {} if call_type == "LIST_FILES" else {"offset": 0}

    def cases() -> Cases:
        for path in (
            "",
            "/",
            "nope",
            "/nope",
            "/etc/passwd",
            "/../etc/passwd",
            f"{root}/..",
            f"{root}/../../etc/passwd",
            f"{root}/nope",
            f"{root}/a\u0000b",
            f"{root}/" + "x" * 300,
            "../" * 50,
        ):
            yield case("a file that is not to be seen", _call(call_type, path=path, **more))

    return cases


def _read_file() -> Cases:
    yield from files("READ_FILE", root="/master/log")()
    for offset, length in ((-1, 1), (2**64 - 1, 1), (1e30, 1), (0, -1), (0, 2**64 - 1)):
        numbers = {"offset": offset, "length": length}
        yield case("numbers beyond the file", _call("READ_FILE", path="/nope", **numbers))


def logging_level() -> Cases:
    """SET_LOGGING_LEVEL with numbers that no log has."""
    for level, nanoseconds in ((1, -1), (1, -(2**63)), (4, 10**9), (2**32 - 1, 10**9)):
        duration = {"nanoseconds": nanoseconds}
        call = _call("SET_LOGGING_LEVEL", level=level, duration=duration)
        yield case("a level or a duration that cannot be", call)


def _drain() -> Cases:
    for period in ({"seconds": -1}, {"seconds": 2**63 - 1}, {"nanos": -1}, {"nanos": 10**9}):
        agent_id = {"value": AGENT}
        call = _call("DRAIN_AGENT", agent_id=agent_id, max_grace_period=period)
        yield case("a grace period that nobody can wait for", call)


def metrics() -> Cases:
    """GET_METRICS whose timeout has passed before it began."""
    for nanoseconds in (-1, -(2**63)):
        timeout = {"nanoseconds": nanoseconds}
        yield case("a timeout that is negative", _call("GET_METRICS", timeout=timeout))


def _machines(call_type: str) -> Callable[[], Cases]:
    def cases() -> Cases:
        yield case("no machines", _call(call_type))
        yield case("a machine without a name", _call(call_type, machines=[{}]))
        unknown = {"hostname": "nope", "ip": "x"}
        yield case("a machine that nobody knows", _call(call_type, machines=[unknown]))

    return cases


IDS = {
    "TEARDOWN": common.odd_ids(
        "framework_id", lambda odd: _call("TEARDOWN", framework_id={"value": odd}), GONE
    ),
    "MARK_AGENT_GONE": _of_agent("MARK_AGENT_GONE"),
    "DEACTIVATE_AGENT": _of_agent("DEACTIVATE_AGENT", GONE_AGENT),
    "REACTIVATE_AGENT": _of_agent("REACTIVATE_AGENT", GONE_AGENT),
    "DRAIN_AGENT": _of_agent("DRAIN_AGENT", GONE_AGENT),
    "RESERVE_RESOURCES": _of_agent("RESERVE_RESOURCES", GONE_AGENT),
    "UNRESERVE_RESOURCES": _of_agent("UNRESERVE_RESOURCES", GONE_AGENT),
    "CREATE_VOLUMES": _of_agent("CREATE_VOLUMES", GONE_AGENT),
    "DESTROY_VOLUMES": _of_agent("DESTROY_VOLUMES", GONE_AGENT),
}


def _reserve(call_type: str) -> Callable[[], Cases]:
    """Resources that are none; the rest of the rules come with the feature."""

    def cases() -> Cases:
        cpus: Fields = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}
        dynamic = [{"type": "DYNAMIC", "role": "web"}]
        for title, wrong in (
            ("no name", {"name": ""}),
            ("no scalar", {"scalar": None}),
            ("a negative scalar", {"scalar": {"value": -1}}),
            ("a scalar and ranges", {"ranges": {"range": []}}),
            ("a type that does not fit", {"type": "RANGES"}),
            ("text", {"type": "TEXT"}),
            ("a reservation without type", {"reservations": [{"role": "web"}]}),
            ("a reservation without role", {"reservations": [{"type": "DYNAMIC"}]}),
            ("a reservation for all", {"reservations": [{"type": "DYNAMIC", "role": "*"}]}),
            ("a role whose name is none", {"reservations": [{"type": "DYNAMIC", "role": "a b"}]}),
            ("a refinement for another role", {"reservations": [*dynamic, *dynamic]}),
            ("an old and a new role", {"reservations": dynamic, "role": "ads"}),
            ("a disk that is none", {"disk": {}}),
            ("a resource that cannot be shared", {"shared": {}}),
        ):
            agent_id = {"value": AGENT}
            call = _call(call_type, agent_id=agent_id, resources=[cpus, {**cpus, **wrong}])
            yield case(title, call)

    return cases


OWN: dict[str, Callable[[], Cases]] = {
    "MARK_AGENT_GONE": _mark_gone,
    "REACTIVATE_AGENT": _reactivate,
    "DRAIN_AGENT": _drain,
    "RESERVE_RESOURCES": _reserve("RESERVE_RESOURCES"),
    "UNRESERVE_RESOURCES": _reserve("UNRESERVE_RESOURCES"),
    "UPDATE_WEIGHTS": _weights,
    "LIST_FILES": files("LIST_FILES", root="/master/log"),
    "READ_FILE": _read_file,
    "SET_LOGGING_LEVEL": logging_level,
    "GET_METRICS": metrics,
    "START_MAINTENANCE": _machines("START_MAINTENANCE"),
    "STOP_MAINTENANCE": _machines("STOP_MAINTENANCE"),
}
