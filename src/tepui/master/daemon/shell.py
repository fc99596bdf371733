"""Carries out what the core decides: each kind of action has one method or a part that does it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tepui.base import notes
from tepui.base.loop import Overloaded
from tepui.base.names import StreamId
from tepui.master.core import actions
from tepui.master.core.actions import Action
from tepui.master.core.events import LinkId
from tepui.master.daemon.agent_link import AgentLink
from tepui.web.event_streams import EventStreams
from tepui.web.filed import SharedFile
from tepui.web.http import ACCEPTED, Filed, Response, text
from tepui.web.requests import Requests
from tepui.web.snapshots import SnapshotFailed, Snapshots

log = logging.getLogger("tepui.master")


class Shell:
    """The parts of the daemon, as the core's actions reach them."""

    def __init__(
        self,
        requests: Requests[Response],
        streams: EventStreams[StreamId],
        links: dict[LinkId, AgentLink],
        snapshots: Snapshots,
    ) -> None:
        self._requests = requests
        self._links = links
        self._snapshots = snapshots
        self._actions: dict[type[Action], Callable[[Any], None]] = {  # Any: the action of its key
            actions.Answer: self._answer,
            actions.AnswerBody: self._answer_body,
            actions.AnswerFromSnapshot: self._answer_from_snapshot,
            actions.TakeSnapshot: lambda a: snapshots.take(),
            actions.SendEvent: lambda a: streams.send(a.stream, a.event),
            actions.EndStream: lambda a: streams.end(a.stream),
            actions.SendToAgent: self._send_to_agent,
            actions.CloseLink: self._close_link,
            actions.Note: self._note,
        }

    @property
    def can_do(self) -> frozenset[type[Action]]:
        """The kinds of actions that are carried out."""
        return frozenset(self._actions)

    def act(self, decided: list[Action]) -> None:
        """Carry out the actions in order."""
        for action in decided:
            self._actions[type(action)](action)

    def _answer(self, action: actions.Answer) -> None:
        if action.status == 202:
            answer = ACCEPTED
        elif action.status == 200 and not action.text:
            answer = Response(200)
        else:
            answer = text(action.status, action.text)
        self._requests.answer(action.request, answer)

    def _answer_body(self, action: actions.AnswerBody) -> None:
        answer = Response(200, action.body, action.content_type)
        self._requests.answer(action.request, answer)

    def _answer_from_snapshot(self, action: actions.AnswerFromSnapshot) -> None:
        def answered(made: asyncio.Future[SharedFile]) -> None:
            self._requests.answer(action.request, _filed(made, action.content_type))

        try:
            self._snapshots.ask(action.question).add_done_callback(answered)
        except Overloaded as overloaded:
            self._requests.answer(action.request, text(503, str(overloaded)))

    def _send_to_agent(self, action: actions.SendToAgent) -> None:
        agent_link = self._links.get(action.link)
        if agent_link is not None:
            agent_link.send(action.message)

    def _close_link(self, action: actions.CloseLink) -> None:
        agent_link = self._links.get(action.link)
        if agent_link is not None:
            agent_link.close()

    def _note(self, action: actions.Note) -> None:
        log.info("%s", notes.line(action.text, action.fields))


def _filed(made: asyncio.Future[SharedFile], content_type: str) -> Response:
    """The answer that a snapshot was made for."""
    failed = made.exception()  # not raised here: its traceback would hold `made`, and that it
    if isinstance(failed, SnapshotFailed):
        return text(failed.status, failed.text)
    return Filed(content_type=content_type, file=made.result())
