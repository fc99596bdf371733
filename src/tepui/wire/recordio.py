r"""RecordIO, the framing of event streams: `<length in decimal>\n<record>`, over and over.

Source: Mesos docs/recordio.md and 3rdparty/stout/include/stout/recordio.hpp.
"""

from __future__ import annotations

from typing import NoReturn

from tepui.wire.errors import Malformed

LENGTH_DIGITS_MAX = 20  # a length of 64 bits


def frame(record: bytes) -> bytes:
    """`record` with its length before it."""
    return length_line(len(record)) + record


def length_line(record_bytes: int) -> bytes:
    """What stands before a record of so many bytes."""
    return b"%d\n" % record_bytes


class Deframer:
    """Records out of a stream that arrives in pieces of any size.

    Holds at most one record of `record_bytes_max` and its length. What is whole before a fault comes
    out whether or not the fault was in the same piece, so records do not depend on how the network
    cut the stream. After a fault the stream is lost: every further `feed` raises Malformed.
    """

    def __init__(self, record_bytes_max: int) -> None:
        self.record_bytes_max = record_bytes_max
        self._held = bytearray()
        self._length: int | None = None  # of the record that is being read
        self._failed: Malformed | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, in order; raises Malformed when there is none of them.

        A fault behind records is raised by the next call.
        """
        if self._failed is not None:
            raise self._failed
        records: list[bytes] = []
        try:
            self._take(data, records)
        except Malformed as failed:
            self._failed = failed
            self._held.clear()
            if not records:
                raise
        return records

    @property
    def is_between_records(self) -> bool:
        """Whether the stream may end here without a record being cut."""
        return self._length is None and not self._held and self._failed is None

    def _take(self, data: bytes, records: list[bytes]) -> None:
        """Add the records that `data` completes."""
        self._held += data
        at = 0
        while True:
            if self._length is None:
                newline = self._held.find(b"\n", at, at + LENGTH_DIGITS_MAX + 1)
                if newline < 0:
                    if len(self._held) - at > LENGTH_DIGITS_MAX:
                        self._fail(bytes(self._held[at : at + LENGTH_DIGITS_MAX]), "too long")
                    break
                self._length = self._parsed(bytes(self._held[at:newline]))
                at = newline + 1
            if len(self._held) - at < self._length:
                break
            records.append(bytes(self._held[at : at + self._length]))
            at += self._length
            self._length = None
        del self._held[:at]

    def _parsed(self, digits: bytes) -> int:
        if not digits.isdigit():
            self._fail(digits, "not a decimal number")
        length = int(digits)
        if length > self.record_bytes_max:
            self._fail(digits, f"the limit is {self.record_bytes_max} bytes")
        return length

    def _fail(self, digits: bytes, why: str) -> NoReturn:
        shown = digits.decode("utf-8", "replace")
        raise Malformed(f"Failed to decode length '{shown}': {why}")
