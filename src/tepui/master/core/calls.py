"""The calls of a subscribed scheduler: who may make them, and who handles each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tepui.base.names import AgentId, ExecutorId, FrameworkId, Role
from tepui.master.core import caps, messages, throttle
from tepui.master.core.accept import accept, decline
from tepui.master.core.actions import Answer, Effects, SendEvent, SendToAgent
from tepui.master.core.events import CallReceived, CallsTurnCame
from tepui.master.core.frameworks import change_info, remove_framework
from tepui.master.core.publish import publish_framework_updated
from tepui.master.core.reconciliation import kill, reconcile
from tepui.master.core.state import Framework, State
from tepui.master.core.updates import acknowledge
from tepui.master.core.validation.framework import update_framework_error
from tepui.wire import link, mesos, scheduler

Call = scheduler.Call
# Any: the part of the call that its type names, which `validation.call_error` has seen there.
Handler: TypeAlias = Callable[[State, Framework, Any, int, Effects], None]


def call_received(state: State, event: CallReceived, now_ms: int, step: Effects) -> None:
    """Check who calls, answer, and do what is asked; above a rate limit, later.

    The call's own form was checked before (`validation.call_error`).
    """
    framework = _caller(state, event, step)
    if framework is not None and not throttle.waits(state, framework, event, now_ms, step):
        _do(state, framework, event, now_ms, step)


def calls_turn_came(state: State, event: CallsTurnCame, now_ms: int, step: Effects) -> None:
    """A call that had to wait is made, if its framework may still make it."""
    throttle.turn_came(state, event)
    framework = _caller(state, event.call, step)
    if framework is not None:
        _do(state, framework, event.call, now_ms, step)


def _caller(state: State, event: CallReceived, step: Effects) -> Framework | None:
    """The framework that calls; None when the call may not be made, which is answered."""
    assert event.call.framework_id is not None
    framework = state.frameworks.get(FrameworkId(event.call.framework_id.value))
    refusal = _refusal(framework, event)
    if refusal is not None:
        step.then.append(Answer(event.request, *refusal))
        return None
    return framework


def _do(
    state: State, framework: Framework, event: CallReceived, now_ms: int, step: Effects
) -> None:
    call = event.call
    assert call.type is not None
    error = caps.call_error(call)
    if error is not None:
        state.counters.add("refused_by_limits")
        step.then.append(Answer(event.request, 400, error))
        return
    if call.type is Call.Type.UPDATE_FRAMEWORK:
        _update_framework(state, framework, event, now_ms, step)
        return
    handler = HANDLERS.get(call.type)
    if handler is None:
        assert call.type is Call.Type.UNKNOWN
        step.then.append(Answer(event.request, 501, "501 Not Implemented."))
        return
    step.then.append(Answer(event.request, 202))
    handler(state, framework, getattr(call, call.type.lower(), None), now_ms, step)


def _refusal(framework: Framework | None, event: CallReceived) -> tuple[int, str] | None:
    """Status and text for a call that may not be made (Mesos: master/http.cpp scheduler)."""
    if framework is None:
        return 400, "Framework cannot be found"
    if event.principal is not None and event.principal != framework.info.principal:
        return 403, (
            f"Authenticated principal '{event.principal}' does not match principal"
            f" '{framework.info.principal or ''}' set in `FrameworkInfo`"
        )
    if framework.subscription is None:
        return 403, "Framework is not subscribed"
    if event.stream is None:
        return 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
    if event.stream != framework.subscription.stream:
        return 400, (
            f"The stream ID '{event.stream}' included in this request didn't match the stream ID"
            f" currently associated with framework ID {framework.id}"
        )
    return None


def _update_framework(
    state: State, framework: Framework, event: CallReceived, now_ms: int, step: Effects
) -> None:
    update = event.call.update_framework
    assert update is not None
    error = caps.framework_error(state, framework, update.framework_info, update.offer_constraints)
    if error is not None:
        state.counters.add("refused_by_limits")
    else:
        error = update_framework_error(framework.info, update)
    if error is not None:
        step.then.append(Answer(event.request, 400, error))
        return
    step.then.append(Answer(event.request, 200))
    change_info(state, framework, update.framework_info, update, now_ms, step)
    publish_framework_updated(state, framework, step)


def _teardown(state: State, framework: Framework, call: None, now_ms: int, step: Effects) -> None:
    remove_framework(state, framework, now_ms, step)


def _revive(
    state: State, framework: Framework, call: Call.Revive | None, now_ms: int, step: Effects
) -> None:
    state.counters.add("messages_revive_offers")
    roles = _own_roles(framework, call.roles if call else ())
    framework.suppressed -= frozenset(roles)
    if roles:
        state.allocator.revive(framework.id, roles)


def _suppress(
    state: State, framework: Framework, call: Call.Suppress | None, now_ms: int, step: Effects
) -> None:
    state.counters.add("messages_suppress_offers")
    roles = _own_roles(framework, call.roles if call else ())
    framework.suppressed |= frozenset(roles)
    if roles:
        state.allocator.suppress(framework.id, roles)


def _own_roles(framework: Framework, named: tuple[str, ...]) -> tuple[Role, ...]:
    """The framework's roles among those named; all when none is named."""
    if not named:
        return framework.roles
    return tuple(Role(role) for role in named if role in framework.roles)


