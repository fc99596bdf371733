"""The small parts: ids, options, shares of a machine, the lock file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from tepui.base.errors import Refused
from tepui.cli.connect import find_by_id, no_master
from tepui.cli.logs import sandbox_of
from tepui.cli.ports import free_range, taken_ports
from tepui.cli.run import default_name, parse_timeout_s, read_commands
from tepui.cli.shares import shares_of
from tepui.resources import Resources, parse_resources
from tepui.wire import mesos

ROOT = Path(__file__).parents[2]
KNOWN = [("abc-1", 1), ("abc-12", 2), ("xyz-S0", 3)]


@pytest.mark.parametrize(("given", "found"), [("abc-1", 1), ("abc-12", 2), ("x", 3), ("S0", 3)])
def test_id_may_be_abbreviated_at_both_ends(given: str, found: int) -> None:
    assert find_by_id("task", given, KNOWN) == found


def test_abbreviation_of_several_ids_names_them() -> None:
    with pytest.raises(click.ClickException, match="'abc' could be 2 tasks: abc-1, abc-12"):
        find_by_id("task", "abc", KNOWN)


def test_id_that_is_not_there_is_named() -> None:
    with pytest.raises(click.ClickException, match="no task 'q'"):
        find_by_id("task", "q", KNOWN)


def test_sandbox_of_a_pods_task_is_below_that_of_its_executor() -> None:
    def sandbox(executor: str | None, parent: mesos.ContainerID | None) -> str:
        container = mesos.ContainerID(value="c", parent=parent)
        status = mesos.TaskStatus(
            task_id=mesos.TaskID("t"),
            state=mesos.TaskState.TASK_RUNNING,
            container_status=mesos.ContainerStatus(container_id=container),
        )
        return sandbox_of(
            mesos.Task(
                name="t",
                task_id=mesos.TaskID("t"),
                framework_id=mesos.FrameworkID("f"),
                agent_id=mesos.AgentID("a"),
                executor_id=None if executor is None else mesos.ExecutorID(executor),
                state=mesos.TaskState.TASK_RUNNING,
                statuses=(status,),
            )
        )

    own = "/frameworks/f/executors"
    assert sandbox(None, None) == f"{own}/t/runs/latest"
    assert sandbox("e", None) == f"{own}/e/runs/latest"
    assert sandbox("e", mesos.ContainerID(value="p")) == f"{own}/e/runs/latest/tasks/t"


def test_a_leader_that_has_just_died_is_told_apart_from_a_wrong_address() -> None:
    cause = "Cannot connect to host h1:5050 ssl:default [Connect call failed]"
    told = no_master("zk://z1:2181/mesos", cause).message
    assert "the master that leads at zk://z1:2181/mesos, h1:5050, cannot be reached" in told
    assert "no master answers at h1:5050" in no_master("h1:5050", cause).message


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_of_a_machine_are_equal_and_never_more_than_it_has(count: int) -> None:
    machine = parse_resources("cpus:2;mem:1000;disk:5000;gpus:2;ports:[31000-32000]")
    shares = [parse_resources(flag) for flag in shares_of(machine, count)]
    assert len(shares) == count
    assert machine.contains(Resources.total(shares))
    assert len({share.scalar("cpus") for share in shares}) == 1
    assert len({share.ports().count() for share in shares}) == 1
    assert [share.scalar("gpus") for share in shares] == [2000, *[0] * (count - 1)]
    assert count * shares[0].scalar("cpus") > 2000 - count


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/python3", "python3"),
        ("sleep 5; echo", "sleep"),
        ("$X", "X"),
        ("()", "task"),
        ("", "task"),
    ],
)
def test_task_is_named_by_its_program(program: str, name: str) -> None:
    assert default_name(program) == name


def test_timeout_is_seconds_or_a_duration() -> None:
    assert parse_timeout_s("90") == 90
    assert parse_timeout_s("0.5") == 0.5
    assert parse_timeout_s("2mins") == 120
    for wrong in ("0", "-1", "inf", "soon"):
        with pytest.raises(Refused, match="--timeout"):
            parse_timeout_s(wrong)


def test_commands_are_read_without_comments_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "commands"
    path.write_text("# first\n\n echo a # not a comment \n\techo b\n")
    assert read_commands(path) == ["echo a # not a comment", "echo b"]
    path.write_text("# nothing\n")
    with pytest.raises(Refused, match="no commands in it"):
        read_commands(path)


def test_example_of_a_hundred_commands_has_a_hundred() -> None:
    assert len(read_commands(ROOT / "examples" / "hundred-commands.txt")) == 100


def test_no_range_of_ports_beyond_the_last_is_chosen() -> None:
    with pytest.raises(Refused, match="no 5 free ports"):
        free_range("127.0.0.1", 65533, 5)
    with pytest.raises(Refused, match=r"cannot listen on 192\.0\.2\.1"):
        taken_ports("192.0.2.1", 40000, 1)


def test_lock_file_has_an_exact_version_within_every_range_of_the_project() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, line
            locked[name.lower().replace("_", "-")] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    for requirement in map(Requirement, wanted):
        version = locked[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(version), requirement
