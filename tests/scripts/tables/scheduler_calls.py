"""What each call of the scheduler API asks for, and may ask for in vain.

Of what is unknown, 202 says no more than that the call was understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from tepui.master.core import caps
from tests.scripts.tables.case import Case, Fields, case, compact, large
from tests.scripts.tables.master import (
    ADS,
    ADS_STREAM,
    AGENT,
    GONE_AGENT,
    RUNNING_TASK,
    STREAM_ID,
    UUID,
    WEB,
)
from tests.scripts.tables.subscribe import update_framework_cases

Cases = Iterator[Case]


def _call(call_type: str, part: Fields) -> Fields:
    return {"type": call_type, "framework_id": {"value": WEB}, call_type.lower(): part}


def _id(value: str) -> Fields:
    return {"value": value}


def _accept() -> Cases:
    def accept(**fields: object) -> Fields:
        return _call("ACCEPT", fields)

    def task(task_id: str) -> Fields:
        cpus = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}
        return {
            "name": "n",
            "task_id": _id(task_id),
            "agent_id": _id(AGENT),
            "resources": [cpus],
            "command": {"value": "true"},
        }

    def launch(*tasks: Fields) -> Fields:
        return {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}

    yield case("nothing at all", accept())
    yield case("no offers, and a task", accept(operations=[launch(task("t1"))]))
    unknown = [_id("nope")]
    yield case(
        "a task on an offer that is not there",
        accept(offer_ids=unknown, operations=[launch(task("t1"))]),
    )
    yield case("an operation without type", accept(offer_ids=unknown, operations=[{}]))
    for kind in ("NOPE", "UNKNOWN", "LAUNCH", "LAUNCH_GROUP", "RESERVE", "CREATE", "GROW_VOLUME"):
        operations = [{"type": kind}]
        yield case(
            f"operation {kind} without its field", accept(offer_ids=unknown, operations=operations)
        )
    mine = [_id("M-O1")]
    yield case(
        "the same offer twice, and a task",
        accept(offer_ids=mine * 2, operations=[launch(task("t1"))]),
        effect=True,
    )
    yield case(
        "the caller's offer and one that is not there",
        accept(offer_ids=mine + unknown, operations=[launch(task("t1"))]),
        effect=True,
    )
    for refuse in (-1, 1e308, "Infinity", "-Infinity"):
        yield case(
            "refuse_seconds that nobody can wait for",
            accept(offer_ids=unknown, filters={"refuse_seconds": refuse}),
        )
    for task_id in ("", ".", "..", "a/b", "a\\b", "\u0000", "x" * 256):
        yield case(
            "a task whose id cannot be the name of a directory",
            accept(offer_ids=mine, operations=[launch(task(task_id))]),
            effect=True,
        )
    yield case(
        "a task that has the id of one that runs",
        accept(offer_ids=mine, operations=[launch(task(RUNNING_TASK))]),
        effect=True,
    )
    yield case(
        "a task on another agent than the offer's",
        accept(offer_ids=mine, operations=[launch({**task("t1"), "agent_id": _id("nope")})]),
        effect=True,
    )
    for value in (-1, 0.0001, 99, "Infinity", 1e308):
        cpus = {"name": "cpus", "type": "SCALAR", "scalar": {"value": value}}
        yield case(
            f"a task that asks for {value} cpus",
            accept(offer_ids=mine, operations=[launch({**task("t1"), "resources": [cpus]})]),
            effect=True,
        )


def _too_many_accepted() -> Cases:
    unknown = [_id("nope")]
    for count in (caps.OFFERS_PER_CALL_MAX, caps.OFFERS_PER_CALL_MAX + 1):
        yield large(f"{count} offers", _call("ACCEPT", {"offer_ids": unknown * count}))
    for count in (caps.OPERATIONS_PER_CALL_MAX, caps.OPERATIONS_PER_CALL_MAX + 1):
        fields = {"offer_ids": unknown, "operations": [{}] * count}
        yield large(f"{count} operations", _call("ACCEPT", fields))
    count = caps.TASKS_PER_CALL_MAX + 1
    task = {"name": "n", "task_id": _id("t"), "agent_id": _id(AGENT)}
    launch = {"type": "LAUNCH", "launch": {"task_infos": [task] * count}}
    fields = {"offer_ids": unknown, "operations": [launch]}
    yield large(f"{count} tasks", _call("ACCEPT", fields))


def _decline() -> Cases:
    for count in (caps.OFFERS_PER_CALL_MAX, caps.OFFERS_PER_CALL_MAX + 1):
        fields: Fields = {"offer_ids": [_id("nope")] * count}
        yield large(f"{count} offers", _call("DECLINE", fields))
    yield case("no offers", _call("DECLINE", {"offer_ids": []}))
    yield case("nothing at all", _call("DECLINE", {}))
    for refuse in (-1, 1e308, "Infinity", "-Infinity"):
        fields = {
            "offer_ids": [_id("nope")],
            "filters": {"refuse_seconds": refuse},
        }
        yield case("refuse_seconds that nobody can wait for", _call("DECLINE", fields))
        yield case(
            "the same for an offer that is there",
            _call("DECLINE", {**fields, "offer_ids": [_id("M-O1")]}),
            effect=True,
        )


def _of_another() -> Cases:
    """ADS declines what WEB was offered."""
    yield Case(
        title="the offer of another framework",
        body=compact(
            {
                "type": "DECLINE",
                "framework_id": _id(ADS),
                "decline": {"offer_ids": [_id("M-O1")]},
            }
        ),
        headers={STREAM_ID: ADS_STREAM},
    )


def _decline_all() -> Cases:
    yield from _decline()
    yield from _of_another()


def _inverse(call_type: str) -> Callable[[], Cases]:
    def cases() -> Cases:
        yield case("nothing at all", _call(call_type, {}))
        yield case(
            "an offer that is no inverse one",
            _call(call_type, {"inverse_offer_ids": [_id("M-O1")]}),
        )

    return cases


def _roles(call_type: str) -> Callable[[], Cases]:
    def cases() -> Cases:
        yield case(
            "a field in the singular, which nobody knows: as if without roles",
            _call(call_type, {"role": "nope"}),
            effect=True,
        )

    return cases


def _kill() -> Cases:
    for agent_id in ("", "nope", AGENT, GONE_AGENT):
        fields = {"task_id": _id("nope"), "agent_id": _id(agent_id)}
        yield case(f"an unknown task, said to be on agent '{agent_id}'", _call("KILL", fields))
    fields = {"task_id": _id(RUNNING_TASK), "agent_id": _id("nope")}
    yield case("a task that runs, said to be on another agent", _call("KILL", fields))
    for grace in (-1, -(2**63), 2**63 - 1, 2**64, 1e300):
        policy = {"grace_period": {"nanoseconds": grace}}
        yield case(
            "a grace period that nobody can wait for",
            _call("KILL", {"task_id": _id("nope"), "kill_policy": policy}),
        )


def _shutdown() -> Cases:
    fields = {"executor_id": _id(RUNNING_TASK), "agent_id": _id(AGENT)}
    yield case("a command, which has no executor of its own", _call("SHUTDOWN", fields))


def acknowledge_of(uuid: str, agent_id: str = AGENT, task_id: str = RUNNING_TASK) -> Fields:
    return {"agent_id": _id(agent_id), "task_id": _id(task_id), "uuid": uuid}


UUIDS = {
    "an empty uuid": "",
    "a uuid of 3 bytes": "AAAA",
    "a uuid of 15 bytes": "AAAAAAAAEAAAAAAAAAAA",
    "a uuid of 17 bytes": "AAAAAAAAEAAAAAAAAAAAAAA=",
    "a uuid as text": "NmJhN2I4MTAtOWRhZC00MWQxLTgwYjQtMDBjMDRmZDQzMGM4",
    "a uuid of version 0": "AAAAAAAAAAAAAAAAAAAAAA==",
    "a uuid of version 6": "AAAAAAAAYAAAAAAAAAAAAA==",
    "a uuid of version 15": "AAAAAAAA8AAAAAAAAAAAAA==",
}


def _acknowledge_cases() -> Cases:
    for title, uuid in UUIDS.items():
        yield case(title, _call("ACKNOWLEDGE", acknowledge_of(uuid)))
    another = "AAAAAAAAEAAAAAAAAAAAAQ=="
    yield case("the uuid of no update", _call("ACKNOWLEDGE", acknowledge_of(another)))
    yield Case(
        title="the update of another framework's task",
        body=compact(
            {"type": "ACKNOWLEDGE", "framework_id": _id(ADS), "acknowledge": acknowledge_of(UUID)}
        ),
        headers={STREAM_ID: ADS_STREAM},
    )


def _operation_status(uuid: str, agent_id: str = AGENT, operation_id: str = "o") -> Fields:
    fields = {"agent_id": _id(agent_id), "uuid": uuid, "operation_id": _id(operation_id)}
    return _call("ACKNOWLEDGE_OPERATION_STATUS", fields)


def _acknowledge_operation() -> Cases:
    for title, uuid in UUIDS.items():
        yield case(title, _operation_status(uuid))
    fields: Fields = {"uuid": UUID, "operation_id": _id("o")}
    yield case("no agent_id", _call("ACKNOWLEDGE_OPERATION_STATUS", fields))
    provided = {**fields, "resource_provider_id": _id("p")}
    yield case("only a resource provider", _call("ACKNOWLEDGE_OPERATION_STATUS", provided))


def _message(agent_id: str, executor_id: str) -> Fields:
    fields = {"agent_id": _id(agent_id), "executor_id": _id(executor_id), "data": "aGk="}
    return _call("MESSAGE", fields)


def _reconcile() -> Cases:
    def call(*tasks: Fields) -> Fields:
        return _call("RECONCILE", {"tasks": list(tasks)})

    for agent_id in ("", "nope", AGENT, GONE_AGENT):
        task = {"task_id": _id("nope"), "agent_id": _id(agent_id)}
        yield case(f"an unknown task, said to be on agent '{agent_id}'", call(task))
    running = {"task_id": _id(RUNNING_TASK), "agent_id": _id("nope")}
    yield case("a task that runs, said to be on another agent", call(running))
    count = caps.RECONCILED_PER_CALL_MAX + 1
    yield large(f"{count} tasks", call(*[{"task_id": _id("t")}] * count))
    yield case("the same unknown task twice", call(*[{"task_id": _id("nope")}] * 2))
    yield Case(
        title="a task of another framework",
        body=compact(
            {
                "type": "RECONCILE",
                "framework_id": _id(ADS),
                "reconcile": {"tasks": [{"task_id": _id(RUNNING_TASK)}]},
            }
        ),
        headers={STREAM_ID: ADS_STREAM},
    )


def _reconcile_operations() -> Cases:
    def call(**operation: object) -> Fields:
        return _call("RECONCILE_OPERATIONS", {"operations": [operation]})

    yield case("nothing at all", _call("RECONCILE_OPERATIONS", {}))
    for agent_id in ("nope", AGENT, GONE_AGENT):
        fields = {"operation_id": _id("nope"), "agent_id": _id(agent_id)}
        yield case(f"an operation said to be on agent '{agent_id}'", call(**fields))


def _too_many_operations() -> Cases:
    count = caps.RECONCILED_PER_CALL_MAX + 1
    operations = [{"operation_id": _id("o")}] * count
    yield large(f"{count} operations", _call("RECONCILE_OPERATIONS", {"operations": operations}))


def _request() -> Cases:
    yield case("nothing at all", _call("REQUEST", {}))
    cpus = {"name": "cpus", "type": "SCALAR", "scalar": {"value": -1}}
    for request in ({}, {"agent_id": _id("nope")}, {"resources": [cpus]}):
        yield case("a request that says nothing", _call("REQUEST", {"requests": [request]}))


ROLES = ("ads", "a//b", "/a")  # beside the odd ids, which are no roles of the caller either
IDS: dict[str, tuple[tuple[str, Callable[[str], Fields], *tuple[str, ...]], ...]] = {
    "ACCEPT": (("offer_ids", lambda odd: _call("ACCEPT", {"offer_ids": [_id(odd)]})),),
    "DECLINE": (("offer_ids", lambda odd: _call("DECLINE", {"offer_ids": [_id(odd)]})),),
    "ACCEPT_INVERSE_OFFERS": (
        (
            "inverse_offer_ids",
            lambda odd: _call("ACCEPT_INVERSE_OFFERS", {"inverse_offer_ids": [_id(odd)]}),
        ),
    ),
    "DECLINE_INVERSE_OFFERS": (
        (
            "inverse_offer_ids",
            lambda odd: _call("DECLINE_INVERSE_OFFERS", {"inverse_offer_ids": [_id(odd)]}),
        ),
    ),
    "REVIVE": (("roles", lambda odd: _call("REVIVE", {"roles": [odd]}), *ROLES),),
    "SUPPRESS": (("roles", lambda odd: _call("SUPPRESS", {"roles": [odd]}), *ROLES),),
    "KILL": (("task_id", lambda odd: _call("KILL", {"task_id": _id(odd)})),),
    "SHUTDOWN": (
        (
            "executor_id",
            lambda odd: _call("SHUTDOWN", {"executor_id": _id(odd), "agent_id": _id(AGENT)}),
        ),
        (
            "agent_id",
            lambda odd: _call("SHUTDOWN", {"executor_id": _id("e"), "agent_id": _id(odd)}),
            GONE_AGENT,
        ),
    ),
    "ACKNOWLEDGE": (
        ("task_id", lambda odd: _call("ACKNOWLEDGE", acknowledge_of(UUID, task_id=odd))),
        (
            "agent_id",
            lambda odd: _call("ACKNOWLEDGE", acknowledge_of(UUID, agent_id=odd)),
            GONE_AGENT,
        ),
    ),
    "ACKNOWLEDGE_OPERATION_STATUS": (
        ("operation_id", lambda odd: _operation_status(UUID, operation_id=odd)),
        ("agent_id", lambda odd: _operation_status(UUID, agent_id=odd), GONE_AGENT),
    ),
    "RECONCILE": (("task_id", lambda odd: _call("RECONCILE", {"tasks": [{"task_id": _id(odd)}]})),),
    "RECONCILE_OPERATIONS": (
        (
            "operation_id",
            lambda odd: _call("RECONCILE_OPERATIONS", {"operations": [{"operation_id": _id(odd)}]}),
        ),
    ),
    "MESSAGE": (
        ("agent_id", lambda odd: _message(odd, "e"), GONE_AGENT),
        ("executor_id", lambda odd: _message(AGENT, odd)),
    ),
}
OWN: dict[str, Callable[[], Cases]] = {
    "UNKNOWN": lambda: iter([case("the type that is none", _call("UNKNOWN", {}))]),
    "ACCEPT": lambda: chain(_accept(), _too_many_accepted()),
    "DECLINE": _decline_all,
    "ACCEPT_INVERSE_OFFERS": _inverse("ACCEPT_INVERSE_OFFERS"),
    "DECLINE_INVERSE_OFFERS": _inverse("DECLINE_INVERSE_OFFERS"),
    "REVIVE": _roles("REVIVE"),
    "SUPPRESS": _roles("SUPPRESS"),
    "KILL": _kill,
    "SHUTDOWN": _shutdown,
    "ACKNOWLEDGE": _acknowledge_cases,
    "ACKNOWLEDGE_OPERATION_STATUS": _acknowledge_operation,
    "RECONCILE": _reconcile,
    "RECONCILE_OPERATIONS": lambda: chain(_reconcile_operations(), _too_many_operations()),
    "REQUEST": _request,
    "UPDATE_FRAMEWORK": update_framework_cases,
}
