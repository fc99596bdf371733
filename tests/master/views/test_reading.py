"""Which reads are made from a snapshot, and that they say the same as those that are not."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from tepui.master.core import operator
from tepui.master.core.actions import (
    Action,
    Answer,
    AnswerBody,
    AnswerFromSnapshot,
    TakeSnapshot,
)
from tepui.master.core.events import Asked, OperatorCallReceived, RequestId, SnapshotDue
from tepui.master.core.views import questions, reading, v1
from tepui.master.core.views.agents import SlavesAsked
from tepui.master.core.views.frameworks import FrameworksAsked
from tepui.master.core.views.questions import CallAsked, MetricsAsked, MetricsForm, Question
from tepui.master.core.views.tasks import TasksAsked
from tepui.wire import json as wire_json
from tepui.wire import master, protobuf
from tepui.wire.media import Media
from tepui.wire.pieces import Part, made, share_of
from tests.master.views.recorded import ops_cluster
from tests.master.world import World

Type = master.Call.Type
CALLS = (*v1.LARGE, Type.GET_ROLES, Type.GET_METRICS)
ASKED: tuple[Question, ...] = (
    questions.StateAsked(),
    questions.SummaryAsked(),
    questions.RolesAsked(),
    FrameworksAsked(),
    SlavesAsked(),
    TasksAsked(),
    TasksAsked(limit=None, ascending=True),
    TasksAsked(limit=1, offset=1),
    MetricsAsked(),
    MetricsAsked(MetricsForm.PROMETHEUS),
)


def populated() -> tuple[World, str]:
    """A cluster with a framework of each kind: running, with an executor, and removed."""
    world, ops, _ = ops_cluster()
    gone = world.subscribe(name="gone", roles=("web",))
    gone.launch("g0", world.add_agent())
    world.teardown(gone.framework_id)
    other = world.subscribe(name="oth\u00e9r", roles=("a", "b"))
    other.launch("unacknowledged \u2603", world.add_agent())
    world.add_agent(resources="cpus:4;mem:4096;cpus(web):1;ports:[1-5, 7-9]").disconnect()
    return world, ops.framework_id


def answered(world: World, question: Question) -> Action:
    """What the core does about a question of the classic endpoints."""
    request = RequestId(world.number())
    world.put(Asked(request, question))
    return world.answers[request]


def called(world: World, kind: Type, accepted: Media) -> Action:
    """What the core does about a call."""
    request = RequestId(world.number())
    metrics = master.Call.GetMetrics() if kind is Type.GET_METRICS else None
    call = master.Call(type=kind, get_metrics=metrics)
    world.put(OperatorCallReceived(request, call, accepted=accepted))
    return world.answers[request]


def body_of(action: Action) -> tuple[bytes, str]:
    """The body that the shell writes, and its type."""
    match action:
        case AnswerBody(body=body, content_type=content_type):
            return body, content_type
        case Answer(status=200, text=text):
            return text.encode(), "text/plain; charset=utf-8"
        case _:
            raise AssertionError(action)


@pytest.mark.parametrize("question", ASKED, ids=repr)
def test_snapshot_says_the_same_as_the_core_itself(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = populated()
    at_once = body_of(answered(world, question))
    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", -1)
    later = answered(world, question)
    assert isinstance(later, AnswerFromSnapshot)
    assert later.question == question
    parts = reading.render(world.state, question, world.now_ms)
    assert (b"".join(made(parts)), later.content_type) == at_once


@pytest.mark.parametrize("question", ASKED, ids=repr)
@pytest.mark.parametrize("shares", [1, 2, 5])
def test_shares_of_an_answer_are_the_answer(question: Question, shares: int) -> None:
    world, _ = populated()
    count = reading.divisible_count(world.state, question)

    def parts() -> Iterable[Part]:
        return reading.render(world.state, question, world.now_ms)

    texts = [b"".join(share_of(parts(), count, share, shares)) for share in range(shares)]
    assert b"".join(texts) == b"".join(made(parts()))


@pytest.mark.parametrize("accepted", [Media.JSON, Media.PROTOBUF])
@pytest.mark.parametrize("kind", CALLS)
def test_call_from_a_snapshot_says_the_same(
    kind: Type, accepted: Media, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = populated()
    at_once = body_of(called(world, kind, accepted))
    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", -1)
    later = called(world, kind, accepted)
    assert isinstance(later, AnswerFromSnapshot)
    question = questions.question_in(later.question)
    assert question == CallAsked(kind, accepted)
    parts = reading.render(world.state, question, world.now_ms)
    assert (b"".join(made(parts)), later.content_type) == at_once


def test_state_in_pieces_is_encoded_like_the_whole_message() -> None:
    world, _ = populated()
    whole = master.Response(type=master.Response.Type.GET_STATE, get_state=v1.state_of(world.state))
    for accepted, encode in ((Media.JSON, wire_json.encode), (Media.PROTOBUF, protobuf.encode)):
        pieces = v1.large_pieces(world.state, Type.GET_STATE, accepted)
        assert b"".join(pieces) == encode(whole)


def test_small_questions_are_never_worth_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", 0)
    world, _ = populated()
    for question in (questions.HealthAsked(), questions.FlagsAsked(), questions.VersionAsked()):
        assert not isinstance(answered(world, question), AnswerFromSnapshot)
    for kind in v1.ANSWERERS.keys() - set(CALLS):
        assert isinstance(called(world, kind, Media.JSON), AnswerBody)


def test_answers_of_more_than_the_limit_are_made_from_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, _ = populated()
    count = reading.objects_count(world.state, questions.StateAsked())
    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", count)
    assert isinstance(answered(world, questions.StateAsked()), AnswerBody)
    world.add_agent()
    assert isinstance(answered(world, questions.StateAsked()), AnswerFromSnapshot)


def test_filters_look_only_at_what_they_name() -> None:
    world, framework_id = populated()
    state = world.state

    def looked_at(question: Question) -> int:
        return reading.objects_count(state, question)

    tasks = looked_at(TasksAsked())
    assert 0 < looked_at(TasksAsked(framework_id=framework_id)) < tasks
    # One that runs is found by its id; those that were are searched.
    completed = len(state.frameworks[next(iter(state.frameworks))].completed_tasks)
    assert looked_at(TasksAsked(framework_id=framework_id, task_id="c1")) == completed
    assert looked_at(SlavesAsked("nope")) == 1
    assert looked_at(FrameworksAsked("nope")) == 0
    assert looked_at(FrameworksAsked(framework_id)) < looked_at(FrameworksAsked())


def test_task_is_found_by_its_id_among_all_frameworks() -> None:
    world, framework_id = populated()
    for wanted in (None, framework_id):
        for name in ("t1", "c1", "g1"):  # completed, a command, in an executor
            question = TasksAsked(framework_id=wanted, task_id=name)
            found = json.loads(world.ask(question))["tasks"]
            assert [task["id"] for task in found] == [name]
    assert json.loads(world.ask(TasksAsked(task_id="nope"))) == {"tasks": []}


def test_a_few_of_many_tasks_are_the_same_as_the_first_of_all() -> None:
    world = World()
    agent = world.add_agent(resources="cpus:100;mem:100000")
    scheduler = world.subscribe()
    for number in range(40):
        scheduler.launch(f"t{number}", agent)
    for ascending in (False, True):
        every = json.loads(world.ask(TasksAsked(limit=None, ascending=ascending)))["tasks"]
        few = json.loads(world.ask(TasksAsked(limit=2, offset=1, ascending=ascending)))["tasks"]
        assert few == every[1:3]


def test_snapshot_is_taken_when_the_shell_says_that_it_is_due() -> None:
    assert World().put(SnapshotDue()).then == [TakeSnapshot()]