def _shutdown(
    state: State, framework: Framework, call: Call.Shutdown, now_ms: int, step: Effects
) -> None:
    """Have an executor ended; one that is not known is passed over."""
    agent = state.agents.get(AgentId(call.agent_id.value))
    executor_id = ExecutorId(call.executor_id.value)
    if agent is None or agent.link is None or executor_id not in agent.executors_of(framework.id):
        return
    step.then.append(SendToAgent(agent.link, link.ShutdownExecutor(framework.id, executor_id)))


def _message(
    state: State, framework: Framework, call: Call.Message, now_ms: int, step: Effects
) -> None:
    """Pass bytes on to an executor; without its agent they are lost, as documented."""
    agent = state.agents.get(AgentId(call.agent_id.value))
    if agent is None or agent.link is None:
        state.counters.add("invalid_framework_to_executor_messages")
        return
    state.counters.add("valid_framework_to_executor_messages")
    message = link.SchedulerMessage(framework.id, call.executor_id.value, call.data)
    step.then.append(SendToAgent(agent.link, message))


def _request(
    state: State, framework: Framework, call: Call.Request, now_ms: int, step: Effects
) -> None:
    """Mesos's allocator takes note of requests and does nothing with them; so do we."""
    state.counters.add("messages_resource_request")


def _answer_inverse_offers(
    state: State,
    framework: Framework,
    call: Call.AcceptInverseOffers | Call.DeclineInverseOffers,
    now_ms: int,
    step: Effects,
) -> None:
    """There are no inverse offers without maintenance, so none is known: passed over."""
    state.counters.add("messages_inverse_offers")


def _acknowledge_operation_status(
    state: State,
    framework: Framework,
    call: Call.AcknowledgeOperationStatus,
    now_ms: int,
    step: Effects,
) -> None:
    """Statuses of operations that this master makes need no acknowledgement: passed over."""
    state.counters.add("invalid_operation_status_update_acknowledgements")


def _reconcile_operations(
    state: State, framework: Framework, call: Call.ReconcileOperations, now_ms: int, step: Effects
) -> None:
    """Say of each named operation that it is unknown: this master keeps none."""
    assert framework.subscription is not None
    state.counters.add("messages_reconcile_operations")
    for wanted in call.operations:
        text = "Reconciliation: Operation is unknown"
        if wanted.agent_id is None:
            text = f"{text} and no 'agent_id' was provided"
        elif wanted.agent_id.value not in state.agents:
            text = "Reconciliation: Both operation and agent are unknown"
        status = mesos.OperationStatus(
            operation_id=wanted.operation_id,
            state=mesos.OperationState.OPERATION_UNKNOWN,
            message=text,
            agent_id=wanted.agent_id,
            resource_provider_id=wanted.resource_provider_id,
        )
        event = messages.operation_status(status)
        step.then.append(SendEvent(framework.subscription.stream, event))


HANDLERS: dict[scheduler.Call.Type, Handler] = {
    Call.Type.TEARDOWN: _teardown,
    Call.Type.ACCEPT: accept,
    Call.Type.DECLINE: decline,
    Call.Type.ACCEPT_INVERSE_OFFERS: _answer_inverse_offers,
    Call.Type.DECLINE_INVERSE_OFFERS: _answer_inverse_offers,
    Call.Type.REVIVE: _revive,
    Call.Type.KILL: kill,
    Call.Type.SHUTDOWN: _shutdown,
    Call.Type.ACKNOWLEDGE: acknowledge,
    Call.Type.ACKNOWLEDGE_OPERATION_STATUS: _acknowledge_operation_status,
    Call.Type.RECONCILE: reconcile,
    Call.Type.RECONCILE_OPERATIONS: _reconcile_operations,
    Call.Type.MESSAGE: _message,
    Call.Type.REQUEST: _request,
    Call.Type.SUPPRESS: _suppress,
}
