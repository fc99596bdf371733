"""Going into tasks with the command line: plain processes, containers with an image, Docker's.

Each test leaves no process, cgroup or file of a session behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tepui.wire import mesos
from tests.cli.screen import Screen
from tests.cli.up_process import read_until
from tests.real.cluster import Cluster
from tests.real.conftest import lacks
from tests.real.container_images import WORKER, make_images
from tests.real.container_lab import Lab, Scheduler, container
from tests.real.docker_engine import docker_engine, make_image, why_not
from tests.real.docker_lab import DockerLab, Network
from tests.real.inside_lab import Done, cli, held, pids_of, session_traces, started
from tests.real.ports import free_ports

pytestmark = [pytest.mark.real, pytest.mark.apart]

RESOURCES = "cpus:8;mem:4096;disk:10240;ports:[31000-32000]"
KINDS = ("process", "oci", "docker")
ALL = pytest.mark.parametrize("kind", KINDS)
CONTAINED = pytest.mark.parametrize("kind", KINDS[1:])
DOCKER_OWN = ("USER nobody", "WORKDIR /mnt", 'ENV OWN="of the image"')
MAIN = "echo begun; exec sleep 1000"
SANDBOX = "/mnt/mesos/sandbox"
NOBODY = 65534
GIB = 1 << 30
PIECE_BYTES = 1 << 20
PROMPT = b"ready> "
ANSWERS = "echo hello; while read line; do echo got $line; done; echo over; exit 3"
TTY = mesos.TTYInfo(window_size=mesos.TTYInfo.WindowSize(rows=33, columns=117))
STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A cluster whose agent has all runtimes, as far as this machine has them."""
    if missing := lacks():
        pytest.skip(missing)
    place = tmp_path_factory.mktemp("inside")
    (place / "linked").mkdir()
    images = make_images(place / "images", place / "linked")
    if why_not():
        flags: tuple[str, ...] = ("--containerizers=process,oci",)
        with Cluster(place / "cluster", resources=RESOURCES, agent_flags=flags) as cluster:
            yield Lab(cluster, images)
        return
    with docker_engine(has_networks=True) as engine:
        make_image(engine, "own:1", DOCKER_OWN)
        flags = ("--containerizers=process,docker,oci", f"--docker_socket={engine.socket}")
        with Cluster(place / "cluster", resources=RESOURCES, agent_flags=flags) as cluster:
            lab = DockerLab(cluster, engine)
            lab.images = images
            yield lab


@pytest.fixture(scope="module")
def scheduler(machine: Lab) -> Iterator[Scheduler]:
    """Tasks of each kind that run while the tests of this module do."""
    image = machine.images
    tasks = [
        machine.task("process", MAIN),
        machine.task("oci", MAIN, image.plain),
        machine.task("oci-own", MAIN, image.own),
    ]
    if isinstance(machine, DockerLab):
        tasks += [machine.docker("docker", MAIN), machine.docker("docker-own", MAIN, image="own:1")]
    with held(machine, *tasks) as scheduler:
        yield scheduler


@pytest.fixture
def lab(machine: Lab, scheduler: Scheduler) -> Iterator[Lab]:
    """The module's cluster, with the module's tasks and no more of others afterwards than before."""
    before = machine.traces() | session_traces(machine)
    yield machine
    machine.check_clean(before)
    machine.cluster.wait_until(lambda: not session_traces(machine) - before, "no sessions")


@pytest.fixture
def task(lab: Lab, kind: str) -> str:
    """The task of that kind."""
    if kind == "docker" and not isinstance(lab, DockerLab):
        pytest.skip(why_not())
    return kind


def run(lab: Lab, task: str, script: str, stdin: bytes | None = None) -> Done:
    """The script's end, in the task."""
    options = ("-i",) if stdin is not None else ()
    return cli(lab, "task", "exec", *options, task, "--", "sh", "-c", script, stdin=stdin)


def said(lab: Lab, task: str, script: str) -> str:
    """What the script says, which must end well."""
    done = run(lab, task, script)
    assert (done.code, done.err) == (0, "")
    return done.text


