"""What a study is about: a cluster and a workload, as they stand in a file.

The words are those of Mesos; docs/simulate.md explains them. What the types cannot say is in
`plan_rules`; `plan_file.plan_of` makes a plan that holds to both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Annotated

from msgspec import Meta, Struct

from tepui.base.durations import parse_duration_ms
from tepui.resources import Resources, parse_attributes, parse_resources
from tepui.resources.scalars import milli
from tepui.wire import mesos

AGENTS_MAX = 20_000
TASKS_MAX = 5_000_000  # of one plan; of jobs without a count, as many may arrive
SPAN_MS_MAX = 10 * 366 * 86_400_000  # of virtual time
PING_MS_MIN = 1_000  # Mesos: MIN_AGENT_PING_TIMEOUT

FOR_EVER = "forever"
UNITS = "ns|us|ms|secs|mins|hrs|days|weeks"
_DURATION = rf"^\s*(\d+(\.\d*)?|\.\d+)\s*({UNITS})\s*$"
_LIFETIME = rf"^({FOR_EVER}|\s*(\d+(\.\d*)?|\.\d+)\s*({UNITS})\s*)$"

Duration = Annotated[str, Meta(pattern=_DURATION)]
Lifetime = Annotated[str, Meta(pattern=_LIFETIME)]
Amount = Annotated[float, Meta(ge=0, le=1e12)]
Count = Annotated[int, Meta(ge=0, le=TASKS_MAX)]
Capability = mesos.FrameworkInfo.Capability.Type


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what stands in the file."""


class Agents(_Part, frozen=True, kw_only=True):
    """So many equal agents; their hostnames are the name and a number."""

    name: Annotated[str, Meta(min_length=1)] = "agent"
    count: Annotated[int, Meta(ge=0, le=AGENTS_MAX)] = 1
    resources: str | dict[str, float]
    attributes: str | dict[str, str] = ""
    hostname: str | None = None  # of the first one, instead


class Uniform(_Part, frozen=True):
    """Any length between the two."""

    min: Duration
    max: Duration


class Exponential(_Part, frozen=True):
    """Many short, few long."""

    mean: Duration


class Lognormal(_Part, frozen=True):
    """Half are shorter than the median; `sigma` is the deviation of the logarithm."""

    median: Duration
    sigma: Annotated[float, Meta(gt=0, le=5)]


class Spread(_Part, frozen=True):
    """How long tasks run; one of these."""

    uniform: Uniform | None = None
    exponential: Exponential | None = None
    lognormal: Lognormal | None = None


class Poisson(_Part, frozen=True):
    """Independent arrivals."""

    per_hour: Annotated[float, Meta(gt=0, le=1e9)]


class Arrival(_Part, frozen=True, kw_only=True):
    """When tasks begin to wait: all at once after `after`, or one of the others from then on.

    At each of the times `at`, the whole count arrives.
    """

    after: Duration = "0secs"
    every: Duration | None = None
    poisson: Poisson | None = None
    at: tuple[Duration, ...] | None = None
    batch: Annotated[int, Meta(ge=1, le=TASKS_MAX)] = (
        1  # so many each time, of `every` and `poisson`
    )


class Job(_Part, frozen=True, kw_only=True):
    """Equal tasks. `hosts` says where the first of them are from the beginning."""

    name: str = ""
    count: Count | None = None  # None: until the end
    cpus: Amount = 0
    mem: Amount = 0
    disk: Amount = 0
    gpus: Amount = 0
    duration: Lifetime | Spread
    arrival: Arrival = Arrival()
    constraints: tuple[tuple[str, ...], ...] = ()  # [rack, IS, r1], [hostname, UNIQUE]
    hosts: dict[str, int] = {}

    @property
    def amounts(self) -> dict[str, int]:
        """What a task needs, in milli-units by name; what is zero is left out."""
        wanted = {"cpus": self.cpus, "mem": self.mem, "disk": self.disk, "gpus": self.gpus}
        return {name: milli(amount) for name, amount in wanted.items() if milli(amount)}

    @property
    def runs_for_ever(self) -> bool:
        """Whether its tasks are services."""
        return self.duration == FOR_EVER


