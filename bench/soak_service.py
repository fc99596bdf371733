"""How good clients are served in a phase: the time of their calls, and what went wrong with them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator


class Service:
    """Figures of one phase; `reset` begins the next."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        self.calls_s: list[float] = []
        self.reads_s: list[float] = []
        self.errors: Counter[str] = Counter()

    @contextlib.contextmanager
    def timed(self, into: list[float]) -> Iterator[None]:
        """The time of the block, whatever its end, is one figure."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            into.append(time.monotonic() - began_s)
