"""What a study counts, and the figures that come of it.

Everything is a step function of virtual time: what is in use, what waits. A `Track` has its mean,
its peak and its course in at most `BUCKETS` parts, however long the study is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from tepui.resources.scalars import from_milli

BUCKETS = 240  # parts of a course at most; an even number
BUCKET_MS_MIN = 1_000
FULL = 0.95  # of a resource in use: hardly anything finds room


class Track:
    """A value that changes in steps."""

    __slots__ = ("_area", "_areas", "_began_ms", "_since_ms", "_value", "_width_ms", "peak")

    def __init__(self, now_ms: int) -> None:
        self._began_ms = self._since_ms = now_ms
        self._value = 0.0
        self._width_ms = BUCKET_MS_MIN
        self._areas: list[float] = [0.0]
        self._area = 0.0
        self.peak = 0.0

    @property
    def value(self) -> float:
        """What it is now."""
        return self._value

    def set(self, value: float, now_ms: int) -> None:
        """It is `value` from now on."""
        if now_ms > self._since_ms:
            self._pass(now_ms)
        self._value = value

    def mean(self, now_ms: int) -> float:
        """Its mean since the beginning."""
        self.set(self._value, now_ms)
        span_ms = now_ms - self._began_ms
        return self._area / span_ms if span_ms else self._value

    def course(self, now_ms: int) -> tuple[int, list[float]]:
        """Milliseconds of a part, and the means of the parts; the last may be shorter."""
        self.set(self._value, now_ms)
        span_ms = now_ms - self._began_ms
        means = []
        for index, area in enumerate(self._areas):
            length_ms = min(self._width_ms, span_ms - index * self._width_ms)
            if length_ms > 0:
                means.append(area / length_ms)
        return self._width_ms, means

    def _pass(self, now_ms: int) -> None:
        """Its value has held until now: what it was only within a moment is no peak."""
        value = self._value
        self.peak = max(self.peak, value)
        self._area += value * (now_ms - self._since_ms)
        at_ms = self._since_ms - self._began_ms
        end_ms = now_ms - self._began_ms
        while end_ms > self._width_ms * BUCKETS:
            self._halve()
        while at_ms < end_ms:
            index = at_ms // self._width_ms
            while len(self._areas) <= index:
                self._areas.append(0.0)
            until_ms = min(end_ms, (index + 1) * self._width_ms)
            self._areas[index] += value * (until_ms - at_ms)
            at_ms = until_ms
        self._since_ms = now_ms

    def _halve(self) -> None:
        areas = self._areas
        if len(areas) % 2:
            areas.append(0.0)
        self._areas = [a + b for a, b in zip(areas[::2], areas[1::2], strict=True)]
        self._width_ms *= 2


class Holder:
    """A framework, a role or the whole cluster: what it holds, and its dominant share."""

    __slots__ = ("amounts", "share")

    def __init__(self, now_ms: int) -> None:
        self.amounts: dict[str, int] = {}
        self.share = Track(now_ms)

    def add(self, amounts: Mapping[str, int], sign: int) -> None:
        """It holds `amounts` more, or less."""
        for name, amount in amounts.items():
            self.amounts[name] = self.amounts.get(name, 0) + sign * amount

    def weigh(self, totals: Mapping[str, int], now_ms: int) -> None:
        """Its share of `totals` from now on."""
        share = 0.0
        for name, amount in self.amounts.items():
            if total := totals.get(name):
                share = max(share, amount / total)
        self.share.set(share, now_ms)


class Spell:
    """When something was so, and for how long."""

    __slots__ = ("_since_ms", "first_ms", "longest_ms", "total_ms")

    def __init__(self) -> None:
        self.first_ms: int | None = None
        self.total_ms = 0
        self.longest_ms = 0
        self._since_ms: int | None = None

    def set(self, now_ms: int, *, is_so: bool) -> None:
        """It is so, or not, from now on."""
        if is_so and self._since_ms is None:
            self._since_ms = now_ms
        elif not is_so and self._since_ms is not None:
            self._end(self._since_ms, now_ms)
            self._since_ms = None

    def finish(self, now_ms: int) -> None:
        """The study ends."""
        self.set(now_ms, is_so=False)

    def _end(self, since_ms: int, now_ms: int) -> None:
        if now_ms > since_ms:
            if self.first_ms is None:
                self.first_ms = since_ms
            self.total_ms += now_ms - since_ms
            self.longest_ms = max(self.longest_ms, now_ms - since_ms)


class Books:
    """What is held of the cluster, by whom, from one moment to the next."""

    def __init__(self, frameworks: Mapping[str, str], names: Sequence[str], now_ms: int) -> None:
        """`frameworks` are names with their roles; `names` are the resources that are watched."""
        self._roles = dict(frameworks)
        self.began_ms = now_ms
        self.totals: dict[str, int] = {}
        self.frameworks = {name: Holder(now_ms) for name in frameworks}
        self.roles = {role: Holder(now_ms) for role in sorted(set(frameworks.values()))}
        self.used = {name: Track(now_ms) for name in names}
        self.full = {name: Spell() for name in names}
        self.waiting = {name: Track(now_ms) for name in frameworks}
        self.running = {name: Track(now_ms) for name in frameworks}
        self._amounts: dict[str, int] = dict.fromkeys(names, 0)
        self._touched: set[str] = set()

    def hold(self, framework: str, amounts: Mapping[str, int], sign: int) -> None:
        """The framework holds `amounts` more (`sign` 1), or less (-1)."""
        self.frameworks[framework].add(amounts, sign)
        self.roles[self._roles[framework]].add(amounts, sign)
        for name, amount in amounts.items():
            if name in self._amounts:
                self._amounts[name] += sign * amount
        self._touched.add(framework)

    def settle(self, totals: Mapping[str, int], now_ms: int) -> None:
        """All that happens at this moment has happened; the cluster has `totals` now."""
        if totals != self.totals:
            self.totals = dict(totals)
            self._touched.update(self.frameworks)
        elif not self._touched:
            return
        for framework in self._touched:
            self.frameworks[framework].weigh(totals, now_ms)
        for role in {self._roles[framework] for framework in self._touched}:
            self.roles[role].weigh(totals, now_ms)
        self._touched.clear()
        for name, track in self.used.items():
            total = totals.get(name, 0)
            used = self._amounts[name] / total if total else 0.0
            track.set(used, now_ms)
            self.full[name].set(now_ms, is_so=used >= FULL)


class Waits(Struct, frozen=True):
    """How long tasks waited, in milliseconds. Those that still do count with their time so far:
    then `..._open` says that it is at least so much."""

    p50_ms: int
    p90_ms: int
    max_ms: int
    p50_open: bool = False
    p90_open: bool = False
    max_open: bool = False


class FrameworkResult(Struct, frozen=True, kw_only=True):
    """What became of one framework. Tasks that were lost with their agent began to wait again."""

    name: str
    role: str
    finished: int
    running: int
    waiting: int
    to_come: int  # tasks that had not arrived at the end, of jobs with a count
    lost: int
    waits: Waits | None
    share_mean: float  # dominant share, weighted by time
    share_peak: float


class RoleResult(Struct, frozen=True, kw_only=True):
    """What a role had."""

    name: str
    weight: float
    share_mean: float
    share_peak: float


class ResourceResult(Struct, frozen=True, kw_only=True):
    """How much of a resource was in use."""

    name: str
    total: float  # at the end; MiB of mem and disk
    used_mean: float
    used_peak: float
    full_fraction: float  # of the time in which at least FULL of it was in use
    full_first_ms: int | None
    full_longest_ms: int


class WaitingResult(Struct, frozen=True, kw_only=True):
    """Tasks of a job that waited at the end, and why."""

    framework: str
    job: str
    tasks: int
    longest_ms: int
    summary: str
    lines: tuple[str, ...]


class Course(Struct, frozen=True, kw_only=True):
    """How values went, each as means over parts of `part_ms`."""

    part_ms: int
    used: dict[str, list[float]]
    shares: dict[str, list[float]]  # by framework
    waiting: dict[str, list[float]]
    running: dict[str, list[float]]


class Result(Struct, frozen=True, kw_only=True):
    """All figures of a study. Times are counted from its beginning."""

    span_ms: int
    agents: int  # at the end
    tasks_finished: int
    last_end_ms: int | None  # when the last task that ended did
    frameworks: list[FrameworkResult]
    roles: list[RoleResult]
    resources: list[ResourceResult]
    waiting: list[WaitingResult]
    course: Course
    steps: int  # of the master
    took_s: float = field(default=0.0)

    @property
    def speed(self) -> float:
        """How many times faster than the clock it was."""
        return self.span_ms / 1000 / self.took_s if self.took_s else 0.0


def waits_of(ended: Sequence[int], still: Sequence[int]) -> Waits | None:
    """The percentiles of waits in milliseconds; None without any."""
    every = sorted([(ms, False) for ms in ended] + [(ms, True) for ms in still])
    if not every:
        return None

    def at(percent: int) -> tuple[int, bool]:
        return every[max(0, -(-len(every) * percent // 100) - 1)]

    (p50, p50_open), (p90, p90_open), (most, most_open) = at(50), at(90), at(100)
    return Waits(p50, p90, most, p50_open, p90_open, most_open)


def resources_result(books: Books, now_ms: int) -> list[ResourceResult]:
    """A row for each resource that the cluster has, or had."""
    found = []
    span_ms = max(1, now_ms - books.began_ms)
    for name, track in books.used.items():
        spell = books.full[name]
        spell.finish(now_ms)
        first_ms = spell.first_ms
        found.append(
            ResourceResult(
                name=name,
                total=from_milli(books.totals.get(name, 0)),
                used_mean=track.mean(now_ms),
                used_peak=track.peak,
                full_fraction=spell.total_ms / span_ms,
                full_first_ms=None if first_ms is None else first_ms - books.began_ms,
                full_longest_ms=spell.longest_ms,
            )
        )
    return found


def course_of(books: Books, now_ms: int) -> Course:
    """The courses of all tracks, in equal parts: all began at the same moment."""

    def values(tracks: Mapping[str, Track]) -> dict[str, list[float]]:
        return {name: track.course(now_ms)[1] for name, track in tracks.items()}

    tracks = [*books.used.values(), *books.waiting.values()]
    part_ms = tracks[0].course(now_ms)[0] if tracks else BUCKET_MS_MIN
    shares = {name: holder.share for name, holder in books.frameworks.items()}
    return Course(
        part_ms=part_ms,
        used=values(books.used),
        shares=values(shares),
        waiting=values(books.waiting),
        running=values(books.running),
    )
