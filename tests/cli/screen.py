"""The command line on a terminal of its own, as if somebody sat there."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import termios
import time
from fcntl import ioctl
from types import TracebackType

from tests.cli.up_process import TEPUI

DEADLINE_S = 60.0


class Screen:
    """One command on one terminal; ended with it, should the test not get to its end."""

    def __init__(self, master: str, *arguments: str, rows: int = 31, columns: int = 97) -> None:
        self.fd, self._slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self._slave)
        self._shown = b""
        self._ended = False
        self.process = subprocess.Popen(
            [*TEPUI, *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),  # or nobody hears of resizes
            env=os.environ | {"TEPUI_MASTER": master},
        )

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._ended:
            self.process.kill()
            self.process.wait(DEADLINE_S)
            self._close()

    def resize(self, rows: int, columns: int) -> None:
        """The terminal has this size, and the command is told."""
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("=4H", rows, columns, 0, 0))

    def until(self, end: bytes) -> bytes:
        """What is shown up to `end`; what is behind it is for the next time."""
        deadline = time.monotonic() + DEADLINE_S
        while end not in self._shown:
            left = deadline - time.monotonic()
            assert left > 0, f"no {end!r} in {self._shown!r}"
            if select.select([self.fd], [], [], left)[0]:
                self._shown += os.read(self.fd, 4096)
        before, _, self._shown = self._shown.partition(end)
        return before + end

    def shown(self) -> bytes:
        """What is shown now, and was not asked for before."""
        self._shown += self._rest()
        return self._shown

    def type(self, text: bytes) -> None:
        """Keys are pressed."""
        os.write(self.fd, text)

    def end(self) -> int:
        """The command's exit code, when it has ended; its terminal is as it was."""
        try:
            code = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"it has not ended, and shows {self._shown + self._rest()!r}"
            ) from None
        assert termios.tcgetattr(self._slave) == self.before
        self._close()
        return code

    def _rest(self) -> bytes:
        return os.read(self.fd, 4096) if select.select([self.fd], [], [], 0)[0] else b""

    def _close(self) -> None:
        self._ended = True
        os.close(self.fd)
        os.close(self._slave)
