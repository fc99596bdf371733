"""Finds the ids of the user that a container runs as."""

from __future__ import annotations

import os
import pwd

from msgspec import Struct

from tepui.base.errors import HostError


class Ids(Struct, frozen=True):
    """A user's ids, as a process takes them on."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def ids_of(user: str | None) -> Ids | None:
    """Return the ids to become, or None when the agent's own are to be kept.

    Raises HostError for a user whom the machine does not know, or whom an agent that is not root cannot become.
    """
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise HostError(
            "launch as", f"'{user}'", f"Failed to get user information for '{user}': no such user"
        ) from None
    own = os.geteuid()
    if entry.pw_uid == own:
        return None
    if own != 0:
        raise HostError(
            "launch as",
            f"'{user}'",
            f"the agent runs as uid {own}, and only root can become another user",
        )
    groups = tuple(os.getgrouplist(user, entry.pw_gid))
    return Ids(uid=entry.pw_uid, gid=entry.pw_gid, groups=groups)
