"""The link's frames: put together from any pieces, and refused when they are not of the link."""

from __future__ import annotations

import msgspec
import pytest

from tepui.wire import link
from tepui.wire.errors import Malformed

MESSAGES: tuple[link.FromAgent, ...] = (
    link.Hello(link.PROTOCOL, "1"),
    link.ExecutorMessage("f", "e", b"x" * 1_000),
    link.ExecutorExited("f", "e", -(2**31), built_in=True),
    link.Pong(2**63 - 1),
    link.Unregister(),
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 5_000])
def test_messages_are_put_together_from_pieces_of_any_size(size: int) -> None:
    sent = b"".join(link.frame(message) for message in MESSAGES)
    reader = link.LinkReader()
    found = [
        message
        for at in range(0, len(sent), size)
        for message in reader.from_agent(sent[at : at + size])
    ]
    assert tuple(found) == MESSAGES


def test_a_large_message_is_not_copied_with_each_piece_of_it() -> None:
    message = link.ExecutorMessage("f", "e", b"x" * 50_000_000)
    sent = link.frame(message)
    reader = link.LinkReader()
    pieces = [sent[at : at + 16_384] for at in range(0, len(sent), 16_384)]
    found = [one for piece in pieces for one in reader.from_agent(piece)]
    assert found == [message]


def test_the_largest_length_is_waited_for_and_the_next_refused() -> None:
    assert not list(link.LinkReader().from_agent(link.MESSAGE_BYTES_MAX.to_bytes(4, "big")))
    with pytest.raises(Malformed, match="at most"):
        next(link.LinkReader().from_agent((link.MESSAGE_BYTES_MAX + 1).to_bytes(4, "big")))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xa3\xff\xfe\xfd",
        msgspec.msgpack.encode(["Pong"]),
        msgspec.msgpack.encode(["Pong", "1"]),
        msgspec.msgpack.encode(["Nobody", 1]),
        msgspec.msgpack.encode(["ExecutorExited", "f", "e", 2**31, False]),
        msgspec.msgpack.encode(["Hello", 1, "x"]).replace(b"\xa1x", b"\xa1\xff"),
        b"\x91" * 5_000,
    ],
)
def test_what_is_not_of_the_link_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        next(link.LinkReader().from_agent(len(body).to_bytes(4, "big") + body))


def test_messages_before_a_fault_are_read_though_they_came_in_one_piece() -> None:
    sent = link.frame(link.Pong(1)) + link.frame(link.Pong(2)) + b"\x00\x00\x00\x01\xc1"
    for size in (len(sent), 7):
        reader = link.LinkReader()
        found: list[link.FromAgent] = []
        pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
        with pytest.raises(Malformed):
            found.extend(message for piece in pieces for message in reader.from_agent(piece))
        assert found == [link.Pong(1), link.Pong(2)]
