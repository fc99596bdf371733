"""Checks and health checks of command tasks."""

from __future__ import annotations

import signal

import pytest

from tepui.agent.core import events
from tepui.agent.core.actions import (
    AbandonCheck,
    Action,
    CommandProbe,
    HttpProbe,
    RunCheck,
    SignalContainer,
    TcpProbe,
)
from tepui.agent.core.durations import SECONDS_MAX
from tepui.wire import link, mesos
from tests.agent.core.cluster import Agent, states, statuses, task_info

HEALTH = mesos.TaskStatus.Reason.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
CHECK = mesos.TaskStatus.Reason.REASON_TASK_CHECK_STATUS_UPDATED
GOOD, BAD = events.CommandExited(0), events.CommandExited(1 << 8)


def health_check(**changes: float) -> mesos.HealthCheck:
    settings = {
        "delay_seconds": 0.0,
        "interval_seconds": 0.5,
        "timeout_seconds": 5.0,
        "grace_period_seconds": 0.0,
        "consecutive_failures": 2,
    }
    settings.update(changes)
    return mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND,
        command=mesos.CommandInfo(value="test"),
        **settings,  # type: ignore[arg-type]  # an integer among floats
    )


class Checked:
    """A running task whose updates are all acknowledged at once."""

    def __init__(self, task: mesos.TaskInfo) -> None:
        self.agent = Agent()
        self.container = self.agent.run(task)
        self.came: list[mesos.TaskStatus] = []
        self.todo: list[RunCheck] = []
        for one in self.agent.state.frameworks["F"].tasks["t"].pending.copy():
            assert one.uuid is not None
            self.keep(self.agent.hear(link.AcknowledgeUpdate("F", "t", one.uuid)))
        self.came.clear()

    def keep(self, done: list[Action]) -> list[Action]:
        """Acknowledge the updates among the actions, and all that come then."""
        every = list(done)
        while found := statuses(done):
            self.came += found
            done = self.agent.acknowledge(done)
            every += done
        self.todo += [one for one in every if isinstance(one, RunCheck)]
        return every

    def next_check(self, within_ms: int) -> RunCheck:
        """The one check that is due within the time."""
        self.keep(self.agent.advance(within_ms))
        return self.todo.pop()

    def finish(self, run: RunCheck, outcome: events.Outcome) -> list[Action]:
        return self.keep(self.agent.put(events.CheckFinished(run.check_id, outcome)))


def test_defaults_are_those_of_mesos() -> None:
    check = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND, command=mesos.CommandInfo(value="x")
    )
    task = Checked(task_info(health_check=check))
    assert task.agent.advance(14_999) == []
    run = task.next_check(1)
    assert run.timeout_ms == 20_000
    task.finish(run, GOOD)
    assert task.agent.advance(9_999) == []
    task.next_check(1)


def test_a_command_is_probed_with_the_environment_of_the_task() -> None:
    variables = (mesos.Environment.Variable(name="A", value="1"),)
    check = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND,
        delay_seconds=0.0,
        command=mesos.CommandInfo(value="test", environment=mesos.Environment(variables=variables)),
    )
    task = Checked(task_info(health_check=check))
    probe = task.next_check(0).probe
    assert isinstance(probe, CommandProbe)
    assert probe.beside == task.container
    assert probe.directory.endswith(task.container)
    assert probe.environment["A"] == "1"
    assert probe.environment["MESOS_EXECUTOR_ID"] == "t"
    assert probe.container_id != task.container


def test_the_first_success_is_told_and_the_next_is_not() -> None:
    task = Checked(task_info(health_check=health_check()))
    task.finish(task.next_check(0), GOOD)
    task.finish(task.next_check(500), GOOD)
    (status,) = task.came
    assert (status.state.name, status.healthy, status.reason) == ("TASK_RUNNING", True, HEALTH)


def test_every_failure_is_told_and_too_many_kill_the_task() -> None:
    task = Checked(task_info(health_check=health_check()))
    task.finish(task.next_check(0), BAD)
    done = task.finish(task.next_check(500), BAD)
    assert SignalContainer(task.container, signal.SIGTERM) in done
    assert [one.healthy for one in task.came] == [False, False]
    task.keep(task.agent.put(events.ContainerExited(task.container, signal.SIGTERM)))
    end = task.came[-1]
    assert (end.state.name, end.healthy, end.reason) == ("TASK_KILLED", False, None)
    assert end.message == "Command terminated with signal Terminated"


def test_a_success_after_failures_is_told_and_forgives_them() -> None:
    task = Checked(task_info(health_check=health_check()))
    for outcome in (GOOD, BAD, GOOD, BAD):
        task.finish(task.next_check(500), outcome)
    assert [one.healthy for one in task.came] == [True, False, True, False]


def test_failures_of_a_task_that_is_starting_up_do_not_count_for_a_while() -> None:
    task = Checked(task_info(health_check=health_check(grace_period_seconds=1.0)))
    task.finish(task.next_check(0), BAD)
    task.finish(task.next_check(500), BAD)
    task.finish(task.next_check(500), BAD)  # the last moment of grace
    assert task.came == []
    task.finish(task.next_check(500), BAD)
    assert [one.healthy for one in task.came] == [False]


