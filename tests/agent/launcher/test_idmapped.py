"""Layers that belong to root, seen as another user's, and an overlay over them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tepui.agent.launcher import idmapped

pytestmark = pytest.mark.real
DEADLINE_S = 60.0
FIRST_ID = 100_000
# Its mounts are in a mount namespace of its own, and end with it.
PROGRAM = r"""
import ctypes, os, sys, time
sys.path.insert(0, sys.argv[1])
from tepui.agent.launcher.idmapped import mount_mapped, user_namespace
libc = ctypes.CDLL(None, use_errno=True)
place = sys.argv[2]
os.chdir(place)
assert libc.unshare(0x20000) == 0
assert libc.mount(None, b"/", None, 0x4000 | 0x80000, None) == 0
namespace_fd = user_namespace(100000, 65536)
for name in ("base", "top"):
    mount_mapped(f"{place}/{name}", f"{place}/mapped-{name}", namespace_fd)
options = b"lowerdir=mapped-top:mapped-base,upperdir=upper,workdir=work"
if libc.mount(b"overlay", b"root", b"overlay", 0, options):
    print("overlay:", os.strerror(ctypes.get_errno()))
    sys.exit(0)
owners = [os.stat(f"root/{name}").st_uid for name in ("from-base", "from-top", "users")]
print("owners", *owners, flush=True)
try:
    open("mapped-base/new", "w")
except OSError as error:
    print("layer", error.strerror, flush=True)
if os.fork() == 0:
    assert libc.setns(namespace_fd, 0x10000000) == 0
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.chdir("root")
    with open("from-base", "a") as file:
        file.write("changed")
    with open("new", "w") as file:
        file.write("new")
    os.chown("new", 7, 7)
    print("inside", os.stat("from-base").st_uid, os.stat("new").st_uid, flush=True)
    os._exit(0)
os.wait()
"""


def test_overlay_over_mapped_layers_belongs_to_the_containers_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts are made by root")
    for name in ("base", "top", "mapped-base", "mapped-top", "upper", "work", "root"):
        (tmp_path / name).mkdir()
    for path in (tmp_path, *tmp_path.parents[:-1]):
        if not path.stat().st_mode & 1:
            path.chmod(path.stat().st_mode | 0o011)  # pytest's directories are closed to others
    os.chown(tmp_path / "upper", FIRST_ID, FIRST_ID)
    (tmp_path / "base/from-base").write_text("base")
    (tmp_path / "top/from-top").write_text("top")
    (tmp_path / "base/users").write_text("")
    os.chown(tmp_path / "base/users", 33, 33)
    source = str(Path(idmapped.__file__).parents[3])
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, source, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ran.stderr == ""
    if ran.stdout.startswith("overlay:"):
        pytest.skip(f"this kernel has no overlay over mapped mounts: {ran.stdout}")
    assert ran.stdout.splitlines() == [
        "owners 100000 100000 100033",
        "layer Read-only file system",
        "inside 0 7",
    ]
    assert (tmp_path / "base/from-base").read_text() == "base"
    assert (tmp_path / "base/from-base").stat().st_uid == 0
    assert (tmp_path / "upper/from-base").stat().st_uid == FIRST_ID
    assert (tmp_path / "upper/new").stat().st_uid == FIRST_ID + 7
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_users_that_cannot_be_mapped_are_an_error() -> None:
    for first_id, count in ((-1, 1), (0, 0), (0, (1 << 31) + 1)):
        with pytest.raises(OSError, match="cannot be mapped"):
            idmapped.user_namespace(first_id, count)


def test_descriptors_and_children_are_not_left_behind() -> None:
    if os.geteuid() != 0:
        pytest.skip("users are mapped by root")
    before = len(os.listdir("/proc/self/fd"))
    children = psutil.Process().children()
    fd = idmapped.user_namespace(FIRST_ID, 65_536)
    assert os.readlink(f"/proc/self/fd/{fd}").startswith("user:[")
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before
    assert psutil.Process().children() == children
