"""RecordIO framing, whatever pieces it arrives in."""

from __future__ import annotations

import pytest

from tepui.wire.errors import Malformed
from tepui.wire.recordio import LENGTH_DIGITS_MAX, Deframer, frame

RECORDS = [b"{}", b"", b"12\n34\n", b"x" * 100]
STREAM = b"".join(frame(record) for record in RECORDS)


def test_frame_is_length_and_record() -> None:
    assert frame(b'{"type":"HEARTBEAT"}') == b'20\n{"type":"HEARTBEAT"}'


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_records_come_out_whatever_the_pieces(size: int) -> None:
    deframer = Deframer(record_bytes_max=100)
    found = []
    for at in range(0, len(STREAM), size):
        found += deframer.feed(STREAM[at : at + size])
    assert found == RECORDS
    assert deframer.is_between_records


def test_cut_record_is_noticed() -> None:
    for cut in (b"1", b"2\n", b"2\n{"):
        deframer = Deframer(record_bytes_max=100)
        assert deframer.feed(cut) == []
        assert not deframer.is_between_records


def test_record_of_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    assert Deframer(record_bytes_max=3).feed(b"3\nabc") == [b"abc"]
    with pytest.raises(Malformed) as refused:
        Deframer(record_bytes_max=3).feed(b"4\nabcd")
    assert refused.value.text == "Failed to decode length '4': the limit is 3 bytes"


@pytest.mark.parametrize("length", [b"x\n", b"-1\n", b"+1\n", b" 1\n", b"1.0\n", b"\n", b"\xff\n"])
def test_length_that_is_no_number_is_refused(length: bytes) -> None:
    with pytest.raises(Malformed, match="Failed to decode length"):
        Deframer(record_bytes_max=3).feed(length)


def test_length_without_an_end_is_refused() -> None:
    deframer = Deframer(record_bytes_max=3)
    assert deframer.feed(b"0" * LENGTH_DIGITS_MAX) == []
    with pytest.raises(Malformed, match="too long"):
        deframer.feed(b"0")


def test_after_an_error_the_stream_stays_refused() -> None:
    deframer = Deframer(record_bytes_max=3)
    for data in (b"x\n", b"2\n{}"):
        with pytest.raises(Malformed, match="'x'"):
            deframer.feed(data)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_records_before_an_error_come_out_whatever_the_pieces(size: int) -> None:
    stream = frame(b"{}") + frame(b"[]") + b"x\n"
    deframer = Deframer(record_bytes_max=3)
    found: list[bytes] = []
    pieces = [stream[at : at + size] for at in range(0, len(stream) + size, size)]
    with pytest.raises(Malformed, match="'x'"):
        found.extend(record for piece in pieces for record in deframer.feed(piece))
    assert found == [b"{}", b"[]"]
    assert not deframer.is_between_records
