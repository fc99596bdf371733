"""Which view answers which question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tepui.master.core import explain, metrics
from tepui.master.core.actions import Action, Answer, AnswerJson, AnswerMessage
from tepui.master.core.events import Asked
from tepui.master.core.state import State
from tepui.master.core.views import agents, cluster, frameworks, questions, roles, tasks
from tepui.master.core.views.values import JsonValue, encode

# Any: the question of its key.
View = Callable[[State, Any, int], JsonValue]

VIEWS: dict[type[questions.Question], View] = {
    questions.StateAsked: lambda state, question, now_ms: cluster.state_view(state),
    questions.SummaryAsked: lambda state, question, now_ms: cluster.summary_view(state),
    frameworks.FrameworksAsked: lambda s, question, now_ms: frameworks.frameworks_view(s, question),
    agents.SlavesAsked: lambda state, question, now_ms: agents.slaves_view(state, question),
    tasks.TasksAsked: lambda state, question, now_ms: tasks.tasks_view(state, question),
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


def answer(state: State, event: Asked, now_ms: int) -> Action:
    """The answer to the event's question."""
    match event.question:
        case questions.HealthAsked():
            return Answer(event.request, 200)
        case questions.MetricsAsked(form=form, more=more):
            found = {**metrics.snapshot(state, now_ms), **more}
            if form is questions.MetricsForm.MESSAGE:
                return AnswerMessage(event.request, metrics.message(found))
            if form is questions.MetricsForm.PROMETHEUS:
                return Answer(event.request, 200, metrics.prometheus(found))
            return AnswerJson(event.request, encode(dict(sorted(found.items()))))
        case question:
            view = VIEWS[type(question)]  # type: ignore[index]  # it is one of Question
            return AnswerJson(event.request, encode(view(state, question, now_ms)))
