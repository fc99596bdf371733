"""Whether a user could read a file, asked by an agent that can read all.

Permission bits only; access control lists are not looked at.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

READ: Final = 4
SEARCH: Final = 1


def may_read(path: Path, user: str) -> bool:
    """Whether the bits of the file, and of every directory above it, let the user in.

    Raises OSError when there is no such file, KeyError when there is no such user.
    """
    entry = pwd.getpwnam(user)
    if entry.pw_uid in (0, os.geteuid()):
        return True  # no more is possible than to the user itself
    groups = frozenset(os.getgrouplist(user, entry.pw_gid))
    real = path.resolve()
    if not _allows(real.stat(), entry.pw_uid, groups, READ):
        return False
    return all(_allows(above.stat(), entry.pw_uid, groups, SEARCH) for above in real.parents)


def _allows(found: os.stat_result, uid: int, groups: frozenset[int], wanted: int) -> bool:
    """The first class that the user belongs to decides, as in the kernel."""
    if found.st_uid == uid:
        bits = found.st_mode >> 6
    elif found.st_gid in groups:
        bits = found.st_mode >> 3
    else:
        bits = found.st_mode
    return bool(bits & wanted)
