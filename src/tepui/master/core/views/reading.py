"""What a question is answered, and how much must be looked at for that.

`answer` is for the core itself, `render` for a snapshot of its state: what they write is the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from tepui.master.core import metrics
from tepui.master.core.actions import Action, Answer, AnswerBody
from tepui.master.core.events import RequestId
from tepui.master.core.state import State
from tepui.master.core.views import frameworks, questions, tasks, v1
from tepui.master.core.views.agents import SlavesAsked
from tepui.master.core.views.classic import VIEWS
from tepui.master.core.views.frameworks import FrameworksAsked
from tepui.master.core.views.pieces import Parts
from tepui.master.core.views.tasks import TasksAsked
from tepui.master.core.views.values import encode
from tepui.wire import master, media
from tepui.wire.pieces import Part, made

JSON_TYPE = media.Media.JSON.value
PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTED_PER_OBJECT = 10  # to count an object takes so much less than to write it

_Type = master.Call.Type
_Form = questions.MetricsForm


def answer(state: State, request: RequestId, question: questions.Question, now_ms: int) -> Action:
    """The answer, made at once."""
    if isinstance(question, questions.HealthAsked):
        return Answer(request, 200)
    body = b"".join(made(render(state, question, now_ms)))
    return AnswerBody(request, body, content_type(question))


def render(state: State, question: questions.Question, now_ms: int) -> Iterator[Part]:
    """The body of the answer."""
    match question:
        case questions.HealthAsked():
            yield b""
        case questions.MetricsAsked(form=form):
            found = _metrics(state, question, now_ms)
            if form is _Form.PROMETHEUS:
                yield metrics.prometheus(found).encode()
            else:
                yield encode(dict(sorted(found.items())))
        case questions.CallAsked(type=kind, accepted=accepted):
            if kind in v1.LARGE:
                yield from v1.large_pieces(state, kind, accepted)
            else:
                yield media.encode(v1.ANSWERERS[kind](state, now_ms), accepted)
        case questions.SubscribedAsked(accepted=accepted):
            yield from v1.subscribed_pieces(state, accepted)
        case _:
            value = VIEWS[type(question)](state, question, now_ms)
            if isinstance(value, Parts):
                yield from value.parts
            else:
                yield encode(value)


def objects_count(state: State, question: questions.Question) -> int:
    """How many tasks, executors, offers, agents and frameworks must be looked at."""
    match question:
        case questions.StateAsked() | questions.SummaryAsked() | questions.SubscribedAsked():
            return _everything(state)
        case FrameworksAsked(framework_id=wanted):
            known = (state.frameworks, state.completed_frameworks)
            found = (f for each in known for f in frameworks.of_id(each, wanted))
            return sum(map(frameworks.objects_count, found))
        case SlavesAsked(agent_id=agent_id):
            return _agents(state) if agent_id is None else 1
        case TasksAsked():
            return tasks.tasks_to_look_at(state, question)
        case questions.RolesAsked() | questions.MetricsAsked():
            return _everything(state) // COUNTED_PER_OBJECT
        case questions.CallAsked(type=_Type.GET_AGENTS):
            return _agents(state)
        case questions.CallAsked(type=_Type.GET_METRICS | _Type.GET_ROLES):
            return _everything(state) // COUNTED_PER_OBJECT
        case questions.CallAsked(type=kind) if kind in v1.LARGE:
            return _everything(state)
        case _:
            return 0


def divisible_count(state: State, question: questions.Question) -> int:
    """Of how many objects what `render` yields is made later, so that several can share the work."""
    match question:
        case questions.StateAsked() | FrameworksAsked() | SlavesAsked():
            return objects_count(state, question)
        case _:
            return 0


def content_type(question: questions.Question) -> str:
    """The type of what `render` writes."""
    match question:
        case questions.CallAsked(accepted=accepted) | questions.SubscribedAsked(accepted=accepted):
            return accepted.value
        case questions.MetricsAsked(form=_Form.PROMETHEUS):
            return PROMETHEUS_TYPE
        case _:
            return JSON_TYPE


def _agents(state: State) -> int:
    return len(state.agents) + len(state.recovered_agents)


def _everything(state: State) -> int:
    count = _agents(state)
    for framework in state.frameworks.values():
        count += frameworks.objects_count(framework)
    for framework in state.completed_frameworks.values():
        count += frameworks.objects_count(framework)
    return count


def _metrics(state: State, question: questions.MetricsAsked, now_ms: int) -> dict[str, float]:
    return {**metrics.snapshot(state, now_ms), **question.more}
