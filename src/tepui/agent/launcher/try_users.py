"""Tries whether a container's root can be mounted for users of its own: `try_users.py FIRST PLACE IMAGES`; or by a
user who is not root, in a user namespace: `try_users.py own PLACE IMAGES`.

Prints one sentence when it cannot. What is mounted for that ends with this process, whose mount namespace is its
own; what it makes in PLACE is for its caller to remove.
"""

from __future__ import annotations

import os
import sys


def main(first_id: str, place: str, images: str) -> str:
    """Return why it does not work; '' when it does."""
    from tepui.agent.launcher import idmapped, mounts
    from tepui.agent.launcher.users import Users

    if first_id == "own":
        return rootless(place)
    users = Users(int(first_id), 1 << 16)
    try:
        users.open()
    except OSError as error:
        return f"this machine makes no user namespace: {error.strerror}"
    mounts.enter_own_namespace()
    mounts.make_slave()
    for one in (images, place):
        tree_fd = idmapped.tree_of(one)
        try:
            idmapped.map_tree(tree_fd, users.namespace_fd)
        except OSError as error:
            return f"the file system of '{one}' cannot be mounted for other users: {error.strerror}"
        finally:
            os.close(tree_fd)
    for name in ("layer", "root"):
        os.mkdir(f"{place}/{name}")
    try:
        mounts.overlay([f"{place}/layer"], f"{place}/up", f"{place}/work", f"{place}/root", users)
    except OSError as error:
        return f"there is no overlay over layers of other users (Linux 5.19): {error.strerror}"
    return ""


def rootless(place: str) -> str:
    """Return why a user who is not root cannot mount a container's root; '' when they can."""
    from tepui.agent.launcher import idmapped, mounts

    try:
        idmapped.join(idmapped.own_user_namespace())
        mounts.enter_own_namespace()
    except OSError as error:
        return f"it makes no user namespace for a user who is not root: {error.strerror}"
    for name in ("layer", "root"):
        os.mkdir(f"{place}/{name}")
    try:
        paths = ([f"{place}/layer"], f"{place}/up", f"{place}/work", f"{place}/root")
        mounts.make_slave()
        mounts.overlay(*paths, is_rootless=True)
    except OSError as error:
        return f"it has no overlay for a user who is not root (Linux 5.11): {error.strerror}"
    return ""


if __name__ == "__main__":
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))
    print(main(sys.argv[1], sys.argv[2], sys.argv[3]))
