"""POST /api/v1/scheduler: decode, check the form, hand to the core, answer.

The order of the checks is that of Mesos (master/http.cpp Master::Http::scheduler).
"""

from __future__ import annotations

from collections.abc import Awaitable
from uuid import uuid4

from tepui.base.names import StreamId
from tepui.master.core.events import CallReceived, RequestId, StreamClosed, SubscribeReceived
from tepui.master.core.validation import call_error
from tepui.master.daemon.put import Put
from tepui.web.decoding import LARGE_BODY_BYTES, decoded
from tepui.web.event_streams import EventStreams
from tepui.web.http import Answer, Request, Response, Streaming, not_allowed, text
from tepui.web.requests import Requests
from tepui.wire import media, scheduler

STREAM_ID = "mesos-stream-id"
TOO_SLOW = scheduler.Event(
    type=scheduler.Event.Type.ERROR,
    error=scheduler.Event.Error(message="The scheduler does not read its events"),
)


class SchedulerApi:
    """The route's handler, bound to the daemon."""

    def __init__(
        self, put: Put, requests: Requests[Response], streams: EventStreams[StreamId]
    ) -> None:
        self._put = put
        self._requests = requests
        self._streams = streams

    def lane(self, request: Request) -> str:
        """A scheduler that is subscribed has a lane of its own."""
        stream = request.headers.get(STREAM_ID, "")
        return stream if stream in self._streams else ""

    def handle(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer one request; without a task of its own, since nothing is called more often."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        content = media.content(request.headers.get("content-type"))
        if len(request.body) > LARGE_BODY_BYTES:
            return self._handle_large(request, content)
        return self._do(request, media.decode(scheduler.Call, request.body, content))

    async def _handle_large(self, request: Request, content: media.Media) -> Answer:
        answer = self._do(request, await decoded(scheduler.Call, request.body, content))
        return answer if isinstance(answer, Answer) else await answer

    def _do(self, request: Request, call: scheduler.Call) -> Answer | Awaitable[Answer]:
        error = call_error(call, request.principal)
        if error is not None:
            return text(400, error)
        if call.type is scheduler.Call.Type.SUBSCRIBE:
            return self._subscribe(request, call)
        return self._call(request, call)

    def _subscribe(self, request: Request, call: scheduler.Call) -> Answer:
        accepted = media.accepted(request.headers.get("accept"))
        if STREAM_ID in request.headers:
            return text(400, "Subscribe calls should not include the 'Mesos-Stream-Id' header")
        stream_id = StreamId(str(uuid4()))
        self._put(SubscribeReceived(stream_id, call, request.principal))
        stream = self._streams.open(
            stream_id,
            accepted,
            left=lambda: self._put(StreamClosed(stream_id)),
            too_slow=TOO_SLOW,
        )
        return Streaming(stream, accepted.value, (("Mesos-Stream-Id", stream_id),))

    def _call(self, request: Request, call: scheduler.Call) -> Awaitable[Answer]:
        stream = request.headers.get(STREAM_ID)
        stream_id = None if stream is None else StreamId(stream)
        principal = request.principal
        return self._requests.ask(
            lambda number: self._put(CallReceived(RequestId(number), call, stream_id, principal))
        )
