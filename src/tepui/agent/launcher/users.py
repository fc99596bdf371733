"""The users of a container that has a user namespace: who they are outside, and how files become theirs.

Its users 0, 1, … are `first`, … of the host, whom nobody else is. Files on disk keep the owners that the image
or the sandbox gives them: they are mounted with the same mapping (`idmapped.py`).
"""

from __future__ import annotations

import os

from . import idmapped
from .request import bad

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from .frames import Message

NAMESPACE = "user"  # in an OCI configuration


class Users:
    """The ids, and where the container joins a user namespace, the `path` of that.

    `namespace_fd` is of one with the same users, from `open` on.
    """

    __slots__ = ("count", "first", "namespace_fd", "path")

    def __init__(self, first: int, count: int, path: str = "") -> None:
        self.first = first
        self.count = count
        self.path = path
        self.namespace_fd = -1

    def open(self) -> None:
        """Have a user namespace at hand, by which mounts are mapped. Raises OSError."""
        if self.path:
            self.namespace_fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        else:
            self.namespace_fd = idmapped.user_namespace(self.first, self.count)

    def outside(self, inner_id: int) -> int:
        """Return the host's id of the container's."""
        return self.first + inner_id


def users_in(message: Message, path: str = "") -> Users | None:
    """Return the users that are named, if any are. Raises Fault."""
    value = message.get("users")
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise bad("users", "it must be the first id and how many there are")
    first, count = value
    if not isinstance(first, int) or not isinstance(count, int):
        raise bad("users", "it must be two integers")
    if not 0 <= first <= idmapped.IDS_MAX or not 0 < count <= idmapped.IDS_MAX:
        raise bad("users", f"'{first}' and '{count}' from there on cannot be mapped")
    return Users(first, count, path)