# exec


@ALL
def test_shell_on_a_terminal_is_as_one_at_hand(lab: Lab, task: str) -> None:
    shell = ("env", f"PS1={PROMPT.decode()}", "sh")
    with Screen(lab.cluster.master_address, "task", "exec", "-it", task, "--", *shell) as screen:
        screen.until(PROMPT)
        screen.type(b"stty size; echo si'ze'\r")
        assert b"31 97\r\n" in screen.until(b"\nsize\r\n")
        screen.until(PROMPT)
        screen.resize(44, 132)
        screen.type(b"until [ \"$(stty size)\" = '44 132' ]; do :; done; echo re'sized'\r")
        screen.until(b"\nresized\r\n")
        screen.until(PROMPT)
        screen.type(b"echo sle'eps'; sleep 1234\r")
        screen.until(b"\nsleeps\r\n")
        lab.cluster.wait_until(lambda: bool(pids_of("sleep 1234")), "sleep in the shell")
        screen.type(b"\x03")
        screen.until(PROMPT)
        screen.type(b"echo co'de'=$?\r")
        screen.until(b"\ncode=130\r\n")
        screen.until(PROMPT)
        screen.type(b"exit 7\r")
        assert screen.end() == 7
    assert pids_of("sleep 1234") == []


@ALL
def test_streams_codes_and_signals_are_told_apart(lab: Lab, task: str) -> None:
    done = run(lab, task, "echo out; echo err >&2; cat >&2; exit 9", b"typed\n")
    assert (done.code, done.text, done.err) == (9, "out\n", "err\ntyped\n")
    assert run(lab, task, "kill -TERM $$").code == 128 + signal.SIGTERM
    assert run(lab, task, "cat").code == 0, "without -i there is nothing to read"
    big = os.urandom(3 << 20)
    done = run(lab, task, "cat", big)
    assert (done.code, done.err) == (0, "")
    assert done.out == big


@ALL
def test_what_cannot_be_executed_is_said_in_a_line(lab: Lab, task: str) -> None:
    done = cli(lab, "task", "exec", task, "/no/such")
    assert done.code == 126
    assert one_line(done.err), done.err
    assert "/no/such" in done.err
    assert "no such file" in done.err.lower()


def test_tasks_that_are_not_there_are_named(lab: Lab) -> None:
    done = cli(lab, "task", "exec", "nothing", "true")
    assert (done.code, done.err) == (1, "tepui: no task 'nothing'\n")
    with held(lab, lab.task("brief", "sleep 1000")):
        pass
    done = cli(lab, "task", "exec", "brief", "true")
    assert (done.code, done.err) == (1, "tepui: task 'brief' has already ended (KILLED)\n")


def one_line(text: str) -> bool:
    return text.startswith("tepui: ") and text.count("\n") == 1


# What a session has of its container


@CONTAINED
def test_session_sees_what_the_containers_program_sees(lab: Lab, task: str) -> None:
    kinds = "mnt pid ipc uts net cgroup user"
    look = f"for kind in {kinds}; do readlink /proc/$1/ns/$kind; done; ls / | sort"
    ours = said(lab, task, f"set -- self; {look}")
    first = said(lab, task, f"set -- 1; {look}")
    assert ours == first
    assert "mark" in ours or task == "docker"


@CONTAINED
def test_session_may_no_more_than_the_containers_program(lab: Lab, task: str) -> None:
    for name in (task, f"{task}-own"):
        wanted = f"({'|'.join(STATUS)}):"
        of_first = said(lab, name, f"grep -E '^{wanted}' /proc/1/status")
        of_session = said(lab, name, f"grep -E '^{wanted}' /proc/self/status")
        assert of_session == of_first, name
        assert len(of_first.splitlines()) == len(STATUS)
        seccomp = re.search(r"Seccomp:\s+(\d)", of_session)
        assert seccomp is not None
        assert seccomp[1] == "2"
        on_terminal = on_screen(lab, name, f"grep -E '^{wanted}' /proc/self/status")
        assert on_terminal.replace("\r", "") == of_first, name


