"""Checks and health checks of the tasks that the agent runs itself.

A probe follows the one before after an interval. A health check that fails counts, except within
the grace period of a task that never was healthy; every failure is reported, a success when it is
the first or follows a failure. Too many failures in a row end the task. A check's result is
reported when it differs from the one before.

Source: Mesos checks/health_checker.cpp, checks/checker.cpp, launcher/executor.cpp; recorded answers.
"""

from __future__ import annotations

from msgspec import structs

from tepui.agent.core import kills, probes, updates
from tepui.agent.core.actions import RunCheck
from tepui.agent.core.durations import seconds_to_ms
from tepui.agent.core.effects import Effects, note
from tepui.agent.core.events import (
    CheckDue,
    CheckFailed,
    CheckFinished,
    CommandExited,
    HttpAnswered,
    Outcome,
    TcpTried,
)
from tepui.agent.core.reports import empty_status
from tepui.agent.core.state import Executor, Framework, State, Supervision, Task, Watch
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES

PAUSE_MIN_MS = 100  # between two probes of a task, whatever its interval; Mesos has no limit
HTTP_HEALTHY = range(200, 400)  # Mesos: health_checker.cpp

HEALTH_REASON = mesos.TaskStatus.Reason.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
CHECK_REASON = mesos.TaskStatus.Reason.REASON_TASK_CHECK_STATUS_UPDATED


def begin(
    state: State, framework: Framework, task: Task, supervision: Supervision, now_ms: int
) -> None:
    """The first probes are due after their delays."""
    assert supervision.started_ms is not None
    started_ms = supervision.started_ms
    if task.info.health_check is not None:
        is_fresh = not task.statuses or task.statuses[-1].healthy is None
        supervision.health = Watch(started_ms, initializing=is_fresh)
        delay_ms = seconds_to_ms(task.info.health_check.delay_seconds)
        _schedule(state, framework, task, supervision.health, delay_ms, now_ms, health=True)
    if task.info.check is not None:
        supervision.check = Watch(started_ms)
        delay_ms = seconds_to_ms(task.info.check.delay_seconds)
        _schedule(state, framework, task, supervision.check, delay_ms, now_ms, health=False)


def check_due(state: State, event: CheckDue, now_ms: int, step: Effects) -> None:
    found = _find(state, event.framework_id, event.task_id, health=event.health)
    if found is None:
        return
    framework, executor, task, watch = found
    info = task.info.health_check if event.health else task.info.check
    assert info is not None
    watch.timer = None
    watch.check_id = state.next_check_id
    state.next_check_id += 1
    state.checks[watch.check_id] = (framework.id, task.id, event.health)
    probe = (
        probes.of_health_check(state, framework, executor, task, info)
        if isinstance(info, mesos.HealthCheck)
        else probes.of_check(state, framework, executor, task, info)
    )
    timeout_ms = seconds_to_ms(info.timeout_seconds)
    step.then.append(RunCheck(watch.check_id, probe, timeout_ms))


def check_finished(state: State, event: CheckFinished, now_ms: int, step: Effects) -> None:
    key = state.checks.pop(event.check_id, None)
    if key is None:
        return  # it was abandoned
    framework_id, task_id, health = key
    found = _find(state, framework_id, task_id, health=health)
    if found is None:
        return
    framework, executor, task, watch = found
    watch.check_id = None
    if isinstance(event.outcome, CheckFailed):
        note(step, "check_failed", task=task_id, message=event.outcome.message)
    if health:
        assert task.info.health_check is not None
        interval_ms = seconds_to_ms(task.info.health_check.interval_seconds)
        _health_checked(
            state, framework, executor, task, watch, task.info.health_check, event.outcome,
            now_ms, step,
        )  # fmt: skip
    else:
        assert task.info.check is not None
        interval_ms = seconds_to_ms(task.info.check.interval_seconds)
        _checked(state, framework, task, task.info.check, event.outcome, now_ms, step)
    if _find(state, framework_id, task_id, health=health) is not None:  # it was not killed
        pause_ms = max(PAUSE_MIN_MS, interval_ms)
        _schedule(state, framework, task, watch, pause_ms, now_ms, health=health)


