"""Rate limits: how many calls a second the frameworks of a principal may make.

A call above the rate waits for its turn, in order; when more than the capacity wait, a call is
refused. Principals without a limit of their own share the aggregate default; without that they
are not limited. (Mesos: docs/framework-rate-limiting.md)
"""

from __future__ import annotations

from msgspec import Struct, msgpack

from tepui.master.core.actions import Answer, Effects
from tepui.master.core.events import CallReceived, CallsTurnCame
from tepui.master.core.settings import RateLimit
from tepui.master.core.state import Framework, State, Throttled

WAITING_MAX = 10_000  # calls of one principal; in Mesos any number without a capacity
WAITING_BYTES_MAX = 64 << 20  # of them together, unless there is one only

_encode = msgpack.Encoder().encode


class _Limited(Struct, frozen=True):
    name: str  # of the queue: the principal, or the one that the others share
    limit: RateLimit


def waits(
    state: State, framework: Framework, event: CallReceived, now_ms: int, step: Effects
) -> bool:
    """Whether the call must wait, or was refused; then it is taken care of."""
    found = _limit_of(state, framework.info.principal)
    if found is None or found.limit.qps is None:
        return False
    queue = state.throttled.setdefault(found.name, Throttled())
    pause_ms = 1000 / found.limit.qps
    if queue.next_ms <= now_ms and queue.waiting == 0:
        queue.next_ms = now_ms + pause_ms
        return False
    capacity = WAITING_MAX if found.limit.capacity is None else found.limit.capacity
    size_bytes = len(_encode(event.call))
    is_too_much = queue.waiting > 0 and queue.waiting_bytes + size_bytes > WAITING_BYTES_MAX
    if queue.waiting >= capacity or is_too_much:
        text = (
            f"principal '{framework.info.principal or ''}' may make {found.limit.qps:g} calls a"
            f" second, and {queue.waiting} wait already"
        )
        step.then.append(Answer(event.request, 429, text))
        return True
    due_ms = max(queue.next_ms, now_ms)
    queue.next_ms = due_ms + pause_ms
    queue.waiting += 1
    queue.waiting_bytes += size_bytes
    state.timers.set(int(due_ms), CallsTurnCame(found.name, event))
    return True


def turn_came(state: State, event: CallsTurnCame) -> None:
    """The call does not wait any more."""
    queue = state.throttled[event.queue]
    queue.waiting -= 1
    queue.waiting_bytes -= len(_encode(event.call.call))


def _limit_of(state: State, principal: str | None) -> _Limited | None:
    limits = state.settings.rate_limits
    if limits is None:
        return None
    for limit in limits.limits:
        if principal is not None and limit.principal == principal:
            return _Limited(principal, limit)
    if limits.aggregate_default_qps is None:
        return None
    shared = RateLimit(
        principal=None,
        qps=limits.aggregate_default_qps,
        capacity=limits.aggregate_default_capacity,
    )
    return _Limited("", shared)