def test_the_grace_is_over_with_the_first_success() -> None:
    task = Checked(task_info(health_check=health_check(grace_period_seconds=60.0)))
    task.finish(task.next_check(0), GOOD)
    task.finish(task.next_check(500), BAD)
    assert [one.healthy for one in task.came] == [True, False]


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [
        (events.HttpAnswered(200), True),
        (events.HttpAnswered(399), True),
        (events.HttpAnswered(400), False),
        (events.HttpAnswered(199), False),
        (events.TcpTried(True), True),
        (events.TcpTried(False), False),
        (events.CheckFailed("timed out"), False),
        (events.CommandExited(signal.SIGKILL), False),
    ],
)
def test_what_counts_as_healthy(outcome: events.Outcome, healthy: bool) -> None:
    task = Checked(task_info(health_check=health_check()))
    task.finish(task.next_check(0), outcome)
    assert [one.healthy for one in task.came] == [healthy]


def test_web_and_tcp_checks_ask_this_machine() -> None:
    kind = mesos.HealthCheck
    http = kind(
        type=kind.Type.HTTP,
        delay_seconds=0.0,
        http=kind.HTTPCheckInfo(port=8080, path="/healthz", scheme="https"),
    )
    assert Checked(task_info(health_check=http)).next_check(0).probe == HttpProbe(
        "https://127.0.0.1:8080/healthz"
    )
    six = mesos.NetworkInfo.Protocol.IPv6
    tcp = kind(type=kind.Type.TCP, delay_seconds=0.0, tcp=kind.TCPCheckInfo(port=1, protocol=six))
    assert Checked(task_info(health_check=tcp)).next_check(0).probe == TcpProbe("::1", 1)


def command_check() -> mesos.CheckInfo:
    command = mesos.CheckInfo.Command(command=mesos.CommandInfo(value="exit 5"))
    return mesos.CheckInfo(
        type=mesos.CheckInfo.Type.COMMAND,
        command=command,
        delay_seconds=0.0,
        interval_seconds=0.5,
    )


def test_every_status_of_a_checked_task_has_a_check_status() -> None:
    agent = Agent()
    container = agent.run(task_info(check_info=command_check()))
    agent.put(events.ContainerExited(container, 0))
    came = agent.acknowledge_all(agent.advance(10_000))
    empty = mesos.CheckStatusInfo(
        type=mesos.CheckInfo.Type.COMMAND, command=mesos.CheckStatusInfo.Command()
    )
    assert [one.check_status for one in came] == [empty] * 3


def test_a_result_is_told_when_it_is_another_one() -> None:
    task = Checked(task_info(check_info=command_check()))
    for code in (5, 5, 0):
        task.finish(task.next_check(500), events.CommandExited(code << 8))
    task.finish(task.next_check(500), events.CheckFailed("timed out"))
    results = [one.check_status.command for one in task.came if one.check_status is not None]
    assert [one.exit_code for one in results if one is not None] == [5, 0, None]
    assert {one.reason for one in task.came} == {CHECK}
    assert states(task.came) == ["TASK_RUNNING"] * 3


def test_a_tcp_check_tells_whether_it_connected() -> None:
    check = mesos.CheckInfo(
        type=mesos.CheckInfo.Type.TCP, tcp=mesos.CheckInfo.Tcp(port=31999), delay_seconds=0.0
    )
    task = Checked(task_info(check_info=check))
    run = task.next_check(0)
    assert run.probe == TcpProbe("127.0.0.1", 31999)
    task.finish(run, events.TcpTried(False))
    (status,) = task.came
    assert status.check_status == mesos.CheckStatusInfo(
        type=mesos.CheckInfo.Type.TCP, tcp=mesos.CheckStatusInfo.Tcp(succeeded=False)
    )


def test_a_task_that_is_killed_is_not_checked_any_more() -> None:
    task = Checked(task_info(health_check=health_check()))
    run = task.next_check(0)
    done = task.agent.hear(link.KillTask("F", "t", None))
    assert done == [AbandonCheck(run.check_id), SignalContainer(task.container, signal.SIGTERM)]
    assert task.agent.put(events.CheckFinished(run.check_id, BAD)) == []
    assert not [one for one in task.agent.advance(2_000) if isinstance(one, RunCheck)]


def test_a_probe_does_not_outlive_its_task() -> None:
    task = Checked(task_info(health_check=health_check(), check_info=command_check()))
    task.keep(task.agent.advance(0))
    runs = task.todo
    assert len(runs) == 2
    done = task.agent.put(events.ContainerExited(task.container, 0))
    assert done[:2] == [AbandonCheck(run.check_id) for run in runs]
    assert statuses(task.agent.advance(0)) == []
    assert task.agent.state.checks == {}


@pytest.mark.parametrize("seconds", [float("inf"), 1.7e308])
def test_a_check_that_is_never_due_is_taken_as_it_is(seconds: float) -> None:
    checked = Checked(task_info(health_check=health_check(delay_seconds=seconds)))
    assert checked.agent.state.timers.next_ms() is not None
    timeless = health_check(interval_seconds=seconds, timeout_seconds=seconds)
    checked = Checked(task_info(health_check=timeless))
    run = checked.next_check(0)
    assert run.timeout_ms == SECONDS_MAX * 1000
    checked.finish(run, GOOD)
    checked.keep(checked.agent.advance(50_000))
    assert not checked.todo
