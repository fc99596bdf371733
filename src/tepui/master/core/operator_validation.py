"""Whether a call of the operator API is complete (Mesos: master/validation.cpp, master::call)."""

from __future__ import annotations

from tepui.wire import master

PREFIX = "Failed to validate master::Call: "

_Type = master.Call.Type

# Calls that only read need no message of their own, save one.
_WITHOUT_MESSAGE = frozenset(
    kind for kind in _Type if kind.startswith("GET_") and kind is not _Type.GET_METRICS
) | {_Type.SUBSCRIBE}


def call_error(call: master.Call) -> str | None:
    """The whole body of the 400 for an incomplete call; None for a complete one."""
    if call.type is None or call.type is _Type.UNKNOWN:
        return PREFIX + "Expecting 'type' to be present"
    if call.type in _WITHOUT_MESSAGE:
        return None
    needed = call.type.lower()  # a call's message has the name of its type
    if getattr(call, needed) is None:
        return f"{PREFIX}Expecting '{needed}' to be present"
    return None
