"""Inputs that resemble others: small damage, and words that mean something to a parser."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

JSON_WORDS: Final = (
    b"null", b"true", b"1e400", b"-1", b"-0.0", b"Infinity", b"-Infinity", b"NaN", b'"', b"{", b"}",
    b"[", b"]", b",", b":", b"\\ud800", b"\\ud83d\\ude00", b"\\u0000", b"\\", b"\xff", b"\x00", b'"1"',
    b"18446744073709551616", b"-9223372036854775809", b"[[[", b"{}", b'{"value":', b'"type":',
    b'"framework_id":', b'"agent_id":', b'"task_id":', b'"resources":', b'"scalar":', b'"ranges":',
    b"0.1", b"1E5", b"3.6e+06", b"AAAA", b"AA=", b"  ", b"\n",
)  # fmt: skip
HTTP_WORDS: Final = (
    b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"CONNECT ", b"PRI * HTTP/2.0", b" HTTP/1.1", b" HTTP/1.0",
    b" HTTP/9.9", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"Content-Length: ", b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"Content-Length: -1\r\n", b"Content-Length: +3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: Upgrade\r\n",
    b"Upgrade: tepui-link\r\n", b"Upgrade: h2c\r\n", b"Content-Encoding: gzip\r\n",
    b"Content-Type: application/json\r\n", b"Content-Type: application/x-protobuf\r\n",
    b"Accept: application/x-protobuf\r\n", b"Accept: application/recordio\r\n",
    b"Message-Accept: application/json\r\n", b"Mesos-Stream-Id: @S\r\n", b"Authorization: Basic Og==\r\n",
    b"/api/v1", b"/api/v1/scheduler", b"/api/v1/executor", b"/master", b"/slave(1)", b"/state", b"/files/read",
    b"/files/browse?path=", b"/files/download?path=", b"/master/log", b"/slave/log", b"/../", b"%2e%2e%2f",
    b"%00", b"//", b"?jsonp=f", b"&offset=", b"&length=-1", b"out.txt", b"up/outside.txt", b"/etc/passwd",
    b"@F", b"@A", b"@S", b"@O", b"\xff\x00\xff", b"\x00",
)  # fmt: skip
LINK_WORDS: Final = (
    b"\xa4Pong", b"\xa4Ping", b"\xa5Hello", b"\xa8Register", b"\xaaReregister", b"\xa6Return", b"\xadStatusUpdated",
    b"\xaeExecutorExited", b"\xafExecutorMessage", b"\xaaUnregister", b"\xaaRegistered", b"\xa8RunTasks",
    b"\xa8KillTask", b"\xa8Shutdown", b"\xb1AcknowledgeUpdate", b"\xc0", b"\xc2", b"\xc3", b"\x90", b"\x80",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\x00\x00\x00\x01",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\x10\x00\x00\x01",
)  # fmt: skip
RECORDIO_WORDS: Final = (
    b"\n",
    b"0\n",
    b"40\n",
    b"41\n",
    b"00000000000000000001\n",
    b"-1\n",
    b"+1\n",
)
WORDS: Final = {
    "json": JSON_WORDS,
    "recordio": RECORDIO_WORDS,
    "link": LINK_WORDS,
    "http_master": (*HTTP_WORDS, *JSON_WORDS),
    "http_agent": (*HTTP_WORDS, *JSON_WORDS),
}
CHANGES_MAX: Final = 4


def mutant(corpus: Sequence[bytes], words: Sequence[bytes], random: Random) -> bytes:
    """One of the inputs with a few changes."""
    found = random.choice(corpus) if corpus else b""
    for _ in range(random.randint(1, CHANGES_MAX)):
        found = _changed(found, corpus, words, random)
    return found


def _changed(data: bytes, corpus: Sequence[bytes], words: Sequence[bytes], random: Random) -> bytes:
    at, to = sorted(random.randrange(len(data) + 1) for _ in range(2))
    match random.randrange(8):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[min(to, at + 8) :]
        case 2:
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        case 3:
            return data[:at] + random.randbytes(random.randint(1, 8)) + data[at:]
        case 4 if words:
            return data[:at] + random.choice(words) + data[at:]
        case 5 if words:
            word = random.choice(words)
            return data[:at] + word + data[at + len(word) :]
        case 6 if corpus:
            other = random.choice(corpus)
            return data[:at] + other[random.randrange(len(other) + 1) :]
        case _:
            return data[:to] + data[at:]
