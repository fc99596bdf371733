"""Which master to ask next: addresses as users write them, redirects, and turns among them."""

from __future__ import annotations

from urllib.parse import urlsplit

from tepui.base.errors import Refused
from tepui.sdk.core.backoff import Backoff

MASTER_PORT = 5050  # Mesos' default
REDIRECTS_MAX = 5  # in one round over the masters; more are two standbys that name each other
RETRY_MS = 250
RETRY_MS_MAX = 2_000  # a framework is back this soon after a failover
ANSWER_MS = 5_000  # for the head of an answer, while another may be asked: a frozen master has none
ANSWER_MS_MAX = 60_000  # a busy one has it late: in the end it is waited for
QUICK_ROUNDS = 3  # with a silent master, before the wait for it grows; a failover is over by then


def parse_masters(text: str, default_port: int = MASTER_PORT) -> tuple[str, ...]:
    """Base URLs of `host:port`, `http://host:port` or a list of these with commas.

    Raises Refused naming the address and what is wrong with it.
    """
    parts = [part.strip() for part in text.split(",")]
    found = tuple(dict.fromkeys(_base_url(part, default_port) for part in parts if part))
    if not found:
        raise Refused(f"address '{text}': expected host:port")
    return found


def redirect_target(asked: str, location: str) -> str | None:
    """The base URL of the leader in a `Location` (`//host:port/...`); None when it names none.

    `asked` is the base URL that answered: a location without a scheme means its scheme.
    """
    try:
        parts = urlsplit(location)
        if not parts.hostname or parts.scheme not in ("", "http", "https"):
            return None
        _ = parts.port  # raises for a port that is no number
    except ValueError:
        return None
    return f"{parts.scheme or urlsplit(asked).scheme}://{parts.netloc}"


class Masters:
    """The masters that are known, and which of them to ask now (`current`).

    Of those in an election nobody is known before `elected`: then nothing else may be asked for.
    """

    def __init__(self, addresses: tuple[str, ...], backoff: Backoff) -> None:
        self._addresses = addresses
        self._backoff = backoff
        self._at = 0  # whose turn it is; -1 while the last leader is asked first
        self._redirects = 0
        self._current = addresses[0] if addresses else None
        self._is_told = False
        self._silent: set[str] = set()  # in this round
        self._silent_rounds = 0
        self._answer_ms = ANSWER_MS

    @property
    def is_told(self) -> bool:
        """Somebody else than the masters says who leads, and a master's redirect is older news."""
        return self._is_told

    @property
    def answer_ms(self) -> int | None:
        """How long `current` may take to begin its answer; None when no other can be asked."""
        if self._is_told or self._addresses == (self._current,):
            return None
        return self._answer_ms

    @property
    def is_known(self) -> bool:
        """Whether there is a `current`."""
        return self._current is not None

    @property
    def current(self) -> str:
        """The base URL to ask now."""
        assert self._current is not None, "nobody was elected"
        return self._current

    def elected(self, leader: str) -> None:
        """`leader` alone is asked from now on, at once and once more at once if that fails."""
        self._is_told = True
        if leader != self._current or self._addresses != (leader,):
            self._addresses = (leader,)
            self._current = leader
            self._at = -1
            self._redirects = 0
            self._backoff.reset()

    def led(self) -> None:
        """`current` has answered as the leader: should it be lost, it is asked first again."""
        self._at = -1
        self._redirects = 0
        self._silent.clear()
        self._silent_rounds = 0
        self._answer_ms = ANSWER_MS
        self._backoff.reset()

    def lost(self) -> int:
        """The connection to `current` broke: the wait in ms before asking it again."""
        return self._backoff.next_ms()

    def failed(self) -> int:
        """`current` did not answer as a leader: the wait in ms before asking the new `current`.

        Zero until every address was asked once.
        """
        self._at += 1
        while self._at < len(self._addresses):
            if self._addresses[self._at] not in self._silent:
                self._current = self._addresses[self._at]
                return 0
            self._at += 1
        self._begin_round()
        return self._backoff.next_ms()

    def silent(self) -> int:
        """`current` has begun no answer within `answer_ms`: as `failed`, and not again this round."""
        self._silent.add(self.current)
        return self.failed()

    def redirected(self, location: str) -> int:
        """`current` named another leader: the wait in ms before asking that one."""
        target = redirect_target(self.current, location)
        if target is None or target in self._silent or self._redirects >= REDIRECTS_MAX:
            return self.failed()
        self._redirects += 1
        self._current = target
        return 0

    def _begin_round(self) -> None:
        self._at = 0
        self._redirects = 0
        self._current = self._addresses[0]
        if self._silent:
            self._silent.clear()
            self._silent_rounds += 1
            if self._silent_rounds >= QUICK_ROUNDS:
                self._answer_ms = min(2 * self._answer_ms, ANSWER_MS_MAX)


def _base_url(address: str, default_port: int) -> str:
    has_scheme = "://" in address
    try:
        parts = urlsplit(address if has_scheme else f"http://{address}")
        port = parts.port
    except ValueError as error:
        raise Refused(f"address '{address}': {str(error).lower()}") from None
    if parts.scheme not in ("http", "https"):
        raise Refused(f"address '{address}': unknown scheme '{parts.scheme}', expected http")
    if not parts.hostname:
        raise Refused(f"address '{address}': expected host:port")
    if parts.query or parts.fragment or (parts.path not in ("", "/") and not has_scheme):
        raise Refused(f"address '{address}': expected host:port and nothing behind it")
    netloc = parts.netloc
    if port is None and not has_scheme:
        netloc = f"{netloc.rstrip(':')}:{default_port}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"
