"""`tepui run` against a real cluster: output, exit codes, many tasks, and stopping."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from pathlib import Path

import pytest

from tests.cli.up_process import RUN_S_MAX, UpProcess, finished, read_until

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["true"], 0),
        (["exit 7"], 7),
        (["kill -9 $$"], 137),
        (["nosuchprogram"], 127),
        (["--", "nosuchprogram", "x"], 127),
        (["--", "/", "x"], 126),
        (["--user", "nosuchuser", "true"], 125),
        (["--uri", "/no/such/file", "true"], 125),
        (["--timeout", "0.5", "sleep 60"], 124),
    ],
)
def test_exit_code_is_the_commands(cluster: UpProcess, arguments: list[str], code: int) -> None:
    found, out, err = cluster.tepui("run", *arguments)
    assert (found, out) == (code, "")
    assert "Traceback" not in err


def test_stdout_and_stderr_stay_apart(cluster: UpProcess) -> None:
    found = cluster.tepui("run", "--env", "A=b c", "--", "sh", "-c", 'echo "$A"; echo e >&2')
    assert found == (0, "b c\n", "e\n")


def test_output_comes_while_the_task_runs(cluster: UpProcess) -> None:
    run = cluster.start("run", "echo first; sleep 600")
    read_until(run, b"first\n")
    run.send_signal(signal.SIGINT)
    code, out, err = finished(run)
    assert (code, out) == (130, "")
    assert "killing 1 task; once more to leave at once" in err


def test_twenty_megabytes_arrive_whole(cluster: UpProcess) -> None:
    _, out, err = cluster.tepui("run", "seq 1 100000000 | head -c 20000000")
    assert err == ""
    expected = "".join(f"{number}\n" for number in range(1, 2_700_000))[:20_000_000]
    assert hashlib.sha256(out.encode()).digest() == hashlib.sha256(expected.encode()).digest()


def test_fifty_instances_run_each_once(cluster: UpProcess) -> None:
    code, out, err = cluster.tepui("run", "--instances", "50", "echo $TEPUI_INSTANCE")
    assert code == 0
    assert sorted(map(int, out.split())) == list(range(1, 51))
    assert "50 finished" in err


def test_more_tasks_than_fit_run_one_after_the_other(cluster: UpProcess) -> None:
    code, out, _ = cluster.tepui("run", "--instances", "20", "--cpus", "3", "echo done")
    assert (code, out) == (0, "done\n" * 20)


def test_each_line_of_a_file_is_a_task_and_failures_are_named(
    cluster: UpProcess, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.txt"
    path.write_text("# three\necho one\n\necho two; exit 3\nexit 2\n")
    code, out, err = cluster.tepui("run", "--file", str(path))
    assert code == 3
    assert sorted(out.splitlines()) == ["one", "two"]
    assert "-2: exit code 3" in err
    assert "-3: exit code 2" in err
    assert "3 tasks in" in err
    assert "1 finished, 2 failed" in err


def test_stopping_kills_the_tasks_and_starts_no_more(cluster: UpProcess) -> None:
    run = cluster.start("run", "--instances", "4", "--cpus", "3", "--name", "stopped", "sleep 600")
    wait_for_running(cluster, "run stopped", 2)
    run.send_signal(signal.SIGTERM)
    code, _, err = finished(run)
    assert code == 143
    assert "killing 2 tasks" in err
    assert "2 killed, 2 not started" in err
    assert running(cluster, "run stopped") == []


def test_second_interrupt_leaves_at_once(cluster: UpProcess) -> None:
    run = cluster.start("run", "trap '' TERM; echo begun; sleep 600; sleep 600")
    read_until(run, b"begun")
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGINT)  # may be merged with the first
    assert run.stderr is not None
    run.stderr.readline()
    run.send_signal(signal.SIGINT)
    assert finished(run)[0] == 130


def test_task_that_no_machine_can_hold_says_so_at_once_and_waits(cluster: UpProcess) -> None:
    run = cluster.start("run", "--cpus", "1000", "true")
    assert run.stderr is not None
    line = run.stderr.readline().decode()
    assert line == "tepui run: waiting: each task asks for 1000 cpus, the largest agent has 4\n"
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    assert finished(run)[0] == 130


def test_master_says_why_a_task_waits(cluster: UpProcess) -> None:
    busy = cluster.start("run", "--instances", "2", "--cpus", "3", "--name", "busy", "sleep 600")
    wait_for_running(cluster, "run busy", 2)
    code, _, err = cluster.tepui("run", "--cpus", "3", "--timeout", "4", "true")
    busy.terminate()
    finished(busy)
    assert code == 124
    assert "gets no offers with cpus:3; mem:32" in err
    assert "role *: 2 agents, 0 can be offered" in err


def test_constraint_that_no_machine_meets_is_said(cluster: UpProcess) -> None:
    code, _, err = cluster.tepui("run", "--constraint", "rack=r9", "--timeout", "4", "true")
    assert code == 124
    assert "only machines with rack=r9 are taken" in err


def running(cluster: UpProcess, framework: str) -> list[str]:
    """The ids of a framework's tasks that run now."""
    _, out, _ = cluster.tepui("task", "ls", "--json")
    rows = json.loads(out)
    return [r["id"] for r in rows if r["framework"] == framework and r["state"] == "RUNNING"]


def wait_for_running(cluster: UpProcess, framework: str, count: int) -> None:
    """Return when so many of a framework's tasks run."""
    deadline = time.monotonic() + RUN_S_MAX
    while len(running(cluster, framework)) < count:
        assert time.monotonic() < deadline
