"""The link's frames: put together from any pieces, and refused when they are not of the link."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec import Struct

import tepui
from tepui.wire import link
from tepui.wire.errors import Malformed

MESSAGES: tuple[link.FromAgent, ...] = (
    link.hello(),
    link.ExecutorMessage("f", "e", b"x" * 1_000),
    link.ExecutorExited("f", "e", -(2**31), built_in=True),
    link.Pong(2**63 - 1),
    link.Unregister(),
    link.Condition(False, "full"),
)
RECORDED = (
    Path(__file__).parents[1] / "data" / "link-protocol-1.json"
)  # as its last version sent it


class Recorded(Struct):
    """One frame of each message of protocol 1, and of some two."""

    from_agent: tuple[str, ...]
    from_master: tuple[str, ...]


def recorded() -> list[tuple[bytes, bool]]:
    """The frames, and whether they are an agent's."""
    found = msgspec.json.decode(RECORDED.read_bytes(), type=Recorded)
    return [
        *((bytes.fromhex(one), True) for one in found.from_agent),
        *((bytes.fromhex(one), False) for one in found.from_master),
    ]


def fields_of(frame: bytes) -> list[object]:
    """The tag and the fields of a message, as they travel."""
    return msgspec.msgpack.decode(frame[4:], type=list[object])


def read(frame: bytes, *, from_agent: bool) -> link.LinkMessage:
    """The one message of the frame."""
    reader = link.LinkReader()
    (found,) = reader.from_agent(frame) if from_agent else reader.from_master(frame)
    return found


@pytest.mark.parametrize(("frame", "from_agent"), recorded())
def test_what_a_peer_of_protocol_1_sends_is_read_and_what_it_is_sent_it_reads(
    frame: bytes, from_agent: bool
) -> None:
    before = fields_of(frame)
    now = fields_of(link.frame(read(frame, from_agent=from_agent)))
    assert now[: len(before)] == before  # it leaves out what follows
    if before[0] not in ("Hello", "Registered", "RunTasks"):
        assert now == before


def test_all_messages_of_protocol_1_are_recorded() -> None:
    names = {str(fields_of(frame)[0]) for frame, _ in recorded()}
    of_today = {one.__name__ for one in (*get_args(link.FromAgent), *get_args(link.FromMaster))}
    assert of_today - names == {"Condition", "Return"}
    assert names <= of_today


def test_a_peer_that_reads_two_fields_of_our_greeting_sees_protocol_1() -> None:
    assert fields_of(link.frame(link.hello()))[:2] == ["Hello", 1]


@pytest.mark.parametrize(
    ("theirs", "common"),
    [
        (link.Hello(1, "0.1.0"), 1),  # a peer of protocol 1
        (link.Hello(1, "0.2.0", 2), 2),
        (link.Hello(2, "9", 2), 2),
        (link.Hello(2, "9", 3), 3),
        (link.Hello(1, "9", 2**31 - 1), 3),
        (link.Hello(4, "9", 4), None),
        (link.Hello(4, "9"), None),
        (link.Hello(0, "0.0.1"), None),
        (link.Hello(0, "0.0.1", 1), 1),
        (link.Hello(-(2**31), "0", -1), None),
    ],
)
def test_both_speak_the_newest_protocol_that_both_know(
    theirs: link.Hello, common: int | None
) -> None:
    assert link.common_protocol(theirs) == common


def test_who_has_no_protocol_in_common_is_told_both_versions() -> None:
    said = link.no_common_protocol(link.Hello(4, "9.1", 5), "agent", "master")
    assert said == (
        "the agent, version '9.1', speaks link protocol 4 to 5,"
        f" this master, version '{tepui.__version__}', 1 to 3"
    )


def test_a_long_version_is_cut_in_the_log() -> None:
    longest = "x" * link.SAID_CHARS_MAX
    said = link.no_common_protocol(link.Hello(4, longest), "agent", "master")
    assert said == link.no_common_protocol(link.Hello(4, longest + "y"), "agent", "master")


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
