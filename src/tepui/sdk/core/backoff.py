"""How long to wait before the next attempt: doubled each time, capped, with jitter."""

from __future__ import annotations

from collections.abc import Callable

Jitter = Callable[[], float]  # uniform in [0, 1): `Random(seed).random`


class Backoff:
    """Waits of `first_ms`, doubled up to `wait_ms_max`, each shortened by up to half.

    The jitter keeps a thousand clients that lost the same master from returning at once.
    """

    def __init__(self, first_ms: int, wait_ms_max: int, jitter: Jitter) -> None:
        self._first_ms = first_ms
        self._wait_ms_max = wait_ms_max
        self._jitter = jitter
        self._whole_ms = first_ms

    def next_ms(self) -> int:
        """The wait before the next attempt: between half of it and the whole."""
        whole_ms = self._whole_ms
        self._whole_ms = min(whole_ms * 2, self._wait_ms_max)
        return whole_ms - int(self._jitter() * (whole_ms / 2))

    def reset(self) -> None:
        """An attempt succeeded: the next wait is short again."""
        self._whole_ms = self._first_ms
