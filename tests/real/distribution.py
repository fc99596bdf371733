"""The root of a real distribution: what Debian's packages have put on this machine, as they have put it."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path

PACKAGES = (
    "attr", "base-files", "base-passwd", "bash", "coreutils", "dash", "dpkg", "findutils", "grep", "libacl1",
    "libattr1", "libc-bin", "libc6", "libmd0", "libpcre2-8-0", "libselinux1", "libtinfo6", "login", "mount", "passwd",
    "perl-base", "util-linux",
)  # fmt: skip
ALIASES = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")  # links into /usr, on a merged system
ACCOUNTS = Path("/usr/share/base-passwd")
WORKER = 1234
# A file with an attribute of its user's, and one with the capability CAP_NET_RAW (capability.h, revision 2).
ATTRIBUTE = ("user.tepui", b"kept")
CAPABILITY = ("security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))


def why_not() -> str:
    """Return what the machine lacks; '' when a root can be made."""
    if os.geteuid() != 0:
        return "files of other users need root"
    if shutil.which("dpkg-query") is None or not ACCOUNTS.exists():
        return "this machine is none of Debian's"
    if "attr" not in _installed():
        return "the package attr is not installed"
    return ""


def make_root(root: Path) -> None:
    """The directory has the files of PACKAGES, users, set-user-id programs, hard links and attributes."""
    root.mkdir()
    for name in ALIASES:
        if Path("/", name).is_symlink():
            (root / name).symlink_to(os.readlink(f"/{name}"))
    listed = subprocess.run(
        ["dpkg-query", "--listfiles", *_installed()], capture_output=True, text=True, check=True
    )
    links: dict[tuple[int, int], Path] = {}
    for line in listed.stdout.splitlines():
        if line.startswith("/") and line != "/.":
            _copy(line, root, links)
    for place in ("dev", "proc", "sys", "mnt", "root"):
        (root / place).mkdir(exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    users = (ACCOUNTS / "passwd.master").read_text().replace(":*:", ":x:")
    (root / "etc/passwd").write_text(f"{users}worker:x:{WORKER}:{WORKER}::/home/worker:/bin/bash\n")
    groups = (ACCOUNTS / "group.master").read_text().replace(":*:", ":x:")
    (root / "etc/group").write_text(f"{groups}worker:x:{WORKER}:\n")
    for name, (attribute, value) in (("noted", ATTRIBUTE), ("able", CAPABILITY)):
        (root / "usr/bin" / name).write_text("")
        os.setxattr(root / "usr/bin" / name, attribute, value)


def _installed() -> list[str]:
    """Those of PACKAGES that the machine has."""
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    words = (line.split() for line in asked.stdout.splitlines())
    return [one[0] for one in words if one[1:] == ["installed"]]


def _copy(path: str, root: Path, links: dict[tuple[int, int], Path]) -> None:
    """One file as it is: packages name some by a link to their directory, others are not there at all."""
    parent, _, name = path.rpartition("/")
    place = Path(os.path.realpath(parent or "/"), name)
    try:
        found = place.lstat()
    except FileNotFoundError:
        return  # documentation that was left out
    target = root / place.relative_to("/")
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)  # an alias's target, which nobody lists
    known = links.get((found.st_dev, found.st_ino))
    if known is not None and not stat.S_ISDIR(found.st_mode):
        os.link(known, target, follow_symlinks=False)
        return
    if stat.S_ISDIR(found.st_mode):
        target.mkdir()
    elif stat.S_ISLNK(found.st_mode):
        target.symlink_to(os.readlink(place))
    else:
        shutil.copyfile(place, target)
    links[found.st_dev, found.st_ino] = target
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        target.chmod(stat.S_IMODE(found.st_mode))
