"""Waits for the terminal that an OCI runtime makes in a container."""

from __future__ import annotations

import os

from . import terminals

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from .output import Stream


class Console:
    """Where the terminal will be brought, and what is to be done with it.

    With a `name` what it shows goes to that file in the sandbox, of which `sandbox_fd` is a descriptor, the
    console's own.
    """

    __slots__ = ("_bytes_max", "_gid", "_name", "_sandbox_fd", "_socket", "_uid", "_window")

    def __init__(
        self,
        path: str,
        window: tuple[int, int],
        sandbox_fd: int,
        name: str,
        bytes_max: int,
        owner: tuple[int | None, int],
    ) -> None:
        """Raises Fault."""
        self._window = window
        self._name = name
        self._bytes_max = bytes_max
        self._uid, self._gid = owner
        self._sandbox_fd = sandbox_fd
        try:
            self._socket = terminals.ConsoleSocket(path)
        except BaseException:
            os.close(sandbox_fd)
            raise

    @property
    def path(self) -> str:
        """What the runtime is given."""
        return self._socket.path

    def take(self) -> tuple[terminals.Terminal, list[Stream]]:
        """Return the terminal that was brought, and the streams out of it. Raises Fault."""
        terminal = self._socket.receive()
        try:
            terminals.set_window(terminal.master_fd, *self._window)
            if not self._name:
                return terminal, []
            sandbox_fd, self._sandbox_fd = self._sandbox_fd, -1  # now the stream's
            stream = terminals.TerminalStream(
                sandbox_fd, self._name, self._bytes_max, self._uid, self._gid, terminal
            )
        except BaseException:
            terminal.close()
            raise
        return terminal, [stream]

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._socket.close()
        if self._sandbox_fd >= 0:
            os.close(self._sandbox_fd)
            self._sandbox_fd = -1
