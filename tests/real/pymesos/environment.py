"""Makes the Python environment in which PyPI's pymesos runs, unmodified.

pymesos parses HTTP with http-parser, whose released C file came out of an old Cython and compiles on
Python 3.10 and older only. So pymesos gets an interpreter and packages of its own, beside the
project's. They are made once, and again when the requirements change.

    python -m tests.real.pymesos.environment     # prints the interpreter, or why there is none
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
DIRECTORY = PROJECT / ".venv-pymesos"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
OWN_CHOICE = "TEPUI_PYMESOS_PYTHON"  # a variable that names the interpreter to use
VERSIONS = ("3.10", "3.9", "3.8")  # newest first; none of the requirements supports older ones
PROBE_S = 30.0
INSTALL_S = 300.0
PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
CHECK = "import http_parser.http, kazoo.client, pymesos; print(pymesos.__VERSION__)"


class Unavailable(Exception):
    """There is no such environment here; the text says why in one sentence."""


def interpreter() -> Path:
    """The interpreter that has pymesos; at once when it was made before. Raises Unavailable."""
    DIRECTORY.mkdir(exist_ok=True)
    with (DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be making it now
        made = DIRECTORY / "env"
        python = made / "bin" / "python"
        marker = made / "requirements.txt"  # written last, so a half-made environment has none
        if _text(marker) != REQUIREMENTS.read_text() or not python.exists():
            shutil.rmtree(made, ignore_errors=True)
            _make(made, _base())
            marker.write_text(REQUIREMENTS.read_text())
        return python


def _base() -> str:
    """An interpreter that is old enough. Raises Unavailable."""
    own = os.environ.get(OWN_CHOICE)
    if own is not None:
        version = _version(own)
        if version not in VERSIONS:
            raise Unavailable(
                f"pymesos needs Python {VERSIONS[-1]} to {VERSIONS[0]},"
                f" and {OWN_CHOICE}='{own}' is {version or 'no usable Python'}"
            )
        return own
    for path in _candidates():
        if _version(path) in VERSIONS:
            return path
    raise Unavailable(
        f"pymesos needs a Python {VERSIONS[-1]} to {VERSIONS[0]} with venv, as its HTTP parser does"
        f" not compile on newer ones, and none is on PATH or under pyenv; {OWN_CHOICE} may name one"
    )


def _candidates() -> Iterator[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        found = shutil.which(f"python{version}")
        if found is not None:
            yield found
        for place in sorted(pyenv.glob(f"{version}.*"), reverse=True):
            yield str(place / "bin" / "python")
    for name in ("pypy3", "python3"):
        found = shutil.which(name)
        if found is not None:
            yield found


def _version(path: str) -> str | None:
    """`3.10`; None when it does not run or can't make environments."""
    try:
        probe = subprocess.run(
            [path, "-c", PROBE], capture_output=True, text=True, timeout=PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return probe.stdout.strip() if probe.returncode == 0 else None


def _make(directory: Path, base: str) -> None:
    python = str(directory / "bin" / "python")
    _run("make an environment", [base, "-m", "venv", str(directory)])
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # `wheel` lets pip build the two source packages in the way that it still supports.
    _run("install wheel", [*install, "wheel"])
    _run("install pymesos", [*install, "--requirement", str(REQUIREMENTS)])
    _run("import pymesos", [python, "-c", CHECK])


def _run(what: str, command: list[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_"))}
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"could not {what}: {error}") from None
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")]
        reason = (errors or lines or [f"exit code {ended.returncode}"])[-1].strip()
        raise Unavailable(f"could not {what}: {reason}")


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def main() -> int:
    """Print the interpreter, or why there is none."""
    try:
        print(interpreter())
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
