"""One session: a process whose streams this agent has, and those who read and write them over HTTP.

What it writes is read from it only as fast as all of its readers take it, so nothing is lost and little is
held. It is over when its process has exited and all that it wrote was taken, or nobody reads it any more.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Final

from tepui.agent.daemon.process_io import Reader, data_of
from tepui.base.errors import Refused
from tepui.wire.agent import ProcessIO

READ_BYTES: Final = 256 * 1024
READERS_MAX: Final = 16  # of one session or terminal


class Output:
    """One of the streams that the process writes."""

    __slots__ = ("fd", "is_watched", "kind")

    def __init__(self, fd: int, kind: ProcessIO.Data.Type) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.kind = kind
        self.is_watched = False


class Input:
    """What is typed: into a pipe, which can be closed, or a terminal, which can not."""

    def __init__(self, fd: int, *, is_terminal: bool) -> None:
        """Takes the descriptor over."""
        os.set_blocking(fd, False)
        self.fd = fd
        self.is_terminal = is_terminal
        self.is_taken = False  # one client writes at a time

    async def write(self, data: bytes) -> None:
        """All of it was written. Raises OSError when nobody reads it any more."""
        rest = memoryview(data)
        while rest:
            if self.fd < 0:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                await self._room()

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        fd = os.dup(self.fd)  # it may be closed meanwhile

        def has_room() -> None:
            if not room.done():
                room.set_result(None)

        loop.add_writer(fd, has_room)
        try:
            await room
        finally:
            loop.remove_writer(fd)
            os.close(fd)

    def close(self) -> None:
        """The process reads the end."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Session:
    """From the start of its process until it is over, when `on_over` is called once."""

    def __init__(
        self, stdin: Input, outputs: list[Output], on_left: Callable[[], None],
        on_over: Callable[[], None],
    ) -> None:  # fmt: skip
        """Takes the descriptors over. `on_left` is called whenever nobody reads it any more."""
        self.stdin = stdin
        self.ended = asyncio.Event()
        self._outputs = outputs
        self._readers: list[Reader] = []
        self._has_exited = False
        self.was_read = False  # somebody was attached
        self._on_left = on_left
        self._on_over = on_over

    def attach(self, reader: Reader) -> None:
        """What the process writes from now on goes to this reader, too. Raises Refused."""
        if len(self._readers) >= READERS_MAX:
            raise Refused(f"more than {READERS_MAX} read what the container writes")
        self.was_read = True
        self._readers.append(reader)
        reader.stream.on_room = self._look
        self._look()

    def detach(self, reader: Reader) -> None:
        """The reader has gone."""
        if reader in self._readers:
            self._readers.remove(reader)
            if not self._readers:
                self._on_left()
            self._look()

    def beat(self) -> None:
        """A sign of life to all readers."""
        for reader in self._readers:
            reader.beat()

    def exited(self) -> None:
        """All processes are gone; what is left to read is read."""
        self._has_exited = True
        self._look()

    def close(self) -> None:
        """It is over, whatever was not read."""
        for output in list(self._outputs):
            self._close(output)
        self._end()

    def _look(self) -> None:
        """Read, or wait to be able to."""
        may_read = bool(self._readers) and all(one.stream.is_writable for one in self._readers)
        loop = asyncio.get_running_loop()
        for output in list(self._outputs):
            if may_read and not output.is_watched:
                output.is_watched = True
                loop.add_reader(output.fd, self._readable, output)
            elif not may_read and output.is_watched:
                output.is_watched = False
                loop.remove_reader(output.fd)
            if self._has_exited and (may_read or (self.was_read and not self._readers)):
                loop.call_soon(self._readable, output)
        if self._has_exited and not self._outputs:
            self._end()

    def _readable(self, output: Output) -> None:
        if output not in self._outputs:
            return
        is_wanted = bool(self._readers)
        if is_wanted and not all(one.stream.is_writable for one in self._readers):
            return
        try:
            data = os.read(output.fd, READ_BYTES)
        except BlockingIOError:
            if not self._has_exited:
                return
            data = b""  # whoever else has the other end is none of the container's
        except OSError:  # EIO: the terminal is hung up
            data = b""
        if data and is_wanted:
            message = data_of(output.kind, data)
            for reader in list(self._readers):
                reader.send(message)
        elif not data or self._has_exited:
            self._close(output)
        if self._has_exited:
            self._look()

    def _close(self, output: Output) -> None:
        if output in self._outputs:
            self._outputs.remove(output)
            if output.is_watched:
                asyncio.get_running_loop().remove_reader(output.fd)
            os.close(output.fd)

    def _end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        self.stdin.close()
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.stream.end()
        self._on_over()
