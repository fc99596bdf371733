"""Runs programs as a user who is not root, who can reach this Python and this project wherever they are.

Root's home may be closed to others: the way is opened in a mount namespace of the program's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import tepui
from tepui.agent.launcher import mounts

NOBODY = 65_534
SOURCES = Path(tepui.__file__).parents[1]
NEEDED = sorted({sys.base_prefix, sys.prefix, str(SOURCES.parent)})
PROGRAM = """
import os, sys
sources, uid, needed, *words = sys.argv[1:]
sys.path.insert(0, sources)
from tepui.agent.launcher import mounts
mounts.enter_own_namespace()
mounts.make_slave()
for place in needed.split(":"):
    mounts.open_way(place)
os.setgroups([])
os.setresgid(int(uid), int(uid), int(uid))
os.setresuid(int(uid), int(uid), int(uid))
os.chdir("/")
os.execvp(words[0], words)
"""


def start_as_nobody(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """The program, as somebody to whom nothing belongs. Only root can start it."""
    assert os.geteuid() == 0
    assert mounts.CLONE_NEWNS, "what the program below uses"
    begin = [sys.executable, "-I", "-S", "-c", PROGRAM, str(SOURCES), str(NOBODY)]
    return subprocess.Popen(
        [*begin, ":".join(NEEDED), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHONPATH": str(SOURCES),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )


def give_to_nobody(directory: Path) -> None:
    """The directory is nobody's, and the way to it is open."""
    for path in directory.parents[:3]:
        path.chmod(path.stat().st_mode | 0o011)
    os.chown(directory, NOBODY, NOBODY)
