"""POST /api/v1/executor: decode, check the form, hand to the core, answer.

The order of the checks is that of Mesos (slave/http.cpp Http::executor).
"""

from __future__ import annotations

import asyncio

from tepui.agent.core.actions import AnswerExecutor
from tepui.agent.core.events import ExecutorCalled, ExecutorSubscribed
from tepui.agent.core.validation import executor_call_error
from tepui.agent.daemon.executor_streams import ExecutorStreams
from tepui.agent.daemon.master_link import Put
from tepui.agent.daemon.requests import Requests
from tepui.base.loop import Overloaded
from tepui.web.http import ACCEPTED, Answer, Request, Response, Streaming, not_allowed, text
from tepui.wire import executor, media
from tepui.wire.errors import Malformed


class ExecutorApi:
    """The route's handler, bound to the daemon."""

    def __init__(self, put: Put, requests: Requests, streams: ExecutorStreams) -> None:
        self._put = put
        self._requests = requests
        self._streams = streams

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        try:
            content = media.content(request.headers.get("content-type"))
            call = media.decode(executor.Call, request.body, content)
            fault = executor_call_error(call)
            if fault is not None:
                return text(400, f"Failed to validate Executor::Call: {fault}")
            if call.type is executor.Call.Type.SUBSCRIBE:
                accepted = media.accepted(request.headers.get("accept"))
                return await self._subscribe(call, accepted)
            return await self._call(call)
        except media.NotNegotiable as refusal:
            return text(refusal.status, refusal.text)
        except Malformed as malformed:
            return text(400, malformed.text)
        except Overloaded as overloaded:
            return text(503, str(overloaded))

    async def _call(self, call: executor.Call) -> Response:
        number, waiting = self._requests.open()
        try:
            self._put(ExecutorCalled(number, call))
        except Overloaded:
            self._requests.forget(number)
            raise
        return _response(await waiting)

    async def _subscribe(self, call: executor.Call, accepted: media.Media) -> Answer:
        """A stream, unless the core refuses before it sends anything on it."""
        connection, refused = self._requests.open()
        stream = self._streams.make(connection, accepted)
        opened = self._streams.opened(connection)
        try:
            self._put(ExecutorSubscribed(connection, call))
        except Overloaded:
            self._requests.forget(connection)
            self._streams.refuse(connection)
            raise
        await asyncio.wait((refused, opened), return_when=asyncio.FIRST_COMPLETED)
        if refused.done():
            self._streams.refuse(connection)
            return _response(refused.result())
        self._requests.forget(connection)
        return Streaming(stream, accepted.value)


def _response(reply: object) -> Response:
    assert isinstance(reply, AnswerExecutor)
    return ACCEPTED if reply.status == 202 else text(reply.status, reply.text)
