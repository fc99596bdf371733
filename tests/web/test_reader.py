"""A reader that knows a head answers as one that parses each; httptools is what it is held to."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tepui.web.http import Request, Response
from tepui.web.reader import Held, NotServed, RequestReader

SERVER = "127.0.0.1:5050"
POST = b"POST /api HTTP/1.1\r\nHost: me\r\nContent-Length: 3\r\n\r\n"
PIECES = (
    POST + b"abc",
    POST + b"xyz",
    POST,
    b"abc",
    b"\r\n",
    b"\r",
    b"\n\r\n",
    b"POST /api HTTP/1.1\nHost: me\nContent-Length: 5\n\nx\r\n\r\n",
    b"POST /api HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    b"POST /api HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /api HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /api HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /link HTTP/1.1\r\nUpgrade: link\r\nConnection: Upgrade\r\n\r\n",
    b"GET /state HTTP/1.1\r\n\r\n",
    b"GET /state HTTP/1.0\r\n\r\n",
    b"GET /state HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /state HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"Length: 3\r\n\r\nabc",
    b"nonsense",
)

Outcome = Request | Response | None


def outcomes(data: list[bytes], *, forgets: bool) -> list[tuple[Outcome, bytes, bool]]:
    """What was read, what is behind an upgrade, and whether 100 is awaited."""
    reader = RequestReader(SERVER, Held(), frozenset(("link",)))
    found: list[tuple[Outcome, bytes, bool]] = []
    for piece in data:
        at = 0
        while at < len(piece) or reader.is_ahead:
            if forgets:
                reader._known = None
            try:
                request, at = reader.read(piece, at)
            except NotServed as refusal:
                return [*found, (refusal.response, b"", False)]
            if request is not None and request.is_upgrade:
                return [*found, (request, piece[at:], False)]
            if request is not None or reader.awaits_continue:
                found.append((request, b"", reader.awaits_continue))
            reader.awaits_continue = False
    return found


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(whole), *(place % (len(whole) + 1) for place in places)})
    return [whole[begin:end] for begin, end in itertools.pairwise(at)]


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.lists(st.integers(0, 10_000), max_size=6))
def test_requests_do_not_depend_on_what_was_read_before_them(
    pieces: list[bytes], places: list[int]
) -> None:
    for data in (pieces, cut(b"".join(pieces), places)):
        assert outcomes(data, forgets=False) == outcomes(data, forgets=True)


def test_a_head_that_comes_again_is_not_parsed_again() -> None:
    reader = RequestReader(SERVER, Held(), frozenset())
    first, _ = reader.read(POST + b"abc", 0)
    del reader._parser
    second, end = reader.read(POST + b"xyz" + POST, 0)
    assert first is not None
    assert second is not None
    assert (first.body, second.body, end) == (b"abc", b"xyz", len(POST) + 3)
    assert second.headers == {"host": "me", "content-length": "3"}


def test_the_end_of_a_head_is_not_taken_for_a_head() -> None:
    reader = RequestReader(SERVER, Held(), frozenset())
    assert reader.read(POST[:30], 0) == (None, 30)
    request, _ = reader.read(POST[30:] + b"abc", 0)
    assert request is not None
    assert reader._known is None
