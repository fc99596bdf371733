"""The metrics of the agent, computed from its state. Names and meanings are those of Mesos.

Source: Mesos docs/monitoring.md; recorded answers.
"""

from __future__ import annotations

from tepui.agent.core.state import NOT_STARTED, Executor, Phase, State
from tepui.resources import Resources
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES

RESOURCES = ("cpus", "disk", "gpus", "mem")
LIVING_STATES = ("killing", "running", "staging", "starting")
ENDS = ("failed", "finished", "gone", "killed", "lost")


def metrics_of(state: State, now_ms: int) -> dict[str, float]:
    """Every metric by its name."""
    counters = state.counters
    values = {
        "containerizer/fetcher/task_fetches_failed": counters.fetches_failed,
        "containerizer/fetcher/task_fetches_succeeded": counters.fetches_succeeded,
        "gc/path_removals_failed": 0,
        "gc/path_removals_pending": len(state.sandboxes),
        "gc/path_removals_succeeded": counters.sandboxes_removed,
        "slave/container_launch_errors": counters.container_launch_errors,
        "slave/executor_directory_max_allowed_age_secs": _sandbox_age_ms(state) / 1000,
        "slave/executors_preempted": 0,
        "slave/executors_terminated": counters.executors_terminated,
        "slave/frameworks_active": len(state.frameworks),
        "slave/invalid_framework_messages": counters.invalid_framework_messages,
        "slave/invalid_status_updates": counters.invalid_status_updates,
        "slave/recovery_errors": 0,
        "slave/registered": int(state.registered),
        "slave/uptime_secs": (now_ms - state.started_ms) / 1000,
        "slave/valid_framework_messages": counters.valid_framework_messages,
        "slave/valid_status_updates": counters.valid_status_updates,
    }
    floats = {name: float(value) for name, value in values.items()}
    return floats | _executors(state) | _tasks(state) | _resources(state)


def _sandbox_age_ms(state: State) -> int:
    return state.settings.gc_delay_ms if state.sandbox_age_ms is None else state.sandbox_age_ms


def _executors(state: State) -> dict[str, float]:
    def count(*phases: Phase) -> float:
        return float(sum(one.phase in phases for one in state.containers.values()))

    waiting = (*NOT_STARTED, Phase.REGISTERING)
    return {
        "slave/executors_registering": count(*waiting),
        "slave/executors_running": count(Phase.RUNNING),
        "slave/executors_terminating": count(Phase.TERMINATING),
    }


def _tasks(state: State) -> dict[str, float]:
    living = dict.fromkeys(LIVING_STATES, 0.0)
    for framework in state.frameworks.values():
        for task in framework.tasks.values():
            if task.state not in TERMINAL_STATES:
                name = task.state.name.removeprefix("TASK_").lower()
                living[name] = living.get(name, 0.0) + 1
    over = state.counters.terminal_tasks
    terminal = {name: float(over.get(mesos.TaskState[f"TASK_{name.upper()}"], 0)) for name in ENDS}
    return {f"slave/tasks_{name}": count for name, count in (living | terminal).items()}


def _resources(state: State) -> dict[str, float]:
    total = Resources.of(state.info.resources)
    used = Resources.total(_parts_used(state))
    values: dict[str, float] = {}
    for name in RESOURCES:
        for infix, all_of_it, used_of_it in (
            ("", total.nonrevocable(), used.nonrevocable()),
            ("_revocable", total.revocable(), used.revocable()),
        ):
            have, taken = all_of_it.scalar(name) / 1000, used_of_it.scalar(name) / 1000
            values[f"slave/{name}{infix}_total"] = have
            values[f"slave/{name}{infix}_used"] = taken
            values[f"slave/{name}{infix}_percent"] = taken / have if have else 0.0
    return values


def _parts_used(state: State) -> list[Resources]:
    parts: list[Resources] = []
    for executor in state.containers.values():
        parts.append(Resources.of(executor.info.resources))
        parts += _tasks_of(state, executor)
    return parts


def _tasks_of(state: State, executor: Executor) -> list[Resources]:
    tasks = state.frameworks[executor.framework_id].tasks
    running = [tasks[task_id] for task_id in executor.tasks]
    return [Resources.of(one.info.resources) for one in running if one.state not in TERMINAL_STATES]
