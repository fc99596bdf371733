"""The agent waits for the master's answer to its registration, but not for ever."""

from __future__ import annotations

from tepui.agent.core import events
from tepui.agent.core.actions import AdoptId, CloseLink
from tepui.agent.core.registration import REGISTRATION_MS
from tepui.wire import link
from tests.agent.core.cluster import PING_TIMEOUT_MS, Agent

OVERDUE = CloseLink(f"not registered within {REGISTRATION_MS} ms")


def test_a_master_that_does_not_answer_the_registration_is_left_once() -> None:
    agent = Agent(registered=False)
    agent.put(events.LinkOpened())
    assert agent.advance(REGISTRATION_MS - 1) == []
    assert agent.advance(1) == [OVERDUE]
    assert agent.advance(10 * REGISTRATION_MS) == []
    agent.put(events.LinkLost())
    agent.put(events.LinkOpened())
    assert agent.advance(REGISTRATION_MS) == [OVERDUE]


def test_the_answer_and_the_loss_of_the_link_end_the_waiting() -> None:
    agent = Agent(registered=False)
    agent.put(events.LinkOpened())
    agent.put(events.LinkLost())
    assert agent.advance(REGISTRATION_MS) == []
    agent.put(events.LinkOpened())
    agent.advance(REGISTRATION_MS - 1)
    agent.hear(link.Registered("A", PING_TIMEOUT_MS))
    assert agent.advance(PING_TIMEOUT_MS - 1) == []


def test_the_shell_is_told_of_every_registration() -> None:
    agent = Agent()
    agent.put(events.LinkLost())
    agent.put(events.LinkOpened())
    assert agent.hear(link.Registered("A", PING_TIMEOUT_MS)) == [AdoptId("A")]
