"""Those who wait to hear from the master: requests, streams and agent links.

`act` carries out the core's actions; each kind of action has one method.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tepui.base.loop import Overloaded
from tepui.base.names import StreamId
from tepui.master.core.actions import (
    Action,
    Answer,
    AnswerEncoded,
    AnswerFromSnapshot,
    AnswerJson,
    AnswerMessage,
    CloseLink,
    EndStream,
    Note,
    SendEvent,
    SendToAgent,
    TakeSnapshot,
)
from tepui.master.core.events import Event, LinkId, RequestId
from tepui.master.daemon.agent_link import AgentLink
from tepui.master.daemon.put import Put
from tepui.web.filed import SharedFile
from tepui.web.http import ACCEPTED, JSON_TYPE, Filed, Response, text
from tepui.web.snapshots import SnapshotFailed, Snapshots
from tepui.web.stream import RecordStream
from tepui.wire import media, recordio

Reply = Answer | AnswerMessage | AnswerJson | AnswerEncoded

log = logging.getLogger("tepui.master")


class Subscriber(Struct, frozen=True):
    """A reader of events and the encoding it asked for."""

    stream: RecordStream
    media: media.Media


class Peers:
    """All open conversations, by the ids that the core knows them by."""

    def __init__(self, snapshots: Snapshots | None = None) -> None:
        """Without `snapshots` the core's state must stay small."""
        self._snapshots = snapshots
        self._requests: dict[RequestId, tuple[asyncio.Future[Response], media.Media]] = {}
        self._last_request = 0
        self.subscribers: dict[StreamId, Subscriber] = {}
        self.links: dict[LinkId, AgentLink] = {}
        self._actions: dict[type[Action], Callable[[Any], None]] = {  # Any: the action of its key
            Answer: self._answer,
            AnswerMessage: self._answer,
            AnswerJson: self._answer,
            AnswerEncoded: self._answer,
            AnswerFromSnapshot: self._answer_from_snapshot,
            TakeSnapshot: self._take_snapshot,
            SendEvent: self._send_event,
            EndStream: self._end_stream,
            SendToAgent: self._send_to_agent,
            CloseLink: self._close_link,
            Note: self._note,
        }

    def ask(
        self,
        put: Put,
        event_of: Callable[[RequestId], Event],
        accepted: media.Media = media.Media.JSON,
    ) -> asyncio.Future[Response]:
        """Put the event of a new request; where its answer will be. Raises Overloaded."""
        self._last_request += 1
        request = RequestId(self._last_request)
        put(event_of(request))  # nothing waits when this is refused
        waiting: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._requests[request] = waiting, accepted
        return waiting

    def forget_link(self, link: LinkId) -> None:
        """The connection is closed."""
        self.links.pop(link, None)

    def act(self, actions: list[Action]) -> None:
        """Carry out the actions in order."""
        for action in actions:
            self._actions[type(action)](action)

    def close(self) -> None:
        """End all streams and links."""
        for subscriber in list(self.subscribers.values()):
            subscriber.stream.end()
        for agent_link in list(self.links.values()):
            agent_link.close()

    def _answer(self, action: Reply) -> None:
        waiting, accepted = self._requests.pop(action.request)
        if not waiting.done():
            waiting.set_result(response(action, accepted))

    def _answer_from_snapshot(self, action: AnswerFromSnapshot) -> None:
        assert self._snapshots is not None
        waiting, _ = self._requests.pop(action.request)

        def answered(made: asyncio.Future[SharedFile]) -> None:
            if not waiting.done():
                waiting.set_result(filed(made, action.content_type))

        try:
            self._snapshots.ask(action.question).add_done_callback(answered)
        except Overloaded as overloaded:
            if not waiting.done():
                waiting.set_result(text(503, str(overloaded)))

    def _take_snapshot(self, action: TakeSnapshot) -> None:
        assert self._snapshots is not None
        self._snapshots.take()

    def _send_event(self, action: SendEvent) -> None:
        subscriber = self.subscribers.get(action.stream)
        if subscriber is not None:
            record = media.encode(action.event, subscriber.media)
            subscriber.stream.send(recordio.frame(record))

    def _end_stream(self, action: EndStream) -> None:
        subscriber = self.subscribers.pop(action.stream, None)
        if subscriber is not None:
            subscriber.stream.end()

    def _send_to_agent(self, action: SendToAgent) -> None:
        agent_link = self.links.get(action.link)
        if agent_link is not None:
            agent_link.send(action.message)

    def _close_link(self, action: CloseLink) -> None:
        agent_link = self.links.get(action.link)
        if agent_link is not None:
            agent_link.close()

    def _note(self, action: Note) -> None:
        log.info("%s %s", action.text, " ".join(f"{name}={value}" for name, value in action.fields))


def filed(made: asyncio.Future[SharedFile], content_type: str) -> Response:
    """The answer that a snapshot was made for."""
    try:
        return Filed(content_type=content_type, file=made.result())
    except SnapshotFailed as failed:
        return text(failed.status, failed.text)


def response(reply: Reply, accepted: media.Media) -> Response:
    """The core's answer as HTTP has it."""
    match reply:
        case Answer(status=202):
            return ACCEPTED
        case Answer(status=200, text=""):
            return Response(200)
        case Answer(status=status, text=body):
            return text(status, body)
        case AnswerMessage(message=message):
            return Response(200, media.encode(message, accepted), accepted.value)
        case AnswerJson(body=body):
            return Response(200, body, JSON_TYPE)
        case AnswerEncoded(body=body, content_type=content_type):
            return Response(200, body, content_type)
