"""Room on the disk that images leave to everybody else: a layer that unpacks to more than it says ends there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tepui.agent.containers.images.errors import Fault

KEPT_FRACTION: Final = 0.05  # of the disk's bytes and files, but not more than:
KEPT_BYTES_MAX: Final = 1 << 30
KEPT_FILES_MAX: Final = 50_000
MIB: Final = 1 << 20


def check_room(directory: Path, step: str, coming_bytes: int = 0) -> None:
    """Raises Fault where so many bytes more would leave less free than is kept for others."""
    status = os.statvfs(directory)
    free_bytes = status.f_bavail * status.f_frsize
    kept_bytes = min(int(status.f_blocks * status.f_frsize * KEPT_FRACTION), KEPT_BYTES_MAX)
    if free_bytes < coming_bytes + kept_bytes:
        coming = f"{coming_bytes // MIB} MB are to come, and " if coming_bytes else ""
        rule = f"{coming}{free_bytes // MIB} MB are free, of which {kept_bytes // MIB} MB are kept for others"
        raise Fault(step, rule, room_bytes=coming_bytes + kept_bytes)
    # Some file systems have as many files as there is room for, and say 0.
    kept_files = min(int(status.f_files * KEPT_FRACTION), KEPT_FILES_MAX)
    if status.f_favail < kept_files:
        rule = f"there is room for {status.f_favail} files, which are kept for others"
        raise Fault(step, rule, room_bytes=kept_bytes)
