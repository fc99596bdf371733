"""Connections that delay, break, and lose what was under way.

Within one direction of one connection messages arrive in order, as TCP delivers them; between
connections nothing is promised. Each side learns of a break at a time of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Generic, TypeVar

from tepui.sim.time import VirtualTime

Message = TypeVar("Message")


class Pipe(Generic[Message]):
    """One direction of a connection."""

    def __init__(
        self,
        time: VirtualTime,
        random: Random,
        delay_ms_max: int,
        deliver: Callable[[Message], None],
    ) -> None:
        self._time = time
        self._random = random
        self._delay_ms_max = delay_ms_max
        self._deliver = deliver
        self._last_ms = 0
        self._open = True

    def send(self, message: Message) -> None:
        """Deliver the message later, unless the pipe is closed before."""
        if not self._open:
            return
        due_ms = self._time.now_ms + self._random.randint(0, self._delay_ms_max)
        self._last_ms = max(self._last_ms, due_ms)

        def arrive() -> None:
            if self._open:
                self._deliver(message)

        self._time.at(self._last_ms, arrive)

    def drained(self, call: Callable[[], None]) -> None:
        """Have `call` happen when all that was sent has arrived."""
        self._time.at(self._last_ms, call)

    def close(self) -> None:
        """Lose what is under way, and all that is sent from now on."""
        self._open = False
