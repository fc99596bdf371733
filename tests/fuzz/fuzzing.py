"""What the engines share: directories, findings, and the line that repeats one."""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
CORPUS: Final = HERE / "corpus"  # kept in the project
GROWING: Final = HERE / "growing"  # what a run adds; not kept until `--keep`
FINDINGS: Final = HERE / "findings"
MEMORY: Final = "/dev/shm"
NAME_CHARACTERS: Final = 12
FINDING: Final = "FINDING"  # how a line of an engine begins that tells of one


def memory() -> str | None:
    """Where temporary files are made: in memory if there is such a place, for a disk is slow."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    return MEMORY


def name_of(data: bytes) -> str:
    """The name of an input's file."""
    return hashlib.sha256(data).hexdigest()[:NAME_CHARACTERS]


def kept(target: str) -> list[Path]:
    """The kept inputs of a target, in a fixed order."""
    return sorted(path for path in (CORPUS / target).glob("*") if path.is_file())


def repeat_line(target: str, path: Path) -> str:
    """The command that runs one input again."""
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"python -m tests.fuzz {target} {shown}"


class Findings:
    """Inputs that a target has failed on: of each fault the first one, kept as a file."""

    def __init__(self, target: str, directory: Path = FINDINGS) -> None:
        self._target = target
        self._directory = directory
        self._seen: set[tuple[str, str, int | None]] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def try_one(self, run: Callable[[bytes], None], data: bytes) -> None:
        """Run the input; a fault that was not seen before becomes a file and a line of output."""
        try:
            run(data)
        except Exception as error:
            self._add(data, error)

    def _add(self, data: bytes, error: Exception) -> None:
        at = traceback.extract_tb(error.__traceback__)[-1]
        fault = (type(error).__name__, at.filename, at.lineno)
        if fault in self._seen:
            return
        self._seen.add(fault)
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{self._target}-{name_of(data)}"
        path.write_bytes(data)
        where = f"{Path(at.filename).name}:{at.lineno}"
        said = str(error).replace("\n", " ")[:200]
        print(f"{FINDING} {type(error).__name__} at {where}: {said}", flush=True)
        print(f"  repeat: {repeat_line(self._target, path)}", flush=True)
        sys.stdout.flush()