class Framework(_Part, frozen=True, kw_only=True):
    """A framework, in one role, that takes what it can use (see `framework.py`)."""

    name: Annotated[str, Meta(min_length=1)]
    role: str = "*"
    capabilities: tuple[str, ...] = ()
    refuse_seconds: Annotated[float, Meta(ge=1, le=31_536_000)] = 120
    answers_after: Duration = "0secs"  # so long it keeps offers before it answers
    start: Duration = "0secs"  # when it subscribes
    jobs: tuple[Job, ...]


class Happening(_Part, frozen=True, kw_only=True):
    """Agents die, or more of a group join; of any group when none is named."""

    at: Duration
    die: Annotated[int, Meta(ge=1, le=AGENTS_MAX)] | None = None
    join: Annotated[int, Meta(ge=1, le=AGENTS_MAX)] | None = None
    agents: str | None = None


class Master(_Part, frozen=True, kw_only=True):
    """Flags of the master that decide about offers."""

    offer_timeout: Duration | None = None
    agent_ping_timeout: Duration = "15secs"
    max_agent_ping_timeouts: Annotated[int, Meta(ge=1, le=1_000)] = 5
    filter_gpu_resources: bool = True
    min_allocatable_resources: tuple[dict[str, float], ...] | None = None


class Plan(_Part, frozen=True, kw_only=True):
    """A cluster, its workload, and how long to look at it; without `until`, till all has ended."""

    until: Duration | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    master: Master = Master()
    agents: tuple[Agents, ...]
    roles: dict[str, float] = {}
    frameworks: tuple[Framework, ...]
    events: tuple[Happening, ...] = ()

    @property
    def until_ms(self) -> int | None:
        """When the study ends; None: when all has."""
        return None if self.until is None else parse_duration_ms(self.until)


def resources_of(group: Agents) -> Resources:
    """What each agent of the group has. Raises Refused."""
    given = group.resources
    if not isinstance(given, str):
        given = ";".join(f"{name}:{amount:.15g}" for name, amount in given.items())
    return parse_resources(given)


def attributes_of(group: Agents) -> tuple[mesos.Attribute, ...]:
    """The attributes of each agent of the group. Raises Refused."""
    given = group.attributes
    if not isinstance(given, str):
        given = ";".join(f"{name}:{value}" for name, value in given.items())
    return parse_attributes(given)


def lifetime_ms(duration: str | Spread, random: Random) -> int | None:
    """How long one task runs, at least a millisecond; None: for ever."""
    if isinstance(duration, str):
        return None if duration == FOR_EVER else max(1, parse_duration_ms(duration))
    match duration:
        case Spread(uniform=Uniform(min=low, max=high)):
            drawn = random.uniform(parse_duration_ms(low), parse_duration_ms(high))
        case Spread(exponential=Exponential(mean=mean)):
            drawn = random.expovariate(1 / parse_duration_ms(mean))
        case Spread(lognormal=Lognormal(median=median, sigma=sigma)):
            drawn = random.lognormvariate(math.log(parse_duration_ms(median)), sigma)
        case _:
            raise AssertionError(duration)  # plan_rules
    return max(1, min(int(drawn), SPAN_MS_MAX))


def arrivals(job: Job, random: Random, until_ms: int) -> Iterator[tuple[int, int]]:
    """When how many tasks begin to wait, in order; until the count is reached, or the end."""
    arrival = job.arrival
    now_ms = parse_duration_ms(arrival.after)
    if arrival.at is not None:
        for at_ms in sorted(now_ms + parse_duration_ms(one) for one in arrival.at):
            if at_ms <= until_ms:
                yield at_ms, 1 if job.count is None else job.count
        return
    left = TASKS_MAX if job.count is None else job.count
    if arrival.every is None and arrival.poisson is None:
        if left and now_ms <= until_ms:
            yield now_ms, left
        return
    exact_ms = float(now_ms)
    while left > 0:
        if arrival.poisson is not None:
            exact_ms += random.expovariate(arrival.poisson.per_hour / 3_600_000)
        if exact_ms > until_ms:
            return
        yield int(exact_ms), min(left, arrival.batch)
        left -= arrival.batch
        if arrival.every is not None:
            exact_ms += parse_duration_ms(arrival.every)
