"""The calls of the operator API about single containers: launch, wait, kill, remove, sessions, attach.

Source: Mesos slave/http.cpp, slave/containerizer/mesos/io/switchboard.cpp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tepui.agent.core.actions import AnswerContainer, FoundContainer, Reply
from tepui.agent.core.events import ContainerAsked, ContainerCalled, SessionLeft
from tepui.agent.core.operator_lives import flat
from tepui.agent.core.validation import operator_call_error
from tepui.agent.daemon.containers import FAULTS, Containers
from tepui.agent.daemon.process_io import Reader, input_error
from tepui.agent.daemon.put import Put
from tepui.agent.daemon.session import Input
from tepui.agent.daemon.sessions import NoTerminal, Sessions
from tepui.base import tasks
from tepui.base.errors import HostError, Refused
from tepui.web.http import BODY_BYTES_MAX, Answer, Response, Streaming, text
from tepui.web.requests import Requests
from tepui.web.upload import Upload, UploadFailed
from tepui.wire import agent, media, mesos, recordio
from tepui.wire.agent import ProcessIO
from tepui.wire.errors import Malformed

Type = agent.Call.Type
Attach = agent.Call.AttachContainerInput

WINDOW_MAX: Final = 65_535  # of rows and columns: the kernel has 16 bits for each


class CallStream:
    """The calls in the body of a streaming request, one after the other."""

    def __init__(self, upload: Upload, encoding: media.Media) -> None:
        self._upload = upload
        self._encoding = encoding
        self._deframer = recordio.Deframer(BODY_BYTES_MAX)
        self._records: list[bytes] = []

    async def next(self) -> agent.Call | None:
        """The next call; None at the end. Raises Malformed, Refused for a wrong call, UploadFailed."""
        while not self._records:
            piece = await self._upload.read()
            if not piece:
                self._deframer.feed(b"")  # for a fault behind the last record
                return None
            self._records = self._deframer.feed(piece)[::-1]
        call = media.decode(agent.Call, self._records.pop(), self._encoding)
        fault = operator_call_error(call)
        if fault is not None:
            raise Refused(f"Failed to validate agent::Call: {fault}")
        return call


class ContainerCalls:
    """The handlers, bound to the daemon."""

    def __init__(
        self, put: Put, requests: Requests[Reply], sessions: Sessions, containers: Containers
    ) -> None:
        self._put = put
        self._requests = requests
        self._sessions = sessions
        self._containers = containers
        self._ends: set[asyncio.Task[None]] = set()

    async def call(self, call: agent.Call) -> AnswerContainer:
        """What the core answers, when it does."""
        reply = await self._requests.ask(lambda number: self._put(ContainerCalled(number, call)))
        assert isinstance(reply, AnswerContainer)
        return reply

    async def found(self, container_id: str) -> AnswerContainer:
        """Where the container is, or that there is none."""
        reply = await self._requests.ask(
            lambda number: self._put(ContainerAsked(number, container_id))
        )
        assert isinstance(reply, AnswerContainer)
        return reply

    async def launch_session(self, call: agent.Call, accepted: media.Streamed) -> Answer:
        """A stream of what the session writes, from its start to its end."""
        reply = await self.call(call)
        part = call.launch_nested_container_session
        assert part is not None, "checked with the call"
        if reply.status != 200:
            return answered(reply)
        name = flat(part.container_id)
        try:
            reader = self._sessions.reader(name, accepted.message)
        except Refused as refused:
            self._put(SessionLeft(name))
            return text(500, refused.text)
        return _streaming(reader, accepted)

    async def attach_output(self, call: agent.Call, accepted: media.Streamed) -> Answer:
        """A stream of what the container writes from now on, to its end."""
        part = call.attach_container_output
        assert part is not None, "checked with the call"
        name = flat(part.container_id)
        reply = await self.found(name)
        if reply.found is None:
            return _not_attached(reply, name)
        try:
            if self._sessions.get(name) is not None:
                return _streaming(self._sessions.reader(name, accepted.message), accepted)
            follow = await self._sessions.follow(reply.found, accepted.message)
        except NoTerminal as none:
            return text(400, str(none))
        ending = tasks.start(self._end_with(reply.found, follow.end))
        self._ends.add(ending)
        ending.add_done_callback(self._ends.discard)
        return _streaming(follow.reader, accepted)

    async def attach_input(self, call: agent.Call, calls: CallStream) -> Answer:
        """All that the client sends is written into the container, until it or the container ends."""
        first = call.attach_container_input
        assert first is not None, "checked with the call"
        if first.type is not Attach.Type.CONTAINER_ID or first.container_id is None:
            return text(400, "Expecting 'attach_container_input.type' to be CONTAINER_ID")
        name = flat(first.container_id)
        reply = await self.found(name)
        if reply.found is None:
            return _not_attached(reply, name)
        try:
            typed = await self._sessions.stdin(reply.found)
        except NoTerminal as none:
            return text(400, str(none))
        except FAULTS as error:
            return text(500, str(error))
        if typed.is_taken:
            return text(409, "Multiple input connections are not allowed")
        typed.is_taken = True
        try:
            return await self._feed(reply.found, typed, calls)
        finally:
            typed.is_taken = False
            self._sessions.left_stdin(name)

    async def close(self) -> None:
        """Nobody is told of an end any more."""
        for ending in list(self._ends):
            ending.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)

    async def _feed(self, found: FoundContainer, typed: Input, calls: CallStream) -> Answer:
        session = self._sessions.get(found.container_id)
        feeding = asyncio.ensure_future(self._write_all(found.container_id, typed, calls))
        over = session.ended if session is not None else self._containers.gone(found.container_id)
        ending = asyncio.ensure_future(over.wait())
        try:
            await asyncio.wait((feeding, ending), return_when=asyncio.FIRST_COMPLETED)
            return feeding.result() if feeding.done() else Response(200)
        finally:
            for one in (feeding, ending):
                one.cancel()
            await asyncio.gather(feeding, ending, return_exceptions=True)

    async def _write_all(self, container_id: str, typed: Input, calls: CallStream) -> Response:
        while True:
            try:
                call = await calls.next()
            except Malformed as malformed:
                return text(400, malformed.agent_text)
            except Refused as refused:
                return text(400, refused.text)
            except UploadFailed as failed:
                return text(400, str(failed))
            if call is None:
                return Response(200)
            attach = call.attach_container_input
            if attach is None or call.type is not Type.ATTACH_CONTAINER_INPUT:
                return text(400, "Expecting 'attach_container_input' to be present")
            error = input_error(attach)
            if error is not None:
                return text(400, error)
            assert attach.process_io is not None, "checked with the record"
            refusal = await self._apply(container_id, typed, attach.process_io)
            if refusal is not None:
                return refusal

    async def _apply(self, container_id: str, typed: Input, message: ProcessIO) -> Response | None:
        """The record is carried out; else the answer that says why not."""
        tty = None if message.control is None else message.control.tty_info
        if message.type is ProcessIO.Type.CONTROL:
            if tty is not None and tty.window_size is not None:
                return await self._resize(container_id, typed, tty.window_size)
            return None
        data = None if message.data is None else message.data.data
        assert data is not None, "checked with the record"
        if not data and not typed.is_terminal:
            typed.close()
            return None
        try:
            await typed.write(data)
        except OSError as error:
            return text(500, f"Failed writing to stdin: {error.strerror}")
        return None

    async def _resize(
        self, container_id: str, typed: Input, size: mesos.TTYInfo.WindowSize
    ) -> Response | None:
        if not typed.is_terminal:
            return text(400, "Unable to set the window size: it is no terminal")
        if max(size.rows, size.columns) > WINDOW_MAX:
            return text(400, f"Unable to set the window size: {WINDOW_MAX} is the most")
        try:
            await self._containers.runtime.resize(container_id, size.rows, size.columns)
        except (HostError, OSError) as error:
            return text(500, f"Unable to set the window size: {error}")
        return None

    async def _end_with(self, found: FoundContainer, end: Callable[[], None]) -> None:
        await self._containers.gone(found.container_id).wait()
        end()


def _not_attached(reply: AnswerContainer, container_id: str) -> Response:
    """There is no such container: said as Mesos says it, with 500."""
    return (
        text(500, f"Unknown container {container_id}") if reply.status == 404 else answered(reply)
    )


def answered(reply: AnswerContainer) -> Response:
    """The core's answer, where it is no message."""
    return text(reply.status, reply.text) if reply.text else Response(reply.status)


def _streaming(reader: Reader, accepted: media.Streamed) -> Streaming:
    is_framed = accepted.media is media.Media.RECORDIO
    headers = (("Message-Content-Type", accepted.message.value),) if is_framed else ()
    return Streaming(reader.stream, accepted.media.value, headers)
