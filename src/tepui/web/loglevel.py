"""The verbosity of the log, which may be raised for a while.

Mesos counts from 0 (INFO) upwards; here 1 and more is DEBUG.
"""

from __future__ import annotations

import asyncio
import logging

VERBOSITY_MAX = 3  # Mesos: glog's VLOG levels in use


class LogLevel:
    """The level of the logger `tepui` of this process."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("tepui")
        self._usual = self._logger.level
        self._back: asyncio.TimerHandle | None = None
        self.verbosity = 0

    def raise_to(self, verbosity: int, duration_ms: int) -> None:
        """The log is that verbose for that long, and then as before."""
        self.verbosity = min(verbosity, VERBOSITY_MAX)
        self._logger.setLevel(logging.DEBUG if self.verbosity else self._usual)
        if self._back is not None:
            self._back.cancel()
        self._back = asyncio.get_running_loop().call_later(duration_ms / 1000, self.reset)

    def reset(self) -> None:
        """The log is as verbose as at the start."""
        if self._back is not None:
            self._back.cancel()
            self._back = None
        self.verbosity = 0
        self._logger.setLevel(self._usual)
