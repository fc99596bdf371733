"""Frameworks as the classic endpoints write them, and /frameworks.

Source: Mesos master/readonly_handler.cpp (json of Framework); recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tepui.base.names import FrameworkId
from tepui.master.core.messages import NO_CONSTRAINTS, offered, used_of_framework
from tepui.master.core.state import Framework, Offer, State
from tepui.master.core.views.pieces import Parts, Written, list_parts, objects_parts
from tepui.master.core.views.tasks import executor_value, tasks_count, tasks_parts
from tepui.master.core.views.values import JsonValue, amounts, amounts_text, labels_of, seconds
from tepui.resources import Resources


class FrameworksAsked(Struct, frozen=True):
    """/frameworks, all or one."""

    framework_id: str | None = None


def frameworks_view(state: State, question: FrameworksAsked) -> Written:
    """The answer of /frameworks."""
    wanted = question.framework_id
    return {
        "frameworks": frameworks_parts(state, of_id(state.frameworks, wanted)),
        "completed_frameworks": frameworks_parts(state, of_id(state.completed_frameworks, wanted)),
        "unregistered_frameworks": [],
    }


def frameworks_parts(state: State, frameworks: Iterable[Framework]) -> Parts:
    """The frameworks as a list."""
    return Parts(objects_parts(_framework_value(state, framework) for framework in frameworks))


def of_id(known: Mapping[FrameworkId, Framework], wanted: str | None) -> Iterable[Framework]:
    """The one that is wanted, if it is known; all for None."""
    if wanted is None:
        return known.values()
    one = known.get(FrameworkId(wanted))
    return () if one is None else (one,)


def objects_count(framework: Framework) -> int:
    """How much there is to write of it."""
    return 1 + tasks_count(framework) + len(framework.executors) + len(framework.offers)


def summary_value(state: State, framework: Framework) -> dict[str, JsonValue]:
    """The part of a framework that /state-summary has too."""
    return _summary(framework, *_holdings(state, framework))


def _framework_value(state: State, framework: Framework) -> Written:
    """One framework with all it has."""
    info = framework.info
    used, held = _holdings(state, framework)
    value: dict[str, JsonValue | Parts] = {**_summary(framework, used, held)}
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
    value["tasks"] = tasks_parts(framework.tasks.values())
    value["unreachable_tasks"] = tasks_parts(framework.unreachable_tasks.values())
    value["completed_tasks"] = tasks_parts(framework.completed_tasks)
    value["offers"] = list_parts(framework.offers.values(), _offer_value)
    value["executors"] = list_parts(framework.executors.values(), executor_value)
    if (found := labels_of(info.labels)) is not None:
        value["labels"] = found
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
        "resources": amounts_text(offer.resources),
    }
