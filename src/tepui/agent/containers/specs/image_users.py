"""Who a container's program runs as: names are looked up in the image, not on this machine.

Source: OCI image specification, config.md (`User`): `user`, `uid`, `user:group`, `uid:gid` and mixed.
"""

from __future__ import annotations

from msgspec import Struct

from tepui.agent.containers.specs.errors import Unsupported

ROOT_HOME = "/root"
ID_MAX = 2**32 - 2  # the kernel's; one more means none


class ImageUser(Struct, frozen=True):
    """Numeric ids in the container, and the home directory there."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def image_user(asked: str, passwd: str, group: str) -> ImageUser:
    """The ids of `asked` in an image with these two files; '' is root. Raises Unsupported.

    The own group is one of `groups` too: a set-group-id program must not lose what is refused to that group.
    """
    name, _, group_name = asked.partition(":")
    name = name or "0"
    row = _row(passwd, name)
    if row is not None:
        uid, gid, home = _id(row[2]), _id(row[3]), row[5] or "/"
        names = {row[0]}
    elif name.isdigit():
        uid, gid, home, names = _id(name), 0, ROOT_HOME if name == "0" else "/", set()
    else:
        raise Unsupported(f"the image has no user '{name}'")
    if group_name:
        gid = _group(group, group_name)
        return ImageUser(uid, gid, (gid,), home)
    others = (one for one in _member_of(group, names) if one != gid)
    return ImageUser(uid, gid, (gid, *others), home)


def _row(passwd: str, name: str) -> list[str] | None:
    """The line of a user by name, or by number where no name is that."""
    rows = [line.split(":") for line in passwd.splitlines()]
    rows = [row for row in rows if len(row) >= 7 and row[2].isdigit() and row[3].isdigit()]
    by_name = [row for row in rows if row[0] == name]
    by_id = [row for row in rows if name.isdigit() and row[2] == name]
    return next(iter(by_name + by_id), None)


def _group(group: str, name: str) -> int:
    for row in _groups(group):
        if row[0] == name:
            return _id(row[2])
    if name.isdigit():
        return _id(name)
    raise Unsupported(f"the image has no group '{name}'")


def _member_of(group: str, names: set[str]) -> tuple[int, ...]:
    """The groups that list one of the names."""
    return tuple(_id(row[2]) for row in _groups(group) if names & set(row[3].split(",")))


def _groups(group: str) -> list[list[str]]:
    rows = [line.split(":") for line in group.splitlines()]
    return [row for row in rows if len(row) >= 4 and row[2].isdigit()]


def _id(text: str) -> int:
    number = int(text) if len(text) <= len(str(ID_MAX)) else ID_MAX + 1
    if number > ID_MAX:
        raise Unsupported(f"{text} is no id of a user or group: it is over {ID_MAX}")
    return number