@CONTAINED
def test_session_runs_as_whom_and_where_the_container_runs(lab: Lab, task: str) -> None:
    own = f"{task}-own"
    uid, place = (WORKER, "/srv") if task == "oci" else (NOBODY, "/mnt")
    look = 'echo "$(id -u):$(id -g)"; pwd; echo "$OWN"; echo "$MESOS_SANDBOX"; echo "$HOME"'
    user, where, variable, sandbox, home = said(lab, own, look).splitlines()
    assert user == f"{uid}:{uid}"
    assert where == place
    assert variable == "of the image"
    assert sandbox == SANDBOX
    assert home == ("/home/worker" if task == "oci" else "/")
    assert said(lab, own, "cat /proc/1/environ | tr '\\0' '\\n' | grep ^OWN=") == (
        "OWN=of the image\n"
    )
    assert said(lab, task, "id -u; pwd").splitlines()[0] == "0"
    assert said(lab, task, "cat $MESOS_SANDBOX/stdout") == "begun\n"


@ALL
def test_session_is_counted_and_killed_with_its_container(lab: Lab, kind: str) -> None:
    name = f"short-{kind}"
    words = ("task", "exec", name, "--", "sh", "-c", "echo in; sleep 4321 & exec sleep 4321")
    with held(lab, task_of(lab, kind, name, MAIN)) as scheduler:
        main = scheduler.statuses[name][-1].container_status
        assert main is not None
        assert main.executor_pid is not None
        with started(lab, *words) as process:
            read_until(process, b"in\n")
            lab.cluster.wait_until(lambda: len(pids_of("sleep 4321")) == 2, "both sleep")
            place = cgroup(main.executor_pid, "memory")
            for pid in pids_of("sleep 4321"):
                assert f"{cgroup(pid, 'memory')}/".startswith(f"{place}/")
                assert f"{cgroup(pid, 'pids')}/".startswith(f"{cgroup(main.executor_pid, 'pids')}/")
            os.kill(main.executor_pid, signal.SIGKILL)
            assert process.wait(60) == 128 + signal.SIGKILL
            lab.cluster.wait_until(lambda: pids_of("sleep 4321") == [], "none is left")


