"""What the commands take in from files."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tepui.base.errors import Refused
from tepui.cli import flags, ports, run, up
from tepui.cli.flags import Flag, Kind
from tepui.cli.job import LAUNCHED_PER_CALL_MAX
from tepui.master.core.caps import TASKS_PER_CALL_MAX


def test_a_file_of_commands_has_so_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "COMMANDS_MAX", 2)
    path = tmp_path / "commands"
    path.write_text("a\n# no command\n\nb\n")
    assert run.read_commands(path) == ["a", "b"]
    path.write_text("a\nb\nc\n")
    with pytest.raises(Refused, match="3 commands, the most is 2"):
        run.read_commands(path)


def test_a_value_that_stands_in_a_file_has_so_many_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(flags, "FILE_BYTES_MAX", 4)
    path = tmp_path / "value"
    flag = Flag("attributes", Kind.TEXT, None, "of the agent")
    path.write_text("1234")
    assert flags._content(flag, str(path)) == "1234"
    path.write_text("12345")
    with pytest.raises(Refused, match="is larger than 4 bytes"):
        flags._content(flag, str(path))


def test_a_job_launches_no_more_at_once_than_a_master_takes() -> None:
    assert LAUNCHED_PER_CALL_MAX <= TASKS_PER_CALL_MAX


@pytest.mark.parametrize(
    ("command", "option", "most"),
    [
        (run.command, "instances", run.INSTANCES_MAX),
        (up.command, "agents", up.AGENTS_MAX),
    ],
)
def test_a_count_on_the_command_line_has_a_largest(
    command: click.Command, option: str, most: int
) -> None:
    (found,) = [one for one in command.params if one.name == option]
    context = click.Context(command)
    assert found.type_cast_value(context, str(most)) == most
    with pytest.raises(click.BadParameter, match=f"{most + 1} is not in the range"):
        found.type_cast_value(context, str(most + 1))


def test_ranges_of_ports_are_tried_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def taken(ip: str, first: int, count: int) -> list[int]:
        tried.append(first)
        return [first]

    monkeypatch.setattr(ports, "taken_ports", taken)
    with pytest.raises(Refused, match="no 2 free ports in a row"):
        ports.free_range("127.0.0.1", 5_050, 2)
    assert len(tried) == ports.RANGES_MAX
