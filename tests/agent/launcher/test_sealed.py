"""Copies in memory of the programs that are started often."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tepui.agent.launcher import sealed
from tepui.agent.launcher.sealed import Sealed

TRUE = shutil.which("true")
FALSE = shutil.which("false")

needs_programs = pytest.mark.skipif(
    not (TRUE and FALSE), reason="this machine has no `true` and `false`"
)


def status_of(path: str) -> int:
    """How a program ends that is executed at this path."""
    pid = os.posix_spawn(path, ["any"], {})
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@needs_programs
def test_copy_runs_and_cannot_be_changed() -> None:
    assert TRUE is not None
    copies = Sealed()
    path = copies.path_of(TRUE)
    assert path.startswith("/proc/self/fd/")
    assert copies.path_of(TRUE) == path
    assert status_of(path) == 0
    with pytest.raises(PermissionError):
        os.write(int(path.rpartition("/")[2]), b"other")
    with pytest.raises(PermissionError):
        os.truncate(path, 0)


@needs_programs
def test_program_that_was_replaced_is_copied_anew(tmp_path: Path) -> None:
    assert TRUE is not None
    assert FALSE is not None
    program = tmp_path / "program"
    shutil.copy(TRUE, program)
    copies = Sealed()
    assert status_of(copies.path_of(str(program))) == 0
    fresh = tmp_path / "fresh"
    shutil.copy(FALSE, fresh)
    fresh.rename(program)
    assert status_of(copies.path_of(str(program))) == 1


def test_what_cannot_be_copied_is_started_from_its_file(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    missing = str(tmp_path / "missing")
    copies = Sealed()
    assert copies.path_of(str(script)) == str(script)  # its interpreter could not open a copy
    assert copies.path_of(missing) == missing


@needs_programs
def test_program_over_the_limit_is_started_from_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRUE is not None
    size = os.stat(TRUE).st_size
    monkeypatch.setattr(sealed, "SIZE_BYTES_MAX", size)
    assert Sealed().path_of(TRUE) != TRUE
    monkeypatch.setattr(sealed, "SIZE_BYTES_MAX", size - 1)
    assert Sealed().path_of(TRUE) == TRUE
