"""Compares what a task sees, as its probe printed it, and its sandbox, with what was recorded.

Not compared: limits and queued signals, which are the machine's, and what the log of Mesos's executor says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.compat.jsonvalue import Json
from tests.compat.matching import Names, Problem, compare
from tests.compat.recorded import Step

PRINTED_S = 15.0  # for the probe to have printed all
POLL_S = 0.02
LAST = re.compile(r"SigCgt:\s+\w+\n-?\d+\n\Z")  # how the probe's output ends
PROBE = re.compile(
    r"(?P<environment>.*?)--- pwd\n(?P<pwd>.*?)--- ls\n(?P<ls>.*?)--- id\n(?P<id>.*?)--- fds\n"
    r"(?P<fds>.*?)--- pgid\nself\n(?P<self>.*?)parent\n(?P<parent>.*?)limits\n.*?\nargs\n"
    r"(?P<args>.*?)\nparent args\n(?P<parent_args>.*?)SigQ:.*?\n(?P<signals>.*)",
    re.DOTALL,
)


def findings(
    step: Step, work: Path, names: Names, ported: Callable[[str], str]
) -> list[Problem] | None:
    """What differs from what was looked at in this step; None when that is not compared."""
    if step.file_stdout is None and step.sandbox_tree is None and step.sandbox_modes is None:
        return None
    sandbox = _sandbox(work, names)
    printed = _printed(sandbox / "stdout")
    if step.file_stdout is not None:
        wanted, came = _sections(ported(step.file_stdout)), _sections(printed)
        return compare(wanted, came, names, "stdout")
    if step.sandbox_tree is not None:
        tree = sorted(
            f"{one.relative_to(sandbox)}{'/' if one.is_dir() else ''}" for one in sandbox.rglob("*")
        )
        return compare(list(step.sandbox_tree), [*tree], names, "tree")
    there = [sandbox, *sorted(sandbox.iterdir())]
    modes = [f"{one.stat().st_mode:o} {one.relative_to(sandbox)}" for one in there]
    modes[0] = f"{sandbox.stat().st_mode:o} "
    return compare(list(step.sandbox_modes or ()), [*modes], names, "modes")


def _sandbox(work: Path, names: Names) -> Path:
    """That of the only executor of the scenario's framework."""
    framework = names.values["<FRAMEWORK_1>"]
    until = time.monotonic() + PRINTED_S
    while time.monotonic() < until:
        runs = work.glob(f"slaves/*/frameworks/{framework}/executors/*/runs/*")
        found = [one for one in runs if not one.is_symlink()]
        if found:
            return found[0]
        time.sleep(POLL_S)
    raise AssertionError(f"no sandbox of framework {framework}")


def _printed(stdout: Path) -> str:
    until = time.monotonic() + PRINTED_S
    while True:
        text = stdout.read_text() if stdout.exists() else ""
        if LAST.search(text) or time.monotonic() > until:
            return text
        time.sleep(POLL_S)


def _sections(text: str) -> Json:
    found = PROBE.fullmatch(text)
    if found is None:
        return {"probe": text}
    environment: dict[str, Json] = dict(
        line.partition("=")[::2] for line in found["environment"].splitlines()
    )
    listed: list[Json] = [
        f"{line.split()[0]} {line.split()[-1]}" for line in found["ls"].splitlines()[1:]
    ]
    parts: dict[str, Json] = {"environment": environment, "ls": listed}
    for name in ("pwd", "id", "args", "parent_args"):
        parts[name] = found[name]
    # While the probe lists its own files and status, its shell may hold a pipe and block signals.
    parts["fds"] = [one for one in found["fds"].splitlines()[1:] if one[0] in "012"]
    parts["processes"] = " ".join(found["self"].split())
    parts["parent"] = " ".join(found["parent"].split())
    parts["signals"] = [one for one in found["signals"].splitlines() if "SigBlk" not in one]
    return parts
