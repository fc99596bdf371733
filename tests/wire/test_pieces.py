"""Texts in parts, and shares of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tepui.wire.pieces import Later, Part, made, share_of

TEXT = b"[0,1,2,3,4,5,6,7,8,9]"


class Numbers:
    """A list of numbers in parts that remember which of them were made."""

    def __init__(self, count: int = 10) -> None:
        self._count = count
        self.made: list[int] = []

    def parts(self) -> Iterator[Part]:
        yield b"["
        for number in range(self._count):
            if number:
                yield b","
            yield Later(self._maker(number), 1)
        yield b"]"

    def _maker(self, number: int) -> Callable[[], bytes]:
        def make() -> bytes:
            self.made.append(number)
            return str(number).encode()

        return make


def test_all_parts_are_the_text() -> None:
    assert b"".join(made(Numbers().parts())) == TEXT


@pytest.mark.parametrize("values", [10, 1, 0, 9, 11, 1_000])
@pytest.mark.parametrize("shares", [1, 2, 3, 4, 10, 30])
def test_shares_are_the_text_whatever_was_counted(values: int, shares: int) -> None:
    found = [share_of(Numbers().parts(), values, share, shares) for share in range(shares)]
    assert b"".join(b"".join(share) for share in found) == TEXT


def test_what_is_in_another_share_is_not_made() -> None:
    numbers = Numbers()
    assert b"".join(share_of(numbers.parts(), 10, 1, 2)) == b",5,6,7,8,9]"
    assert numbers.made == [5, 6, 7, 8, 9]


def test_shares_of_nothing_are_nothing_but_the_brackets() -> None:
    found = [b"".join(share_of(Numbers(0).parts(), 0, share, 2)) for share in range(2)]
    assert found == [b"[]", b""]
