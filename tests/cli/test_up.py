"""`tepui up` with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tepui.cli.ports import free_range
from tests.cli.up_process import TEPUI, UpProcess, finished, read_until
from tests.real.ordinary_user import NOBODY, give_to_nobody, start_as_nobody

StartUp = Callable[..., UpProcess]
pytestmark = pytest.mark.real


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended; a process that took a pid over is not the same."""
    return not [one for one in processes if one.is_running() and one.status() != "zombie"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_a_cluster_with_tasks_ends(
    start_up: StartUp, tmp_path: Path, number: signal.Signals
) -> None:
    up = start_up(tmp_path, 2)
    task = up.start("run", "--", "sh", "-c", "setsid sleep 987 & echo begun; sleep 987")
    read_until(task, b"begun")
    processes = up.descendants()
    names = [" ".join(process.cmdline()) for process in processes]
    assert sum("tepui.cli.main agent" in name for name in names) == 2
    assert sum(name == "sleep 987" for name in names) == 2  # all that a task starts is ours
    assert up.end(number) == (0, "ending the cluster\n")
    assert gone(processes)
    task.kill()
    task.communicate()


def test_it_says_where_it_is_and_what_to_try(start_up: StartUp, tmp_path: Path) -> None:
    up = start_up(tmp_path, 1)
    assert f"http://{up.master} with 1 agent\n" in up.welcome
    assert f"export TEPUI_MASTER={up.master}" in up.welcome
    assert str(tmp_path) in up.welcome
    assert {path.name for path in tmp_path.iterdir()} >= {"master.log", "agent-1.log", "agent-1"}
    up.end()


def test_a_process_that_ends_by_itself_is_named_and_ends_the_rest(
    start_up: StartUp, tmp_path: Path
) -> None:
    up = start_up(tmp_path, 2)
    processes = up.descendants()
    (victim,) = [p for p in processes if p.cmdline()[-1] == f"--work_dir={tmp_path}/agent-2"]
    victim.kill()
    code, err = up.ended()
    assert code == 1
    assert "agent-2 was ended by signal SIGKILL; its log ends with:" in err
    assert gone(processes)


def test_port_that_is_taken_is_named(start_up: StartUp, tmp_path: Path) -> None:
    up = start_up(tmp_path, 1)
    port = int(up.master.partition(":")[2])
    second = subprocess.Popen(
        [*TEPUI, "up", f"--port={port}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    code, _, err = finished(second)
    assert code == 1
    assert f"{port}, {port + 1} of the ports {port}-{port + 1} are taken" in err
    up.end()


def test_wrong_resources_are_shown_from_the_agents_log(start_up: StartUp, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="agent-1 ended with exit code 1") as caught:
        start_up(tmp_path, 1, "--resources=cpus")
    assert "missing or extra ':'" in str(caught.value)


def test_only_a_directory_of_its_own_is_emptied(start_up: StartUp, tmp_path: Path) -> None:
    kept = tmp_path / "agent-notes"
    kept.write_text("mine")
    up = start_up(tmp_path, 1)
    up.end()
    assert kept.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_any_user_can_have_a_cluster(tmp_path_factory: pytest.TempPathFactory) -> None:
    work_dir = tmp_path_factory.mktemp("nobody")
    give_to_nobody(work_dir)
    port = free_range("127.0.0.1", 45_000, 2)
    up = start_as_nobody([*TEPUI, "up", f"--port={port}", f"--work-dir={work_dir}"])
    try:
        welcome = read_until(up, b"Ctrl-C").decode()
        master = welcome.partition("http://")[2].split()[0]
        run = subprocess.Popen(
            [*TEPUI, "run", "--master", master, "--user", "nobody", "id -u"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert finished(run)[:2] == (0, f"{NOBODY}\n")
    finally:
        up.send_signal(signal.SIGINT)
        code, _, err = finished(up)
    assert (code, err) == (0, "ending the cluster\n")
