"""Which view answers which question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tepui.master.core import explain
from tepui.master.core.state import State
from tepui.master.core.views import agents, cluster, frameworks, questions, roles, tasks
from tepui.master.core.views.pieces import Parts, Written, object_parts
from tepui.master.core.views.values import JsonValue

# Any: the question of its key.
View = Callable[[State, Any, int], "JsonValue | Parts"]


def _in_parts(value: Written) -> Parts:
    return Parts(object_parts(value))


VIEWS: dict[type[questions.Question], View] = {
    questions.StateAsked: lambda state, question, now_ms: _in_parts(cluster.state_view(state)),
    questions.SummaryAsked: lambda state, question, now_ms: _in_parts(cluster.summary_view(state)),
    frameworks.FrameworksAsked: lambda state, question, now_ms: _in_parts(
        frameworks.frameworks_view(state, question)
    ),
    agents.SlavesAsked: lambda state, question, now_ms: _in_parts(
        agents.slaves_view(state, question)
    ),
    tasks.TasksAsked: lambda state, question, now_ms: _in_parts(tasks.tasks_view(state, question)),
    questions.RolesAsked: lambda state, question, now_ms: roles.roles_view(state),
    questions.WeightsAsked: lambda state, question, now_ms: roles.weights_view(state),
    questions.FlagsAsked: lambda state, question, now_ms: cluster.flags_view(state),
    questions.VersionAsked: lambda state, question, now_ms: cluster.version_view(state),
    questions.EmptyAsked: lambda state, question, now_ms: {},
    questions.ExplainFrameworkAsked: lambda state, question, now_ms: explain.explain_framework(
        state, question.framework_id, now_ms, question.wanted
    ),
    questions.ExplainTaskAsked: lambda state, question, now_ms: explain.explain_task(
        state, question.framework_id, question.task_id, now_ms
    ),
}
