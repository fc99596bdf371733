"""Frameworks as the classic endpoints write them, and /frameworks.

Source: Mesos master/readonly_handler.cpp (json of Framework); recorded answers.
"""

from __future__ import annotations

from msgspec import Struct

from tepui.master.core.messages import NO_CONSTRAINTS, offered, used_of_framework
from tepui.master.core.state import Framework, Offer, State
from tepui.master.core.views.tasks import executor_value, tasks_value
from tepui.master.core.views.values import JsonValue, amounts, labels, seconds
from tepui.resources import Resources


class FrameworksAsked(Struct, frozen=True):
    """/frameworks, all or one."""

    framework_id: str | None = None


def frameworks_view(state: State, question: FrameworksAsked) -> JsonValue:
    """The answer of /frameworks."""
    wanted = question.framework_id
    return {
        "frameworks": [
            framework_value(state, f) for f in state.frameworks.values() if wanted in (None, f.id)
        ],
        "completed_frameworks": [
            framework_value(state, f)
            for f in state.completed_frameworks.values()
            if wanted in (None, f.id)
        ],
        "unregistered_frameworks": [],
    }


def summary_value(state: State, framework: Framework) -> dict[str, JsonValue]:
    """The part of a framework that /state-summary has too."""
    return _summary(framework, *_holdings(state, framework))


def framework_value(state: State, framework: Framework) -> JsonValue:
    """One framework with all it has."""
    info = framework.info
    used, held = _holdings(state, framework)
    value = _summary(framework, used, held)
    value["user"] = info.user
    value["failover_timeout"] = info.failover_timeout
    value["checkpoint"] = info.checkpoint
    value["registered_time"] = seconds(framework.registered_ms)
    value["unregistered_time"] = seconds(framework.unregistered_ms or 0)
    if info.principal is not None:
        value["principal"] = info.principal
    value["resources"] = amounts(used + held)
    if framework.reregistered_ms is not None:
        value["reregistered_time"] = seconds(framework.reregistered_ms)
    if "MULTI_ROLE" in framework.capabilities:
        value["roles"] = framework.roles
    else:
        value["role"] = framework.roles[0]
    value["tasks"] = tasks_value(framework.tasks.values())
    value["unreachable_tasks"] = tasks_value(framework.unreachable_tasks.values())
    value["completed_tasks"] = tasks_value(framework.completed_tasks)
    value["offers"] = [_offer_value(offer) for offer in framework.offers.values()]
    value["executors"] = [executor_value(e) for e in framework.executors.values()]
    if info.labels is not None and info.labels.labels:
        value["labels"] = labels(info.labels)
    value["offer_constraints"] = framework.constraints or NO_CONSTRAINTS
    return value


def _holdings(state: State, framework: Framework) -> tuple[Resources, Resources]:
    """What it uses, and what it is offered."""
    used = Resources.total(used_of_framework(state, framework).values())
    return used, Resources.total(offered(framework).values())


def _summary(framework: Framework, used: Resources, held: Resources) -> dict[str, JsonValue]:
    info = framework.info
    is_connected = framework.subscription is not None
    return {
        "id": framework.id,
        "name": info.name,
        "used_resources": amounts(used),
        "offered_resources": amounts(held),
        "capabilities": [c.type for c in info.capabilities if c.type is not None],
        "hostname": info.hostname or "",
        "webui_url": info.webui_url or "",
        "active": is_connected,
        "connected": is_connected,
        "recovered": framework.recovered,
    }


def _offer_value(offer: Offer) -> JsonValue:
    return {
        "id": offer.id,
        "framework_id": offer.framework_id,
        "allocation_info": {"role": offer.role},
        "slave_id": offer.agent_id,
        "resources": amounts(offer.resources),
    }
