"""Going into tasks: exec with and without a terminal, attach, top, cp, port-forward, on a real cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tepui.cli.exec import exit_code
from tepui.cli.inside import ports_of
from tests.cli.screen import Screen
from tests.cli.up_process import TEPUI, UpProcess, finished, read_until

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def task(cluster: UpProcess) -> Iterator[str]:
    """The id of a task that runs until the tests of this file are over."""
    run = cluster.start("run", "--name", "inside", "echo begun; exec sleep 600")
    read_until(run, b"begun\n")
    code, out, err = cluster.tepui("task", "ls", "--json")
    assert code == 0, err
    (row,) = [row for row in json.loads(out) if row["framework"] == "run inside"]
    yield str(row["id"])
    run.terminate()
    finished(run)


@pytest.mark.real
def test_exec_shows_both_streams_and_ends_with_the_commands_code(
    cluster: UpProcess, task: str
) -> None:
    code, out, err = cluster.tepui(
        "task", "exec", task, "--", "sh", "-c", "echo out; echo err >&2; exit 7"
    )
    assert (code, out, err) == (7, "out\n", "err\n")
    code, _, _ = cluster.tepui("task", "exec", task, "sh", "-c", "kill -9 $$")
    assert code == 128 + signal.SIGKILL
    code, _, err = cluster.tepui("task", "exec", task, "/no/such")
    assert code == 126
    assert "no such file" in err


@pytest.mark.real
def test_shell_on_a_terminal_ends_where_what_is_sent_to_it_ends(
    cluster: UpProcess, task: str
) -> None:
    done = subprocess.run(
        [*TEPUI, "task", "exec", "-it", task, "--", "sh"],
        input=b"(exit 7)\n",
        capture_output=True,
        timeout=DEADLINE_S,
        env=os.environ | {"TEPUI_MASTER": cluster.master},
        check=False,
    )
    assert done.returncode == 7, done


@pytest.mark.real
def test_exec_with_stdin_passes_all_of_it_and_its_end(cluster: UpProcess, task: str) -> None:
    data = os.urandom(3 << 20)
    done = subprocess.run(
        [*TEPUI, "task", "exec", "-i", task, "--", "cat"],
        input=data,
        capture_output=True,
        timeout=DEADLINE_S,
        env=os.environ | {"TEPUI_MASTER": cluster.master},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data


@pytest.mark.real
def test_exec_on_a_terminal_has_its_size_hears_resizes_and_interrupts(
    cluster: UpProcess, task: str
) -> None:
    script = (
        "trap 'stty size; echo resized' WINCH; trap 'echo interrupted; exit 42' INT;"
        " stty size; read line; echo got $line; while :; do sleep 0.05; done"
    )
    words = ("task", "exec", "-it", task, "--", "sh", "-c", script)
    with Screen(cluster.master, *words) as screen:
        assert screen.until(b"\r\n") == b"31 97\r\n"
        screen.type(b"typed\r")
        assert screen.until(b"got typed\r\n")
        screen.resize(40, 120)
        assert b"40 120" in screen.until(b"resized\r\n")
        screen.type(b"\x03")
        screen.until(b"interrupted\r\n")
        assert screen.end() == 42


@pytest.mark.real
def test_interrupted_exec_ends_its_command(cluster: UpProcess, task: str) -> None:
    run = cluster.start("task", "exec", task, "--", "sh", "-c", "echo begun; exec sleep 987")
    read_until(run, b"begun\n")
    run.send_signal(signal.SIGINT)
    code, _, _ = finished(run)
    assert code == 130
    deadline = time.monotonic() + DEADLINE_S
    while "sleep 987" in cluster.tepui("task", "top", "--once", task)[1]:
        assert time.monotonic() < deadline


@pytest.mark.real
def test_top_lists_the_processes_of_the_task(cluster: UpProcess, task: str) -> None:
    code, out, err = cluster.tepui("task", "top", "--once", task)
    assert code == 0, err
    assert out.splitlines()[0].split() == ["PID", "USER", "S", "CPU%", "MEM", "TIME", "COMMAND"]
    assert "sleep 600" in out
    code, out, _ = cluster.tepui("task", "top", "--once", "--json", task)
    assert [row["command"] for row in json.loads(out)] == ["sleep 600"]


@pytest.mark.real
def test_files_and_directories_are_copied_both_ways(
    cluster: UpProcess, task: str, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "file").write_bytes(os.urandom(1 << 20))
    (tree / "tool").write_text("#!/bin/sh\n")
    (tree / "tool").chmod(0o755)
    code, _, err = cluster.tepui("task", "cp", str(tree), f"{task}:copied")
    assert code == 0, err
    back = tmp_path / "back"
    code, _, err = cluster.tepui("task", "cp", f"{task}:copied", str(back))
    assert code == 0, err
    assert (back / "below/file").read_bytes() == (tree / "below/file").read_bytes()
    assert (back / "tool").stat().st_mode & 0o777 == 0o755
    code, _, err = cluster.tepui("task", "cp", f"{task}:stdout", str(tmp_path))
    assert code == 0, err
    assert (tmp_path / "stdout").read_text() == "begun\n"
    code, _, err = cluster.tepui("task", "cp", f"{task}:missing", str(tmp_path))
    assert code == 1
    assert "missing" in err
    code, _, err = cluster.tepui("task", "cp", "a", "b")
    assert code == 2


@pytest.mark.real
def test_local_port_leads_to_a_port_of_the_task(cluster: UpProcess, task: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        remote = server.getsockname()[1]
        run = cluster.start("task", "port-forward", task, f"0:{remote}")
        line = read_until(run, b"\n").decode()
        local = int(line.split("127.0.0.1:")[1].split()[0])
        with socket.create_connection(("127.0.0.1", local), DEADLINE_S) as near:
            near.sendall(b"there")
            server.settimeout(DEADLINE_S)
            far, _ = server.accept()
            with far:
                far.settimeout(DEADLINE_S)
                assert far.recv(100) == b"there"
                far.sendall(b"back")
            near.settimeout(DEADLINE_S)
            assert near.recv(100) == b"back"
            assert near.recv(100) == b""
    run.send_signal(signal.SIGINT)
    assert finished(run)[0] == 130


@pytest.mark.real
def test_task_without_terminal_cannot_be_attached_to(cluster: UpProcess, task: str) -> None:
    code, _, err = cluster.tepui("task", "attach", task)
    assert code == 1
    assert "has no terminal to attach to" in err


@pytest.mark.parametrize(
    ("status", "code"), [(0, 0), (3 << 8, 3), (9, 137), (15, 143), (None, 1), (139, 139)]
)
def test_wait_statuses_become_exit_codes(status: int | None, code: int) -> None:
    assert exit_code(status) == code


def test_ports_are_read_and_refused() -> None:
    assert ports_of("80") == (80, 80)
    assert ports_of("8080:80") == (8080, 80)
    assert ports_of("0:65535") == (0, 65_535)
    for bad in ("", "x", "80:", "0", "65536", "65536:80", "1:2:3", "-1"):
        with pytest.raises(click.BadParameter):
            ports_of(bad)
