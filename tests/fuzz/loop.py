"""An event loop without sockets, threads and waiting: it runs until nothing is left to do.

Time stands still unless it is told to pass, and then jumps from timer to timer. Servers are kept
instead of started, so that a test can speak to the protocol they make; outgoing connections too.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

PATIENCE_S: Final = 30.0
TURNS_MAX: Final = 20_000  # of the loop, until it must have come to rest


class Idle(selectors.SelectSelector):
    """Never waits; tells the loop when it would."""

    def __init__(self) -> None:
        super().__init__()
        self.on_wait: Callable[[float | None], None] = lambda timeout: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.on_wait(timeout)
        return []


class Listening:
    """What stands for a started server."""

    def __init__(self, sock: Any) -> None:
        self.sockets = [sock]

    def close(self) -> None:
        for one in self.sockets:
            one.close()

    async def wait_closed(self) -> None:
        """It is closed at once."""


class QuietLoop(asyncio.SelectorEventLoop):
    """The loop; `faults` is what would otherwise only be logged."""

    def __init__(self) -> None:
        self._now_s = 1_000.0
        self._until_s = self._now_s
        self._turns = 0
        self.protocols: list[Callable[[], asyncio.Protocol]] = []  # what servers make
        self.outgoing: list[Wire] = []
        self.faults: list[BaseException] = []
        self._listening: list[Listening] = []
        idle = Idle()
        super().__init__(idle)
        idle.on_wait = self._would_wait
        self.set_exception_handler(self._note)
        self.set_task_factory(_watched)

    def time(self) -> float:
        return self._now_s

    def close(self) -> None:
        """Nothing of it is left, whatever went wrong before."""
        if not self.is_closed():
            for task in asyncio.all_tasks(self):
                task.cancel()
            with contextlib.suppress(AssertionError):  # it was told already
                self.settle()
            for listening in self._listening:
                listening.close()
        super().close()

    def settle(self) -> None:
        """Run until nothing is left to do now."""
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        self._until_s = self._now_s + seconds
        self._turns = 0
        self.run_forever()

    def do(self, doing: Coroutine[Any, Any, T]) -> T:
        """The result of what can be done without anybody else, if need be in some time."""
        task = self.create_task(doing)
        self.settle()
        if not task.done():
            self.advance(PATIENCE_S)
        assert task.done(), doing
        return task.result()

    def _would_wait(self, timeout: float | None) -> None:
        self._turns += 1
        assert self._turns < TURNS_MAX, "the loop does not come to rest"
        if timeout is not None and timeout <= 0:
            return
        if timeout is not None and self._now_s + timeout <= self._until_s:
            self._now_s += timeout
        else:
            self._now_s = self._until_s
            self.stop()

    def _note(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self.faults.append(context.get("exception") or AssertionError(context.get("message")))

    # Instead of sockets and threads

    async def create_server(self, protocol_factory: Any, *_: Any, **given: Any) -> Any:
        self.protocols.append(protocol_factory)
        listening = Listening(given["sock"])
        self._listening.append(listening)
        return listening

    async def create_connection(self, protocol_factory: Any, *_: Any, **given: Any) -> Any:
        wire = Wire(self, protocol_factory())
        self.outgoing.append(wire)
        return wire, wire.get_protocol()

    def run_in_executor(  # type: ignore[override]  # no need to say of which types
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def _watched(loop: asyncio.AbstractEventLoop, doing: Any, **given: Any) -> asyncio.Task[Any]:
    """A task whose exception is noted even when nobody asks for it."""
    assert isinstance(loop, QuietLoop)
    task: asyncio.Task[Any] = asyncio.Task(doing, loop=loop, **given)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


class Wire(asyncio.Transport):
    """A transport whose other end is the test: `written` is what came out of the protocol."""

    def __init__(self, loop: QuietLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", 5050)})
        self._loop = loop
        self._protocol = protocol
        self._waiting: list[bytes] = []  # while the protocol does not read
        self._is_paused = False
        self._ended = False
        self._lost = False
        self.written = bytearray()
        loop.call_soon(protocol.connection_made, self)

    # The test's end

    def send(self, data: bytes) -> None:
        """The protocol gets it when it reads."""
        self._waiting.append(data)
        self._loop.call_soon(self._deliver)

    def end(self) -> None:
        """The client has nothing more to say: the protocol may answer, or close."""
        self._loop.call_soon(self._end)

    def cut(self) -> None:
        """The connection is gone."""
        self.abort()

    def _deliver(self) -> None:
        while self._waiting and not self._is_paused and not self.is_closing():
            protocol = self._protocol
            assert isinstance(protocol, asyncio.Protocol)
            protocol.data_received(self._waiting.pop(0))

    def _end(self) -> None:
        protocol = self._protocol
        if self._is_paused or self._waiting or self.is_closing():
            return
        assert isinstance(protocol, asyncio.Protocol)
        if not protocol.eof_received():
            self.close()

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert isinstance(data, bytes | bytearray | memoryview)
        if not self._lost:
            self.written += data

    def close(self) -> None:
        self._ended = True
        self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._ended = True
        self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._ended

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return not self._is_paused and not self._ended

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol
