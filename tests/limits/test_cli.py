"""What the commands take in from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.base.errors import Refused
from tepui.cli import flags, run
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
