"""The step of an agent, and the one-line ways to add to it."""

from __future__ import annotations

from tepui.agent.core.actions import Action, Note, Record, SendToMaster
from tepui.base.effects import Step
from tepui.wire import link

Effects = Step[Record, Action]


def send(step: Effects, message: link.FromAgent) -> None:
    """Have the message sent to the master."""
    step.then.append(SendToMaster(message))


def note(step: Effects, text: str, **fields: str) -> None:
    """Have the fact logged."""
    step.then.append(Note(text, tuple(fields.items())))
