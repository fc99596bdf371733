"""Several pytest processes share one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real  # each test starts pytest

PROJECT = Path(__file__).resolve().parents[1]
SHARED = """
import pytest

@pytest.fixture(scope="session")
def whole():
    print("(", end="")
    yield
    print(")", end="")

@pytest.fixture(scope="module")
def file():
    print("[", end="")
    yield
    print("]", end="")
"""
TWO = """
import pytest

{mark}
def test_first(whole, file):
    print("{name}", end="")

def test_second(whole, file):
    print("{name}", end="")
"""
MARKS = {"a": "", "b": "@pytest.mark.real", "c": "", "d": "@pytest.mark.apart"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Four files of two tests, each of which prints its file's letter."""
    place = tmp_path / "project"
    place.mkdir()
    (tmp_path / "taken").mkdir()
    (place / "conftest.py").write_text(SHARED)
    (place / "pytest.ini").write_text("[pytest]\nmarkers =\n    real: x\n    apart: x\n")
    for name, mark in MARKS.items():
        (place / f"test_{name}.py").write_text(TWO.format(mark=mark, name=name))
    return place


def lane(project: Path, *flags: str) -> tuple[int, str]:
    """The exit code of one lane and what its tests printed, with brackets around those of a file."""
    return run(project, f"--lane={project.parent}/taken", *flags)


def run(project: Path, *flags: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-sq", "-p", "tests.lanes", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, f"--rootdir={project}", *flags, str(project)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = "".join(one for one in ended.stdout.partition("\n")[0] if one in "abcd()[]")
    return ended.returncode, said


def test_files_with_tests_that_wait_come_first_and_those_that_compute_last(project: Path) -> None:
    assert lane(project) == (0, "([dd][bb][aa][cc])")


def test_a_lane_that_goes_backward_begins_at_the_end(project: Path) -> None:
    assert lane(project, "--backward") == (0, "([cc][aa][bb][dd])")


def test_what_another_lane_has_taken_is_left_to_it(project: Path) -> None:
    taken = project.parent / "taken"
    for name in "bc":
        (taken / f"test_{name}.py").touch()
    assert lane(project) == (0, "([dd][aa])")
    assert sorted(one.name for one in taken.iterdir()) == [f"test_{name}.py" for name in MARKS]
    assert lane(project) == (0, "")  # all were taken


def test_a_failure_is_one_of_the_lane(project: Path) -> None:
    (project / "test_c.py").write_text("def test_wrong():\n    assert False\n")
    assert lane(project)[0] == pytest.ExitCode.TESTS_FAILED
    (project / "test_a.py").write_text("nonsense\n")
    assert lane(project)[0] == pytest.ExitCode.INTERRUPTED


def test_without_a_directory_pytest_is_as_ever(project: Path) -> None:
    assert run(project) == (0, "([aa][bb][cc][dd])")
