"""POST /api/v1/executor: decode, check the form, hand to the core, answer.

The order of the checks is that of Mesos (slave/http.cpp Http::executor).
"""

from __future__ import annotations

from tepui.agent.core import actions
from tepui.agent.core.events import ExecutorCalled, ExecutorLeft, ExecutorSubscribed
from tepui.agent.core.validation import executor_call_error
from tepui.agent.daemon.put import Put
from tepui.web.decoding import decoded
from tepui.web.event_streams import EventStreams
from tepui.web.http import ACCEPTED, Answer, Request, Response, Streaming, not_allowed, text
from tepui.web.requests import Requests
from tepui.wire import executor, media

TOO_SLOW = executor.Event(
    type=executor.Event.Type.ERROR,
    error=executor.Event.Error(message="The executor does not read its events"),
)


class ExecutorApi:
    """The route's handler, bound to the daemon."""

    def __init__(
        self, put: Put, requests: Requests[actions.Reply], streams: EventStreams[int]
    ) -> None:
        self._put = put
        self._requests = requests
        self._streams = streams

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        content = media.content(request.headers.get("content-type"))
        call = await decoded(executor.Call, request.body, content)
        fault = executor_call_error(call)
        if fault is not None:
            return text(400, f"Failed to validate Executor::Call: {fault}")
        if call.type is executor.Call.Type.SUBSCRIBE:
            accepted = media.accepted(request.headers.get("accept"))
            return await self._subscribe(call, accepted)
        return await self._call(call)

    async def _call(self, call: executor.Call) -> Response:
        return _response(
            await self._requests.ask(lambda number: self._put(ExecutorCalled(number, call)))
        )

    async def _subscribe(self, call: executor.Call, accepted: media.Media) -> Answer:
        """A stream, unless the core refuses."""
        connection = self._requests.number()
        waiting = self._requests.ask(
            lambda number: self._put(ExecutorSubscribed(number, call)), connection
        )
        stream = self._streams.open(
            connection,
            accepted,
            left=lambda: self._put(ExecutorLeft(connection)),
            too_slow=TOO_SLOW,
        )
        reply = await waiting
        if isinstance(reply, actions.AcceptExecutor):
            return Streaming(stream, accepted.value)
        self._streams.drop(connection)
        return _response(reply)


def _response(reply: actions.Reply) -> Response:
    assert isinstance(reply, actions.AnswerExecutor)
    return ACCEPTED if reply.status == 202 else text(reply.status, reply.text)
