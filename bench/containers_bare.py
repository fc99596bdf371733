"""Bare `crun run`, as one would by hand: a configuration is written, an overlay mounted, crun started.

    python -m bench.containers_bare DIRECTORY LAYER COUNT

In a mount namespace of its own, where crun may not see the second hierarchy of cgroups. Prints a JSON list of
the seconds from the beginning until the program has written its first byte.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_REC, MS_SLAVE = 0x4000, 1 << 19
UNIFIED = "/sys/fs/cgroup/unified"
NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")
PROGRAM = ("sh", "-c", "echo reached; sleep 60")


def main(directory: Path, layer: str, count: int) -> list[float]:
    """So many runs, one after the other."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWNS))
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None))
    if os.path.isdir(UNIFIED):
        _check(libc.mount(b"none", UNIFIED.encode(), b"tmpfs", 0, None))
    return [_one(libc, directory / str(number), layer) for number in range(count)]


def _one(libc: ctypes.CDLL, bundle: Path, layer: str) -> float:
    for name in ("rootfs", "upper", "work"):
        (bundle / name).mkdir(parents=True)
    started_s = time.perf_counter()
    (bundle / "config.json").write_text(json.dumps(_config()))
    options = f"lowerdir={layer},upperdir={bundle}/upper,workdir={bundle}/work"
    root = str(bundle / "rootfs").encode()
    _check(libc.mount(b"overlay", root, b"overlay", 0, options.encode()))
    command = [
        "crun", "--root", f"{bundle.parent}/state", "--cgroup-manager=disabled",
        "run", "--bundle", str(bundle), f"bare-{bundle.name}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as crun:
        assert crun.stdout is not None
        assert crun.stdout.read(1), "the program was not reached"
        seconds = time.perf_counter() - started_s
        crun.kill()
        subprocess.run(
            [*command[:4], "delete", "--force", f"bare-{bundle.name}"],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return seconds


def _config() -> dict[str, object]:
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(PROGRAM),
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts"},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
        ],
        "linux": {"namespaces": [{"type": name} for name in NAMESPACES]},
    }


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
