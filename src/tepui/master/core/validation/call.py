"""Whether a scheduler call is complete (Mesos: master/validation.cpp, scheduler::call)."""

from __future__ import annotations

from tepui.base.ids import is_uuid
from tepui.wire import scheduler

PREFIX = "Failed to validate scheduler::Call: "

_Type = scheduler.Call.Type

# The field that each type needs. The others need none, or may leave it out.
_FIELDS = {
    _Type.ACCEPT: "accept",
    _Type.DECLINE: "decline",
    _Type.ACCEPT_INVERSE_OFFERS: "accept_inverse_offers",
    _Type.DECLINE_INVERSE_OFFERS: "decline_inverse_offers",
    _Type.KILL: "kill",
    _Type.SHUTDOWN: "shutdown",
    _Type.ACKNOWLEDGE: "acknowledge",
    _Type.ACKNOWLEDGE_OPERATION_STATUS: "acknowledge_operation_status",
    _Type.RECONCILE: "reconcile",
    _Type.RECONCILE_OPERATIONS: "reconcile_operations",
    _Type.MESSAGE: "message",
    _Type.REQUEST: "request",
    _Type.UPDATE_FRAMEWORK: "update_framework",
}


def call_error(call: scheduler.Call, principal: str | None = None) -> str | None:
    """The whole body of the 400 for an incomplete call; None for a complete one.

    `principal` is the authenticated one, None without authentication.
    """
    error = _error(call, principal)
    return None if error is None else PREFIX + error


def _error(call: scheduler.Call, principal: str | None) -> str | None:
    if call.type is None:
        return _expecting("type")
    if call.type is _Type.SUBSCRIBE:
        return _subscribe_error(call, principal)
    if call.framework_id is None:
        return _expecting("framework_id")
    needed = _FIELDS.get(call.type)
    if needed is not None and getattr(call, needed) is None:
        return _expecting(needed)
    if call.type is _Type.ACKNOWLEDGE:
        return _acknowledge_error(call)
    if call.type is _Type.ACKNOWLEDGE_OPERATION_STATUS:
        return _acknowledge_operation_error(call)
    if call.type is _Type.UPDATE_FRAMEWORK:
        return _update_framework_error(call)
    return None


def _expecting(name: str) -> str:
    return f"Expecting '{name}' to be present"


def _subscribe_error(call: scheduler.Call, principal: str | None) -> str | None:
    if call.subscribe is None:
        return _expecting("subscribe")
    info = call.subscribe.framework_info
    if _value(info.id) != _value(call.framework_id):
        return "'framework_id' differs from 'subscribe.framework_info.id'"
    if principal is not None and info.principal is not None and info.principal != principal:
        return (
            f"Authenticated principal '{principal}' does not match principal"
            f" '{info.principal}' set in `FrameworkInfo`"
        )
    return None


def _update_framework_error(call: scheduler.Call) -> str | None:
    assert call.update_framework is not None
    if _value(call.update_framework.framework_info.id) != _value(call.framework_id):
        return "'framework_id' differs from 'update_framework.framework_info.id'"
    return None


def _acknowledge_error(call: scheduler.Call) -> str | None:
    assert call.acknowledge is not None
    return _uuid_error(call.acknowledge.uuid)


def _acknowledge_operation_error(call: scheduler.Call) -> str | None:
    acknowledge = call.acknowledge_operation_status
    assert acknowledge is not None
    if error := _uuid_error(acknowledge.uuid):
        return error
    return _expecting("agent_id") if acknowledge.agent_id is None else None


def _uuid_error(uuid: bytes) -> str | None:
    return None if is_uuid(uuid) else "Not a valid UUID"


def _value(framework_id: object) -> str:
    """An absent id and an empty one are the same."""
    return getattr(framework_id, "value", "")
