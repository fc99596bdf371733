"""What the containers use: read by the agent itself from their cgroups, and asked for where there are none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tepui.agent.containers.runtimes import Runtimes
from tepui.agent.containers.spec import Usage
from tepui.agent.containers.usage.reading import Sampler, places_in
from tepui.agent.containers.usage.statistics import statistics_of
from tepui.agent.containers.usage.used import Reading
from tepui.agent.core.actions import NO_LIMITS, Limits
from tepui.agent.daemon.disk_usage import DiskUsage
from tepui.agent.launcher.cgroups import Layout
from tepui.base.errors import HostError
from tepui.wire import mesos

READ_AT_ONCE: Final = 50  # containers; half a millisecond
RATE_S_MIN: Final = 1.0  # over less, how much cpu is used says little
FAULTS: Final = (HostError, OSError)
SUMMED: Final = ("cpu_user_us", "cpu_system_us", "mem_total_bytes", "mem_anon_bytes", "threads")


class Sample(Struct, frozen=True):
    """What the containers used at one time, by id."""

    at_s: float  # since 1970
    readings: Mapping[str, Reading]


class ContainerUsage:
    """Reads when somebody asks. All who ask at once are given the same.

    `layout` says where the cgroups are that the launcher makes below `root`; None: it makes none.
    """

    def __init__(
        self,
        runtime: Runtimes,
        disk: DiskUsage,
        layout: Layout | None,
        root: str,
        sampler: Sampler | None = None,
    ) -> None:
        self._runtime = runtime
        self._disk = disk
        self._layout = layout
        self._root = root
        self._sampler = sampler or Sampler()
        self._known: set[str] = set()  # containers whose cgroups were looked for
        self._under_way: asyncio.Task[Sample] | None = None
        self._base: tuple[float, Mapping[str, int]] | None = None  # cpu time of each, at a time
        self._cpus = 0.0

    def forget(self, container_id: str) -> None:
        """The container is gone; unknown ones are no error."""
        if container_id in self._known:
            self._known.discard(container_id)
            self._sampler.unwatch(container_id)

    def close(self) -> None:
        """Nothing is read any more."""
        self._known.clear()
        self._sampler.close()

    async def sample(self, names: Iterable[str], network_pid: Callable[[str], int]) -> Sample:
        """What these containers use, as far as that can be said.

        `network_pid` names a process in a container's network; 0: it has the host's.
        """
        if self._under_way is None:
            self._under_way = asyncio.ensure_future(self._sample(tuple(names), network_pid))
            self._under_way.add_done_callback(self._sampled)
        return await asyncio.shield(self._under_way)

    def statistics(
        self, sample: Sample, limits: Mapping[str, Limits]
    ) -> dict[str, mesos.ResourceStatistics]:
        """The sample as Mesos's messages. A container's processes are also those of the ones in it.

        One that shares the limits of the container around it has none of its own.
        """
        processes = _with_those_within(
            {name: one.processes for name, one in sample.readings.items()}
        )
        found: dict[str, mesos.ResourceStatistics] = {}
        for name, reading in sample.readings.items():
            own = limits.get(name)
            found[name] = statistics_of(
                replace(reading, processes=processes[name]),
                None if own == NO_LIMITS else own,
                sample.at_s,
                self._disk.held_bytes(name),
            )
        return found

    def metrics(self, sample: Sample, top: Iterable[str]) -> dict[str, float]:
        """Sums over all containers. `top` are those in no other, whose use has that of those in them."""
        names = list(top)
        readings = [sample.readings[name] for name in names if name in sample.readings]
        network = [one.network for one in readings if one.network is not None]
        return {
            "containers/running": float(len(sample.readings)),
            "containers/cpus_used": self._cpus_used(sample, names),
            "containers/mem_used_bytes": _sum(one.mem_total_bytes for one in readings),
            "containers/mem_rss_bytes": _sum(one.mem_anon_bytes for one in readings),
            "containers/processes": _sum(one.processes for one in sample.readings.values()),
            "containers/threads": _sum(one.threads for one in readings),
            "containers/disk_used_bytes": _sum(self._disk.held_bytes(name) for name in names),
            "containers/net_rx_bytes": _sum(one.rx_bytes for one in network),
            "containers/net_tx_bytes": _sum(one.tx_bytes for one in network),
        }

    def _cpus_used(self, sample: Sample, names: Iterable[str]) -> float:
        """How many cpus were busy with them, over the last second and more."""
        now = {
            name: (one.cpu_user_us or 0) + (one.cpu_system_us or 0)
            for name in names
            if (one := sample.readings.get(name)) is not None
        }
        if self._base is None:
            self._base = (sample.at_s, now)
        began_s, before = self._base
        passed_s = sample.at_s - began_s
        if passed_s >= RATE_S_MIN:
            used_us = sum(max(0, us - before.get(name, 0)) for name, us in now.items())
            self._cpus = used_us / 1_000_000 / passed_s
            self._base = (sample.at_s, now)
        return self._cpus

    async def _sample(self, names: tuple[str, ...], network_pid: Callable[[str], int]) -> Sample:
        found: dict[str, Reading] = {}
        others: list[str] = []
        for at, name in enumerate(names):
            if at % READ_AT_ONCE == READ_AT_ONCE - 1:
                await asyncio.sleep(0)
            reading = self._read(name, network_pid(name))
            if reading is None:
                others.append(name)
            else:
                found[name] = reading
        asked = await asyncio.gather(*(self._ask(name) for name in others))
        told = {name: one for name, one in zip(others, asked, strict=True) if one is not None}
        found.update(_summed(told))
        return Sample(time.time(), found)

    def _sampled(self, _: asyncio.Task[Sample]) -> None:
        self._under_way = None

    def _read(self, name: str, network_pid: int) -> Reading | None:
        if self._layout is None or self._runtime.is_of_docker(name):
            return None
        if name not in self._known:
            self._known.add(name)
            self._sampler.watch(name, places_in(self._layout, self._root, lineage_of(name)))
        return self._sampler.read(name, network_pid)

    async def _ask(self, name: str) -> Reading | None:
        try:
            return reading_of(await self._runtime.usage(name))
        except FAULTS:
            return None  # it is gone by now


def lineage_of(container_id: str) -> tuple[str, ...]:
    """The ids of the containers that it lives in, and its own: 'a', 'a.b', 'a.b.c'."""
    parts = container_id.split(".")
    return tuple(".".join(parts[: count + 1]) for count in range(len(parts)))


def reading_of(usage: Usage) -> Reading:
    """What a runtime says by itself, as a reading."""
    return Reading(
        cpu_user_us=usage.cpu_user_ms * 1_000,
        cpu_system_us=usage.cpu_system_ms * 1_000,
        mem_total_bytes=usage.mem_rss_bytes,
        mem_limit_bytes=usage.mem_limit_bytes or None,
        mem_anon_bytes=usage.mem_rss_bytes,
        processes=usage.processes,
        threads=usage.threads,
    )


def _summed(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """What runtimes say of each container alone, with what those in it use, as cgroups count it.

    How many processes there are stays without those.
    """
    sums = {
        field: _with_those_within({name: getattr(one, field) for name, one in readings.items()})
        for field in SUMMED
    }
    return {
        name: replace(one, **{field: sums[field][name] for field in SUMMED})
        for name, one in readings.items()
    }


def _with_those_within(numbers: Mapping[str, int | None]) -> dict[str, int | None]:
    """Each number with those of the containers within its own."""
    found = dict(numbers)
    for name, number in numbers.items():
        for around in lineage_of(name)[:-1]:
            if around in found and number is not None:
                found[around] = (found[around] or 0) + number
    return found


def _sum(numbers: Iterable[int | None]) -> float:
    return float(sum(number or 0 for number in numbers))