def cgroup(pid: int, controller: str) -> str:
    """The process's, in that hierarchy."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    raise AssertionError(f"no {controller} cgroup of {pid}")


def on_screen(lab: Lab, task: str, script: str) -> str:
    """What the script shows on a terminal."""
    words = ("task", "exec", "-it", task, "--", "sh", "-c", f"{script}; echo o'ver'")
    with Screen(lab.cluster.master_address, *words) as screen:
        shown = screen.until(b"over\r\n").decode()
        assert screen.end() == 0
    return shown.removesuffix("over\r\n")


# Terminals of tasks


@ALL
def test_terminal_of_a_task_is_attached_to_and_left(lab: Lab, kind: str) -> None:
    name = f"tty-{kind}"
    master = lab.cluster.master_address
    with held(lab, task_of(lab, kind, name, ANSWERS, TTY)) as scheduler:
        with Screen(master, "task", "attach", name) as screen:
            screen.type(b"one\r")
            screen.until(b"got one\r\n")
            screen.type(b"\x10\x11")
            assert screen.end() == 0
        with Screen(master, "task", "attach", name) as screen:
            screen.type(b"two\r")
            screen.until(b"got two\r\n")
            with Screen(master, "task", "attach", "--no-stdin", name) as other:
                # Whoever looks on sees nothing of before: so it is typed until it shows.
                screen.type(b"again\r")
                screen.until(b"got again\r\n")
                while b"got" not in other.shown():
                    screen.type(b"again\r")
                    screen.until(b"got again\r\n")
                screen.type(b"\x04")
                screen.until(b"over\r\n")
                assert other.end() == 0
            assert screen.end() == 0
        lines = scheduler.output(name).splitlines()
        assert lines[0] == "hello"
        assert lines[-1] == "over"
        assert "got one" in lines


@ALL
def test_task_without_terminal_says_so(lab: Lab, task: str) -> None:
    done = cli(lab, "task", "attach", task)
    assert done.code == 1
    assert one_line(done.err)
    assert "has no terminal" in done.err


# top, cp


@ALL
def test_top_shows_what_runs_in_the_container_and_nothing_else(lab: Lab, task: str) -> None:
    done = cli(lab, "task", "top", "--once", "--json", task)
    assert (done.code, done.err) == (0, "")
    assert [row["command"] for row in json.loads(done.text)] == ["sleep 1000"]
    with started(lab, "task", "exec", task, "--", "sh", "-c", "echo in; exec sleep 1357") as one:
        read_until(one, b"in\n")
        done = cli(lab, "task", "top", "--once", "--json", task)
        commands = {row["command"] for row in json.loads(done.text)}
        assert commands == {"sleep 1000", "sleep 1357"}


@ALL
def test_files_and_directories_are_copied_both_ways(lab: Lab, task: str, tmp_path: Path) -> None:
    tree = tmp_path / "a tree"
    (tree / "in it").mkdir(parents=True)
    content = os.urandom(1 << 20)
    (tree / "in it" / "a file").write_bytes(content)
    (tree / "link").symlink_to("in it/a file")
    (tree / "tool").write_text("#!/bin/sh\necho ran\n")
    (tree / "tool").chmod(0o755)
    place = said(lab, task, "mktemp -d").strip()
    assert cli(lab, "task", "cp", str(tree), f"{task}:{place}/").code == 0
    look = f"cd {place}; find . | sort; readlink 'a tree/link'; 'a tree/tool'"
    assert said(lab, task, look).splitlines() == [
        ".",
        "./a tree",
        "./a tree/in it",
        "./a tree/in it/a file",
        "./a tree/link",
        "./a tree/tool",
        "in it/a file",
        "ran",
    ]
    back = tmp_path / "back again"
    assert cli(lab, "task", "cp", f"{task}:{place}/a tree", str(back)).code == 0
    assert (back / "in it/a file").read_bytes() == content
    assert (back / "link").readlink() == Path("in it/a file")
    assert (back / "tool").stat().st_mode & 0o777 == 0o755
    one = tmp_path / "one"
    assert cli(lab, "task", "cp", f"{task}:{place}/a tree/in it/a file", str(one)).code == 0
    assert one.read_bytes() == content
    assert cli(lab, "task", "cp", str(one), f"{task}:{place}/renamed").code == 0
    digest = hashlib.sha256(content).hexdigest()
    assert said(lab, task, f"sha256sum <{place}/renamed").split()[0] == digest
    said(lab, task, f"rm -r {place}")
    for words in (
        (f"{task}:/no/such", str(one)),
        (str(one), f"{task}:/no/such/"),
        (str(tmp_path / "nothing"), f"{task}:/tmp/"),
    ):
        done = cli(lab, "task", "cp", *words)
        assert done.code == 1
        assert one_line(done.err), done.err


# port-forward


@ALL
def test_ports_of_a_task_are_reached_in_its_own_network(lab: Lab, kind: str) -> None:
    [port] = (80,) if kind != "process" else free_ports(1)
    name = f"serves-{kind}"
    serve = (
        "cd $MESOS_SANDBOX; echo served >small; head -c 4194304 /dev/zero | tr '\\0' x >big;"
        f" exec busybox httpd -f -p 127.0.0.1:{port}"
    )
    if kind == "oci":
        info = container(network_infos=(mesos.NetworkInfo(name="mesos-bridge"),))
        served = lab.task(name, serve, lab.images.plain, container=info)
    elif kind == "docker" and isinstance(lab, DockerLab):
        served = lab.docker(name, serve, network=Network.BRIDGE)
    else:
        served = task_of(lab, kind, name, serve)
    with held(lab, served):
        words = ("task", "port-forward", name, f"0:{port}", "0:9")
        with started(lab, *words) as process:
            lines = read_until(process, b":9\n").decode().splitlines()
            local, refused = (int(re.findall(r"127.0.0.1:(\d+)", line)[0]) for line in lines)
            address = ("127.0.0.1", local)
            lab.cluster.wait_until(lambda: asked(address, "small")[-7:] == b"served\n", "it serves")
            # One has been asked for half of what it is asked while the other is answered.
            with socket.create_connection(address, 60) as slow:
                slow.sendall(b"GET /small HTTP/1.0\r\n")
                assert asked(address, "big").endswith(b"x" * (4 << 20))
                slow.sendall(b"\r\n")
                assert all_of(slow).endswith(b"served\n")
            with socket.create_connection(("127.0.0.1", refused)) as nobody:
                nobody.settimeout(60)
                assert nobody.recv(1) == b""
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
            assert process.stderr is not None
            [line] = process.stderr.read().decode().split("\n\n")[0].splitlines()
            assert line.startswith("tepui: port 9: ")
            assert "efused" in line


def asked(address: tuple[str, int], name: str) -> bytes:
    """The answer of a server of files; nothing where none answers."""
    with contextlib.suppress(OSError), socket.create_connection(address, 60) as connection:
        connection.sendall(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
        return all_of(connection)
    return b""


def all_of(connection: socket.socket) -> bytes:
    got = bytearray()
    while piece := connection.recv(1 << 16):
        got += piece
    return bytes(got)


# The agent goes away


@ALL
def test_killed_agent_ends_its_sessions_and_no_task(lab: Lab, task: str) -> None:
    script = "echo in; exec sleep 2468"
    words = ("task", "exec", task, "--", "sh", "-c", script)
    with started(lab, *words) as process:
        screen = Screen(
            lab.cluster.master_address, "task", "exec", "-it", task, "--", "sh", "-c", script
        )
        with screen:
            read_until(process, b"in\n")
            screen.until(b"in\r\n")
            lab.cluster.wait_until(lambda: len(pids_of("sleep 2468")) == 2, "all sleep")
            lab.cluster.agents[0].kill()
            assert process.wait(60) == 1
            assert process.stderr is not None
            said_last = process.stderr.read().decode()
            assert one_line(said_last)
            assert "does not answer any more" in said_last
            assert screen.end() == 1
            lab.cluster.agents[0].start()
    lab.cluster.wait_for_agents(1)
    lab.cluster.wait_until(lambda: pids_of("sleep 2468") == [], "no process of a session is left")
    assert said(lab, task, "echo here") == "here\n"


# A gigabyte


@pytest.mark.long
@pytest.mark.timeout(900)
@ALL
def test_a_gigabyte_goes_through_a_session_and_back(lab: Lab, task: str) -> None:
    words = ("task", "exec", "-i", task, "--", "cat")
    with started(lab, *words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        there, back = hashlib.sha256(), hashlib.sha256()
        began = time.monotonic()
        typing = threading.Thread(target=write_gibibyte, args=(process.stdin, there))
        typing.start()
        total = 0
        while data := os.read(process.stdout.fileno(), PIECE_BYTES):
            total += len(data)
            back.update(data)
        typing.join()
        seconds = time.monotonic() - began
        assert process.wait(60) == 0
    print(f"{task}: {GIB / seconds / 1e6:.0f} MB/s each way")
    assert total == GIB
    assert there.digest() == back.digest()


def write_gibibyte(to: IO[bytes], digest: hashlib._Hash) -> None:
    """Pieces that are all unlike, and then the end."""
    block = random.Random(7).randbytes(PIECE_BYTES)
    for number in range(GIB // PIECE_BYTES):
        piece = number.to_bytes(8, "big") + block[8:]
        digest.update(piece)
        to.write(piece)
    to.close()


def task_of(
    lab: Lab, kind: str, name: str, line: str, tty: mesos.TTYInfo | None = None
) -> mesos.TaskInfo:
    """A task of that kind."""
    if kind == "docker":
        if not isinstance(lab, DockerLab):
            pytest.skip(why_not())
        return lab.docker(name, line, tty_info=tty)
    if kind == "oci":
        return lab.task(name, line, lab.images.plain, container=container(tty_info=tty))
    return lab.task(name, line, container=None if tty is None else container(tty_info=tty))
