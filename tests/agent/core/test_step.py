"""The table of events, and the end of the agent."""

from __future__ import annotations

from tepui.agent.core import events
from tepui.agent.core.actions import DestroyContainer, EndAgent, ForgetContainer, SendToMaster
from tepui.agent.core.registration import MESSAGES
from tepui.agent.core.step import HANDLERS
from tepui.wire import link
from tests.agent.core.cluster import Agent, run_tasks, task_info


def test_every_event_has_a_handler() -> None:
    assert set(HANDLERS) == set(events.Event.__subclasses__())


def test_every_message_of_the_master_has_a_handler() -> None:
    assert set(MESSAGES) == set(link.FromMaster.__args__)


def test_a_shutdown_ends_the_agent_when_all_containers_are_gone() -> None:
    agent = Agent()
    container = agent.run(task_info())
    agent.hear(run_tasks(task_info("u")))
    done = agent.hear(link.Shutdown("go away"))
    assert DestroyContainer(container) in done
    assert not [one for one in done if isinstance(one, EndAgent)]
    assert agent.put(events.ContainerExited(container, 9))[-1] == EndAgent("go away")


def test_a_shutdown_does_not_wait_for_ever() -> None:
    agent = Agent()
    agent.run(task_info())
    agent.hear(link.Shutdown("go away"))
    done = agent.advance(10_000)
    assert EndAgent("go away; 1 containers are left") in done


def test_an_agent_that_is_stopped_says_so_first_and_nothing_afterwards() -> None:
    agent = Agent()
    container = agent.run(task_info())
    done = agent.put(events.StopAsked())
    assert done == [SendToMaster(link.Unregister()), DestroyContainer(container)]
    done = agent.put(events.ContainerExited(container, 9))
    assert done == [ForgetContainer(container), EndAgent("asked to stop")]
    assert agent.put(events.StopAsked()) == []


def test_an_agent_without_a_link_stops_silently() -> None:
    agent = Agent(registered=False)
    assert agent.put(events.StopAsked()) == [EndAgent("asked to stop")]


def test_the_same_events_lead_to_the_same_actions() -> None:
    def history() -> list[object]:
        agent = Agent()
        container = agent.run(task_info())
        agent.put(events.ContainerExited(container, 0))
        return list(agent.advance(60_000))

    assert history() == history()
