"""What the rules for launches know beside the task."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, field

from tepui.resources import Resources
from tepui.wire import mesos


def _nothing_runs(executor_id: str) -> Iterable[mesos.ContainerInfo | None]:
    return ()


def _never(task_id: str) -> bool:
    return False


class LaunchContext(Struct):
    """One framework, the agent of its accepted offers, and what is left of them.

    Made for one ACCEPT, and kept up to date from task to task.

    - `role`: the role of the offers;
    - `offered`: less what earlier tasks of the same ACCEPT have taken;
    - `task_known`, `task_unreachable`: whether the framework has such a task, earlier ones of the
      same ACCEPT included;
    - `executors`: the framework's executors on the agent, earlier ones of the same ACCEPT included;
    - `containers`: the containers of the tasks of an executor, for the one rule of task groups
      that compares with them.
    """

    framework_id: str
    agent_id: str
    role: str
    offered: Resources
    task_known: Callable[[str], bool]
    task_unreachable: Callable[[str], bool] = _never
    executors: dict[str, mesos.ExecutorInfo] = field(default_factory=dict)
    containers: Callable[[str], Iterable[mesos.ContainerInfo | None]] = _nothing_runs
