"""The calls of the v1 operator API: what is refused, what is done, what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tepui.base.names import Role
from tepui.master.core.actions import AgentGone, Answer, AnswerBody
from tepui.master.core.operator import SHELL_CALLS, call_error
from tepui.master.core.operator_calls import DOERS
from tepui.master.core.views.v1 import ANSWERERS, LARGE
from tepui.wire import link, master, mesos, scheduler
from tepui.wire.json import decode
from tests.master.views.recorded import differences, recorded
from tests.master.world import TaskState, World

Call = master.Call
Type = master.Call.Type
Event = scheduler.Event


def call_of(body: Any) -> master.Call:
    """The call as it comes from the wire."""
    return decode(master.Call, json.dumps(body).encode())


@pytest.mark.parametrize("case", recorded()["calls"], ids=lambda case: json.dumps(case[0])[:60])
def test_recorded_calls_are_refused_as_recorded(case: list[Any]) -> None:
    body, status, text = case
    answer = World().call(call_of(body))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.text) == (status, text)


def test_weights_are_set_refused_and_listed_as_recorded() -> None:
    world = World()
    for body, status, wanted in recorded()["weights"]:
        answer = world.call(call_of(body))
        if isinstance(answer, AnswerBody):
            assert differences(wanted["get_weights"]["weight_infos"], _weights(answer)) == []
        else:
            assert isinstance(answer, Answer)
            assert (answer.status, answer.text) == (status, wanted)
    assert world.state.allocator.weight(Role("web")) == 2.0


def test_weights_are_set_all_or_none() -> None:
    world = World()
    infos = [{"role": "a", "weight": 2}, {"role": "b", "weight": 0}]
    answer = world.call(
        call_of({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": infos}})
    )
    assert isinstance(answer, Answer)
    assert answer.status == 400
    assert world.state.weights == {}


def test_new_weight_takes_back_the_offers_of_roles_in_use() -> None:
    world = World()
    agent = world.add_agent()
    one = world.subscribe(roles=("web",))
    before = one.offer_of(agent, None)
    infos = [{"role": "web", "weight": 2}]
    world.call(call_of({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": infos}}))
    kinds = [event.type for event in one.events()]
    assert kinds[-2:] == [Event.Type.RESCIND, Event.Type.OFFERS]
    assert one.offer_of(agent, None) != before


def test_every_type_is_answered_by_somebody() -> None:
    world = World()
    for kind in Type:
        if kind in SHELL_CALLS or kind in (Type.SUBSCRIBE, Type.UNKNOWN):
            continue
        answer = world.call(Call(type=kind))
        assert isinstance(answer, Answer | AnswerBody)
    tables = (ANSWERERS.keys(), LARGE.keys(), DOERS.keys(), SHELL_CALLS)
    assert sum(map(len, tables)) == len(set().union(*tables))


def test_what_is_not_done_is_refused_with_a_sentence() -> None:
    answer = World().call(call_of({"type": "UPDATE_QUOTA", "update_quota": {}}))
    assert isinstance(answer, Answer)
    assert answer.status == 501
    assert answer.text == "UPDATE_QUOTA is not supported by this master"


def test_form_of_shell_calls_is_checked_by_the_core() -> None:
    assert call_error(Call(type=Type.GET_LOGGING_LEVEL)) is None
    assert call_error(Call(type=Type.READ_FILE)) is not None
    assert (
        call_error(Call(type=Type.READ_FILE, read_file=Call.ReadFile(path="/", offset=0))) is None
    )


def test_teardown_removes_the_framework() -> None:
    world = World()
    agent = world.add_agent()
    one = world.subscribe()
    one.launch("t1", agent)
    body = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": one.framework_id}}}
    answer = world.call(call_of(body))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.text) == (200, "")
    assert one.stream in world.ended
    assert link.ShutdownFramework(one.framework_id) in world.to_agents[agent.link]
    assert one.framework.unregistered_ms == world.now_ms


def test_classic_teardown_answers_like_the_call() -> None:
    world = World()
    one = world.subscribe()
    gone = world.teardown(one.framework_id)
    assert isinstance(gone, Answer)
    assert (gone.status, gone.text) == (200, "")
    again = world.teardown(one.framework_id)
    assert isinstance(again, Answer)
    assert (again.status, again.text) == (400, "No framework found with specified ID")


def test_deactivated_agent_is_not_offered_until_it_is_reactivated() -> None:
    world = World()
    agent = world.add_agent()
    one = world.subscribe()
    one.events()
    named = {"agent_id": {"value": agent.id}}
    deactivate = call_of({"type": "DEACTIVATE_AGENT", "deactivate_agent": named})
    reactivate = call_of({"type": "REACTIVATE_AGENT", "reactivate_agent": named})

    assert _status(world, deactivate) == 200
    assert [event.type for event in one.events()] == [Event.Type.RESCIND]
    (found,) = _agents(world)
    assert (found["active"], found["deactivated"]) == (False, True)

    assert _status(world, deactivate) == 200
    assert _status(world, reactivate) == 200
    assert [event.type for event in one.events()] == [Event.Type.OFFERS]
    assert _status(world, reactivate) == 400


def test_reactivated_agent_that_is_disconnected_waits_for_its_link() -> None:
    world = World()
    agent = world.add_agent()
    named = {"agent_id": {"value": agent.id}}
    _status(world, call_of({"type": "DEACTIVATE_AGENT", "deactivate_agent": named}))
    agent.disconnect()
    _status(world, call_of({"type": "REACTIVATE_AGENT", "reactivate_agent": named}))
    assert world.subscribe().framework.offers == {}


def test_agent_marked_gone_is_recorded_and_its_tasks_are_gone() -> None:
    world = World()
    agent = world.add_agent()
    info = world.state.agents[agent.id].info
    one = world.subscribe(capabilities=("MULTI_ROLE", "PARTITION_AWARE"))
    one.launch("t1", agent)
    one.events()
    gone = _mark_gone(agent.id)
    assert _status(world, gone) == 200
    assert AgentGone(info, world.now_ms) in world.saved
    updates = [event.update.status.state for event in one.events() if event.update]
    assert updates == [TaskState.TASK_GONE_BY_OPERATOR]
    assert _agents(world) == []
    assert _status(world, gone) == 200  # as recorded: it is said a second time


def test_unreachable_agent_can_be_marked_gone() -> None:
    world = World()
    agent = world.add_agent()
    info = world.state.agents[agent.id].info
    agent.disconnect()
    world.advance(100_000)
    assert _status(world, _mark_gone(agent.id)) == 200
    assert AgentGone(info, world.now_ms) in world.saved


def _mark_gone(agent_id: str) -> master.Call:
    named = Call.MarkAgentGone(agent_id=mesos.AgentID(agent_id))
    return Call(type=Type.MARK_AGENT_GONE, mark_agent_gone=named)


def _status(world: World, call: master.Call) -> int:
    answer = world.call(call)
    assert isinstance(answer, Answer)
    return answer.status


def _agents(world: World) -> list[Any]:
    found: list[Any] = json.loads(world.get_json(Type.GET_AGENTS))["get_agents"]["agents"]
    return found


def _weights(answer: AnswerBody) -> list[Any]:
    found: list[Any] = json.loads(answer.body)["get_weights"]["weight_infos"]
    return found
