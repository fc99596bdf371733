"""Every recorded call is refused, or not, as it was recorded.

`refused` is the body of a 400; `error` the message of the ERROR event that ends a subscription.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tepui.master.core.validation import call_error, subscribe_error, update_framework_error
from tepui.wire import mesos, scheduler
from tepui.wire.json import decode

Type = scheduler.Call.Type

CASES_MIN = 140
UUID_V4 = bytes.fromhex("6ba7b8109dad41d180b400c04fd430c8")

# What the framework of the recorded UPDATE_FRAMEWORK calls had said when it subscribed.
SUBSCRIBED = mesos.FrameworkInfo(
    user="root",
    name="upd",
    roles=("web",),
    capabilities=(
        mesos.FrameworkInfo.Capability(type=mesos.FrameworkInfo.Capability.Type.MULTI_ROLE),
    ),
    failover_timeout=10.0,
)


class Case(msgspec.Struct):
    call: msgspec.Raw
    refused: str | None = None
    error: str | None = None


CASES = msgspec.json.decode(
    (Path(__file__).parents[2] / "data" / "call-validation.json").read_bytes(), type=list[Case]
)


def test_all_cases_are_there() -> None:
    assert len(CASES) >= CASES_MIN


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(bytes(case.call)[:120], "ascii"))
def test_call_is_answered_as_recorded(case: Case) -> None:
    call = decode(scheduler.Call, bytes(case.call))
    refused = call_error(call)
    if refused is None and call.update_framework is not None:
        refused = update_framework_error(SUBSCRIBED, call.update_framework)
    assert refused == case.refused
    if call.subscribe is not None and refused is None:
        subscribe = call.subscribe
        assert case.error == subscribe_error(
            subscribe.framework_info, subscribe.suppressed_roles, subscribe.offer_constraints
        )


@pytest.mark.parametrize("kind", [kind for kind in Type if kind is not Type.SUBSCRIBE])
def test_every_other_call_needs_a_framework_id(kind: scheduler.Call.Type) -> None:
    expected = "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"
    assert call_error(scheduler.Call(type=kind)) == expected


@pytest.mark.parametrize(
    ("uuid", "valid"),
    [
        (UUID_V4, True),
        (UUID_V4[:15], False),
        (UUID_V4 + b"\0", False),
        (bytes(16), False),  # version 0
        (bytes(6) + b"\x10" + bytes(9), True),
        (bytes(6) + b"\x50" + bytes(9), True),
        (bytes(6) + b"\x60" + bytes(9), False),
    ],
)
def test_acknowledged_uuid_has_16_bytes_and_a_known_version(uuid: bytes, valid: bool) -> None:
    acknowledge = scheduler.Call.Acknowledge(
        agent_id=mesos.AgentID("a"), task_id=mesos.TaskID("t"), uuid=uuid
    )
    call = scheduler.Call(
        type=Type.ACKNOWLEDGE,
        framework_id=mesos.FrameworkID("framework"),
        acknowledge=acknowledge,
    )
    expected = None if valid else "Failed to validate scheduler::Call: Not a valid UUID"
    assert call_error(call) == expected


def test_subscription_as_somebody_else_is_refused() -> None:
    subscribe = scheduler.Call.Subscribe(
        framework_info=mesos.FrameworkInfo(user="root", name="f", principal="bob")
    )
    call = scheduler.Call(type=Type.SUBSCRIBE, subscribe=subscribe)
    assert call_error(call, "alice") == (
        "Failed to validate scheduler::Call: Authenticated principal 'alice' does not match"
        " principal 'bob' set in `FrameworkInfo`"
    )
    assert call_error(call, "bob") is None
    assert call_error(call) is None
