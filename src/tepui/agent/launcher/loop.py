"""Waits for descriptors and signals and calls what is set for each; all of the launcher runs in its turns."""

from __future__ import annotations

import os
import select
import signal
import sys

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
EVENTS_PER_TURN_MAX = 64
FAULTS_LOGGED_MAX = 1000  # tracebacks in the log of one launcher


class Loop:
    """One epoll. A handler that fails is logged, and the others go on."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], object]] = {}
        self._faults = 0
        self._wake_fd, self._signal_fd = os.pipe()
        os.set_blocking(self._wake_fd, False)
        os.set_blocking(self._signal_fd, False)
        self._on_signal: dict[int, Callable[[], object]] = {}

    def watch(self, fd: int, handler: Callable[[], object], events: int = READABLE) -> None:
        """Call `handler` in each turn in which `fd` is ready, or its other end closed."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def rewatch(self, fd: int, events: int) -> None:
        """Change what `fd` is watched for."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Call nothing for `fd` any more; to be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def on_signal(self, number: int, handler: Callable[[], object]) -> None:
        """Call `handler` in a turn after signal `number` came, once for any number of them."""
        if not self._on_signal:
            signal.set_wakeup_fd(self._signal_fd, warn_on_full_buffer=False)
            self.watch(self._wake_fd, self._signalled)
        self._on_signal[number] = handler
        signal.signal(number, lambda *_: None)

    def _signalled(self) -> None:
        for number in set(os.read(self._wake_fd, 4096)):
            if number in self._on_signal:
                self._on_signal[number]()

    def turn(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` and call the handlers of what is ready."""
        for fd, _ in self._epoll.poll(timeout_s, EVENTS_PER_TURN_MAX):
            handler = self._handlers.get(fd)
            if handler is None:
                continue  # another handler of this turn closed it
            self.call(handler)

    def call(self, handler: Callable[[], object]) -> None:
        """Call `handler`; what it raises is logged, so that one container's trouble stays its own."""
        try:
            handler()
        except BlockingIOError:
            return  # its descriptor's number was reused within the turn: nothing waits behind it
        except Exception:
            self._faults += 1
            if self._faults <= FAULTS_LOGGED_MAX:
                sys.excepthook(*sys.exc_info())
