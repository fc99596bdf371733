"""Whether a call of the operator API is complete (Mesos: master/validation.cpp, master::call)."""

from __future__ import annotations

from tepui.base.errors import Refused
from tepui.resources.validation import validate_resources
from tepui.wire import master, mesos

PREFIX = "Failed to validate master::Call: "

_Type = master.Call.Type

# Calls that only read need no message of their own, save one; UNKNOWN is refused as such later.
_WITHOUT_MESSAGE = frozenset(
    kind for kind in _Type if kind.startswith("GET_") and kind is not _Type.GET_METRICS
) | {_Type.SUBSCRIBE, _Type.UNKNOWN}


def call_error(call: master.Call) -> str | None:
    """The whole body of the 400 for an incomplete call; None for a complete one."""
    if call.type is None:
        return PREFIX + "Expecting 'type' to be present"
    if call.type in _WITHOUT_MESSAGE:
        return None
    needed = call.type.lower()  # a call's message has the name of its type
    if getattr(call, needed) is None:
        return f"{PREFIX}Expecting '{needed}' to be present"
    error = _resources_error(call) or _volume_error(call)
    return None if error is None else PREFIX + error


def _resources_error(call: master.Call) -> str | None:
    named: tuple[mesos.Resource, ...] = ()
    if call.type is _Type.RESERVE_RESOURCES and call.reserve_resources is not None:
        named = call.reserve_resources.resources
    if call.type is _Type.UNRESERVE_RESOURCES and call.unreserve_resources is not None:
        named = call.unreserve_resources.resources
    try:
        validate_resources(named)
    except Refused as refused:
        return refused.text
    return None


def _volume_error(call: master.Call) -> str | None:
    part: master.Call.GrowVolume | master.Call.ShrinkVolume | None = None
    if call.type is _Type.GROW_VOLUME:
        part = call.grow_volume
    if call.type is _Type.SHRINK_VOLUME:
        part = call.shrink_volume
    if part is None or part.agent_id is not None:
        return None
    return (
        "Expecting 'agent_id' to be present; only agent default resources are supported right now"
    )
