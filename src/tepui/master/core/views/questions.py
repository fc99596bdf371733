"""The questions that the classic endpoints ask, and what a query must be to ask one.

Source: Mesos master/http.cpp, 3rdparty/libprocess metrics; texts as a real master answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeAlias, cast, get_args

from msgspec import Struct, field

from tepui.base.errors import Refused
from tepui.base.names import FrameworkId
from tepui.master.core.views.agents import SlavesAsked
from tepui.master.core.views.durations import duration_ms
from tepui.master.core.views.frameworks import FrameworksAsked
from tepui.master.core.views.tasks import TASKS_MAX_DEFAULT, TasksAsked
from tepui.resources import Resources
from tepui.resources.parse import parse_resources
from tepui.wire import master
from tepui.wire.media import Media

NOT_A_QUANTITY = frozenset({"framework_id", "task_id", "jsonp"})


class HealthAsked(Struct, frozen=True):
    """/health: 200 and nothing."""


class StateAsked(Struct, frozen=True):
    """/state."""


class SummaryAsked(Struct, frozen=True):
    """/state-summary."""


class RolesAsked(Struct, frozen=True):
    """/roles."""


class WeightsAsked(Struct, frozen=True):
    """GET of /weights."""


class FlagsAsked(Struct, frozen=True):
    """/flags."""


class VersionAsked(Struct, frozen=True):
    """/version."""


class EmptyAsked(Struct, frozen=True):
    """/quota and /maintenance/*: what this master keeps none of."""


class MetricsForm(StrEnum):
    """How metrics are written."""

    SNAPSHOT = "snapshot"  # one JSON object
    PROMETHEUS = "prometheus"  # text exposition


class MetricsAsked(Struct, frozen=True):
    """All metrics, with `more` of what only the shell knows."""

    form: MetricsForm = MetricsForm.SNAPSHOT
    more: Mapping[str, float] = field(default_factory=dict)


class ExplainFrameworkAsked(Struct, frozen=True):
    """/explain: why a framework gets no offers, or none that has `wanted`."""

    framework_id: str
    wanted: Resources | None = None


class ExplainTaskAsked(Struct, frozen=True):
    """/explain with a task: why it does not run."""

    framework_id: str
    task_id: str


class CallAsked(Struct, frozen=True):
    """A call of the v1 operator API that only reads, with the encoding of its answer."""

    type: master.Call.Type
    accepted: Media = Media.JSON


class SubscribedAsked(Struct, frozen=True):
    """SUBSCRIBED, which the operator's stream of events begins with, in its encoding."""

    accepted: Media = Media.JSON


Question: TypeAlias = (
    HealthAsked
    | StateAsked
    | SummaryAsked
    | FrameworksAsked
    | SlavesAsked
    | TasksAsked
    | RolesAsked
    | WeightsAsked
    | FlagsAsked
    | VersionAsked
    | EmptyAsked
    | MetricsAsked
    | ExplainFrameworkAsked
    | ExplainTaskAsked
    | CallAsked
    | SubscribedAsked
)
Query: TypeAlias = Mapping[str, str]


def question_in(found: Struct) -> Question:
    """What an event or an action holds."""
    assert isinstance(found, get_args(Question)), found
    return cast(Question, found)  # the line above has looked


def question_of(path_name: str, query: Query) -> Question | None:
    """What GET of `path_name` (`state`, `metrics/snapshot`) asks; None when nothing is there.

    Raises Refused with the body of the 400. Unknown keys of the query are ignored, as in Mesos.
    """
    parser = PARSERS.get(path_name)
    return None if parser is None else parser(query)


def teardown_of(form: Query) -> FrameworkId:
    """The framework that a POST of /teardown names in its body; raises Refused."""
    framework_id = form.get("frameworkId")
    if framework_id is None:
        raise Refused("Missing 'frameworkId' query parameter in the request body")
    return FrameworkId(framework_id)


def _tasks(query: Query) -> Question:
    """What is no number is as if not there; a negative limit is none (in Mesos: 2^64 less it)."""
    limit = _whole_number(query.get("limit"), TASKS_MAX_DEFAULT)
    offset = _whole_number(query.get("offset"), 0)
    return TasksAsked(
        limit=limit if limit >= 0 and offset >= 0 else (None if offset >= 0 else 0),
        offset=max(0, offset),
        ascending=query.get("order") == "asc",
        framework_id=query.get("framework_id"),
        task_id=query.get("task_id"),
    )


def _metrics(query: Query) -> Question:
    timeout = query.get("timeout")
    if timeout is not None:
        try:
            duration_ms(timeout)
        except Refused as refused:
            raise Refused(f"Invalid timeout '{timeout}': {refused.text}.\n") from None
    return MetricsAsked()


def _explain(query: Query) -> Question:
    framework_id = query.get("framework_id")
    if not framework_id:
        raise Refused("missing 'framework_id' in the query")
    if task_id := query.get("task_id"):
        return ExplainTaskAsked(framework_id, task_id)
    amounts = ";".join(f"{name}:{v}" for name, v in query.items() if name not in NOT_A_QUANTITY)
    return ExplainFrameworkAsked(framework_id, parse_resources(amounts) if amounts else None)


def _whole_number(text: str | None, otherwise: int) -> int:
    try:
        return otherwise if text is None else int(text)
    except ValueError:
        return otherwise


PARSERS: dict[str, Callable[[Query], Question]] = {
    "health": lambda query: HealthAsked(),
    "state": lambda query: StateAsked(),
    "state-summary": lambda query: SummaryAsked(),
    "frameworks": lambda query: FrameworksAsked(query.get("framework_id")),
    "slaves": lambda query: SlavesAsked(query.get("slave_id")),
    "tasks": _tasks,
    "roles": lambda query: RolesAsked(),
    "weights": lambda query: WeightsAsked(),
    "flags": lambda query: FlagsAsked(),
    "version": lambda query: VersionAsked(),
    "quota": lambda query: EmptyAsked(),
    "maintenance/schedule": lambda query: EmptyAsked(),
    "maintenance/status": lambda query: EmptyAsked(),
    "metrics/snapshot": _metrics,
    "metrics/prometheus": lambda query: MetricsAsked(MetricsForm.PROMETHEUS),
    "explain": _explain,
}
