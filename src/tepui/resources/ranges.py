"""Sets of whole numbers kept as ranges: ports, mostly (Mesos: common/values.cpp)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice

from tepui.base.errors import Refused
from tepui.wire import mesos

NUMBER_MAX = 2**64 - 1  # uint64 on the wire

Pair = tuple[int, int]


class Ranges:
    """Whole numbers as (begin, end) pairs, both inclusive: sorted, apart, immutable.

    No two pairs overlap or touch, so equal sets are equal values.
    """

    __slots__ = ("_hash", "pairs")

    pairs: tuple[Pair, ...]

    def __init__(self, pairs: tuple[Pair, ...] = ()) -> None:
        """`pairs` must be normalised already; `Ranges.of` takes any."""
        self.pairs = pairs
        self._hash: int | None = None

    def __reduce__(self) -> tuple[type[Ranges], tuple[tuple[Pair, ...]]]:
        """Without the hash, which another process need not agree with."""
        return Ranges, (self.pairs,)

    @staticmethod
    def of(pairs: Iterable[Pair]) -> Ranges:
        """The numbers of all `pairs`; raises `Refused` when one is inverted or outside uint64."""
        given = sorted(pairs)
        for begin, end in given:
            if begin > end:
                raise Refused("Invalid ranges resource: begin > end")
            if begin < 0 or end > NUMBER_MAX:
                raise Refused(f"Invalid ranges resource: {begin}-{end} is not within uint64")
        return Ranges(_coalesced(given))

    @staticmethod
    def from_wire(wire: mesos.Value.Ranges) -> Ranges:
        """The numbers of a wire value; raises `Refused` when a range is inverted."""
        if len(wire.range) == 1:
            only = wire.range[0]
            if 0 <= only.begin <= only.end <= NUMBER_MAX:
                return Ranges(((only.begin, only.end),))
        return Ranges.of((r.begin, r.end) for r in wire.range)

    def to_wire(self) -> mesos.Value.Ranges:
        """The wire value, ascending."""
        one = mesos.Value.Range
        return mesos.Value.Ranges(range=tuple([one(begin=b, end=e) for b, e in self.pairs]))

    def count(self) -> int:
        """How many numbers there are."""
        return sum(end - begin + 1 for begin, end in self.pairs)

    def take(self, limit: int) -> Iterator[int]:
        """The smallest numbers, ascending, at most `limit` of them."""
        return islice((n for begin, end in self.pairs for n in range(begin, end + 1)), limit)

    def contains(self, other: Ranges) -> bool:
        """Whether every number of `other` is here."""
        mine = self.pairs
        for begin, end in other.pairs:
            at = bisect_right(mine, (begin, NUMBER_MAX)) - 1
            if at < 0 or mine[at][1] < end:
                return False
        return True

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.pairs, (number, NUMBER_MAX)) - 1
        return at >= 0 and number <= self.pairs[at][1]

    def __or__(self, other: Ranges) -> Ranges:
        """The union."""
        if not other.pairs:
            return self
        if not self.pairs:
            return other
        if len(other.pairs) == 1:
            return Ranges(_with_pair(self.pairs, other.pairs[0]))
        return Ranges(_coalesced(sorted(self.pairs + other.pairs)))

    def __sub__(self, other: Ranges) -> Ranges:
        """The difference; what is not here is not missed."""
        if not other.pairs or not self.pairs:
            return self
        if len(other.pairs) == 1:
            return Ranges(_without_pair(self.pairs, other.pairs[0]))
        return Ranges(_difference(self.pairs, other.pairs))

    def __and__(self, other: Ranges) -> Ranges:
        """The intersection."""
        return self - (self - other)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.pairs == other.pairs

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.pairs)
        return self._hash

    def __str__(self) -> str:
        return "[" + ", ".join([f"{begin}-{end}" for begin, end in self.pairs]) + "]"

    def __repr__(self) -> str:
        return f"Ranges({self.pairs!r})"


def _coalesced(ascending: Iterable[Pair]) -> tuple[Pair, ...]:
    joined: list[Pair] = []
    for pair in ascending:
        if joined and pair[0] <= joined[-1][1] + 1:
            if pair[1] > joined[-1][1]:
                joined[-1] = (joined[-1][0], pair[1])
        else:
            joined.append(pair)
    return tuple(joined)


def _with_pair(pairs: tuple[Pair, ...], pair: Pair) -> tuple[Pair, ...]:
    """One pair more: found by bisection, since an agent's free ports can be many pairs."""
    begin, end = pair
    first = bisect_left(pairs, (begin, 0))
    if first and pairs[first - 1][1] >= begin - 1:
        first -= 1
    last = bisect_right(pairs, (end + 1, NUMBER_MAX))  # the first pair beyond
    if first < last:
        begin = min(begin, pairs[first][0])
        end = max(end, pairs[last - 1][1])
    return (*pairs[:first], (begin, end), *pairs[last:])


def _without_pair(pairs: tuple[Pair, ...], pair: Pair) -> tuple[Pair, ...]:
    begin, end = pair
    first = bisect_left(pairs, (begin, 0))
    if first and pairs[first - 1][1] >= begin:
        first -= 1
    last = bisect_right(pairs, (end, NUMBER_MAX))
    if first >= last:
        return pairs
    kept: list[Pair] = []
    if pairs[first][0] < begin:
        kept.append((pairs[first][0], begin - 1))
    if pairs[last - 1][1] > end:
        kept.append((end + 1, pairs[last - 1][1]))
    return (*pairs[:first], *kept, *pairs[last:])


def _difference(left: tuple[Pair, ...], right: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """Both walked once, side by side."""
    kept: list[Pair] = []
    at = 0
    for begin, end in left:
        while at < len(right) and right[at][1] < begin:
            at += 1
        cut = at  # a pair of the right may reach into the next pair of the left: `at` stays
        while cut < len(right) and right[cut][0] <= end:
            if right[cut][0] > begin:
                kept.append((begin, right[cut][0] - 1))
            begin = right[cut][1] + 1
            cut += 1
        if begin <= end:
            kept.append((begin, end))
    return tuple(kept)
