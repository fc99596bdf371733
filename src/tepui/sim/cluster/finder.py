"""Who leads, as agents and schedulers find it: ZooKeeper tells them, or they try one after the other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from tepui.sim.cluster.node import Process
from tepui.sim.cluster.zookeeper import Ensemble, Watch

Find = Callable[[], str | None]  # the master to try now; None: nobody is known to lead


def finder(
    process: Process,
    masters: tuple[str, ...],
    ensemble: Ensemble[bytes] | None,
    moved: Callable[[str], None],
) -> Find:
    """With an ensemble, `moved` is told whenever another master leads."""
    if ensemble is None:
        names = cycle(masters)
        return lambda: next(names)
    watch = Watch(ensemble, process, moved)
    return lambda: watch.leader
