"""POST /api/v1: decode, hand to the core, answer; files and the log level are answered here.

The order of the checks is that of Mesos (master/http.cpp Master::Http::api).
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from msgspec.structs import replace

from tepui.base.names import StreamId
from tepui.master.core.events import (
    OperatorCallReceived,
    OperatorLeft,
    OperatorSubscribed,
    RequestId,
)
from tepui.master.core.operator import SHELL_CALLS, call_error
from tepui.master.daemon.put import Put
from tepui.web.decoding import decoded
from tepui.web.event_streams import EventStreams
from tepui.web.files import READ_FILE_BYTES_MAX, Files
from tepui.web.http import Filed, Request, Response, Streaming, not_allowed, text
from tepui.web.loglevel import LogLevel
from tepui.web.requests import Requests
from tepui.wire import master, media, recordio

NANOSECONDS_OF_MS = 1_000_000

Call = master.Call
Message = master.Response


class OperatorApi:
    """The route's handler, bound to the daemon."""

    def __init__(
        self,
        put: Put,
        requests: Requests[Response],
        streams: EventStreams[StreamId],
        files: Files,
        log_level: LogLevel,
    ) -> None:
        self._put = put
        self._requests = requests
        self._streams = streams
        self._files = files
        self._log_level = log_level

    async def handle(self, request: Request) -> Response | Streaming:
        """Answer one request."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        content = media.content(request.headers.get("content-type"))
        call = await decoded(Call, request.body, content)
        error = call_error(call)
        if error is not None:
            return text(400, error)
        accepted = media.accepted(request.headers.get("accept"))
        if call.type is Call.Type.SUBSCRIBE:
            return await self._subscribe(request, accepted)
        if call.type in SHELL_CALLS:
            answer = await self._here(call)
            if answer is None:
                return Response(200)
            return Response(200, media.encode(answer, accepted), accepted.value)
        principal = request.principal
        return await self._requests.ask(
            lambda number: self._put(
                OperatorCallReceived(RequestId(number), call, principal, accepted)
            )
        )

    async def _subscribe(self, request: Request, accepted: media.Media) -> Response | Streaming:
        """A stream of events, whose first comes from a snapshot if it is large."""
        stream_id, principal = StreamId(str(uuid4())), request.principal
        answered = self._requests.ask(
            lambda number: self._put(
                OperatorSubscribed(RequestId(number), stream_id, principal, accepted)
            )
        )
        stream = self._streams.open(
            stream_id, accepted, left=lambda: self._put(OperatorLeft(stream_id))
        )
        answer = await answered
        if isinstance(answer, Filed):
            first = replace(answer, body=recordio.length_line(answer.file.size_bytes))
            return Streaming(stream, accepted.value, first=first)
        if answer.status != 200:
            stream.client_left()  # which there never was; the core counts on it
            return answer
        return Streaming(stream, accepted.value)

    async def _here(self, call: Call) -> Message | None:
        if call.read_file is not None:
            read = call.read_file
            piece = await asyncio.to_thread(
                self._files.read, read.path, read.offset, read.length, READ_FILE_BYTES_MAX
            )
            done = Message.ReadFile(size=piece.size, data=piece.data)
            return Message(type=Message.Type.READ_FILE, read_file=done)
        if call.list_files is not None:
            infos = await asyncio.to_thread(self._files.browse, call.list_files.path)
            listed = Message.ListFiles(file_infos=tuple(infos))
            return Message(type=Message.Type.LIST_FILES, list_files=listed)
        if call.set_logging_level is not None:
            wanted = call.set_logging_level
            duration_ms = wanted.duration.nanoseconds // NANOSECONDS_OF_MS
            self._log_level.raise_to(wanted.level, duration_ms)
            return None
        level = Message.GetLoggingLevel(level=self._log_level.verbosity)
        return Message(type=Message.Type.GET_LOGGING_LEVEL, get_logging_level=level)
