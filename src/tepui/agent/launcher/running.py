"""What is asked of containers that run: signals, terminals, new limits, what they use."""

from __future__ import annotations

import os

from . import tree
from .request import Fault

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from .container import Container
    from .frames import Message
    from .limits import Limits
    from .population import Population


def send(population: Population, container: Container, number: int) -> None:
    """Send signal `number` to every process of the container. Raises Fault."""
    try:
        if container.cgroup is None:
            tree.send(population.members(container), number)
            return
        for pid in container.cgroup.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
    except (OSError, ValueError) as error:
        subject = f"'{container.container_id}'"
        raise Fault(f"send signal {number} to", subject, str(error)) from None


def terminal_of(container: Container) -> int:
    """Return the descriptor of the side on which one types; it stays the container's. Raises Fault."""
    if container.terminal is None:
        raise Fault("find the terminal of", f"'{container.container_id}'", "it has none")
    return container.terminal.master_fd


def update(container: Container, asked: Limits) -> Message:
    """Set new limits; the answer's notes tell which stayed as they were."""
    container.cpus_milli = asked.cpus_milli or container.cpus_milli
    container.mem_bytes = max(0, asked.mem_bytes or container.mem_bytes)
    return {"notes": container.cgroup.limit(asked) if container.cgroup is not None else []}


def usage(population: Population, container: Container) -> Message:
    """Return what the container uses now: as its cgroups count, else as its processes add up."""
    cgroup = container.cgroup
    cpu = cgroup.cpu_seconds() if cgroup is not None else None
    rss = cgroup.rss_bytes() if cgroup is not None else None
    if cgroup is not None and cpu is not None and rss is not None:
        processes, threads = len(cgroup.pids()), cgroup.threads()
    else:
        members = population.members(container)
        processes, threads = len(members), sum(one.threads for one in members)
        if cpu is None:
            user = sum(one.user_ticks for one in members)
            system = sum(one.system_ticks for one in members)
            cpu = user / tree.CLOCK_TICKS, system / tree.CLOCK_TICKS
        if rss is None:
            rss = sum(one.rss_bytes for one in members)
    limit = cgroup.mem_limit_bytes if cgroup is not None else 0
    return {
        "cpu_user_ms": round(cpu[0] * 1000),
        "cpu_system_ms": round(cpu[1] * 1000),
        "mem_rss_bytes": rss,
        "processes": processes,
        "threads": threads,
        "cpus_limit_milli": container.cpus_milli,
        "mem_limit_bytes": limit or container.mem_bytes,
    }