def _schedule(
    state: State,
    framework: Framework,
    task: Task,
    watch: Watch,
    delay_ms: int,
    now_ms: int,
    *,
    health: bool,
) -> None:
    due = CheckDue(framework.id, task.id, health)
    watch.timer = state.timers.set(now_ms + delay_ms, due)


def _find(
    state: State, framework_id: str, task_id: str, *, health: bool
) -> tuple[Framework, Executor, Task, Watch] | None:
    task = state.task(framework_id, task_id)
    executor = None if task is None else state.executor(framework_id, task.executor_id)
    if executor is None or task is None or task.supervision is None:
        return None
    watch = task.supervision.health if health else task.supervision.check
    return None if watch is None else (state.frameworks[framework_id], executor, task, watch)


def _health_checked(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    watch: Watch,
    check: mesos.HealthCheck,
    outcome: Outcome,
    now_ms: int,
    step: Effects,
) -> None:
    if _is_healthy(check, outcome):
        is_news = watch.initializing or watch.failures > 0
        watch.initializing, watch.failures = False, 0
        if is_news:
            _tell(state, framework, task, HEALTH_REASON, now_ms, step, healthy=True)
        return
    grace_ms = seconds_to_ms(check.grace_period_seconds)
    if watch.initializing and grace_ms and now_ms - watch.started_ms <= grace_ms:
        return
    watch.failures += 1
    _tell(state, framework, task, HEALTH_REASON, now_ms, step, healthy=False)
    assert task.supervision is not None
    if watch.failures >= check.consecutive_failures and task.supervision.kill is None:
        task.supervision.unhealthy = True
        kills.kill(state, framework, executor, task, None, now_ms, step)


def _checked(
    state: State,
    framework: Framework,
    task: Task,
    check: mesos.CheckInfo,
    outcome: Outcome,
    now_ms: int,
    step: Effects,
) -> None:
    result = empty_status(check)
    match outcome:
        case CommandExited(status=status) if not status & 0x7F:
            command = mesos.CheckStatusInfo.Command(exit_code=status >> 8 & 0xFF)
            result = structs.replace(result, command=command)
        case HttpAnswered(status_code=status_code):
            result = structs.replace(
                result, http=mesos.CheckStatusInfo.Http(status_code=status_code)
            )
        case TcpTried(succeeded=succeeded):
            result = structs.replace(result, tcp=mesos.CheckStatusInfo.Tcp(succeeded=succeeded))
        case _:
            pass  # no result: the status is empty, as Mesos says it
    before = task.statuses[-1].check_status if task.statuses else None
    if result != before:
        _tell(state, framework, task, CHECK_REASON, now_ms, step, check_status=result)


def _tell(
    state: State,
    framework: Framework,
    task: Task,
    reason: mesos.TaskStatus.Reason,
    now_ms: int,
    step: Effects,
    *,
    healthy: bool | None = None,
    check_status: mesos.CheckStatusInfo | None = None,
) -> None:
    """The last status is repeated with what is new (Mesos: executor.cpp, createTaskStatus)."""
    if task.state in TERMINAL_STATES:
        return
    last = task.statuses[-1]
    status = structs.replace(
        last,
        reason=reason,
        timestamp=None,
        uuid=None,
        healthy=last.healthy if healthy is None else healthy,
        check_status=check_status or last.check_status,
    )
    updates.report(state, framework, task, status, now_ms, step)


def _is_healthy(check: mesos.HealthCheck, outcome: Outcome) -> bool:
    match outcome:
        case CommandExited(status=status):
            return status == 0
        case HttpAnswered(status_code=status_code):
            wanted = check.http.statuses if check.http is not None else ()
            return status_code in (wanted or HTTP_HEALTHY)
        case TcpTried(succeeded=succeeded):
            return succeeded
        case CheckFailed():
            return False
