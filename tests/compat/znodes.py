"""Compares the nodes that masters keep in ZooKeeper with those that Mesos's masters were seen to have.

The number at the end of a node's name is not compared: it counts all that was ever made below the same
parent. Which node is meant is told by the master that its content names.
"""

from __future__ import annotations

import re

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from tests.compat.jsonvalue import Json, parse
from tests.compat.matching import Names, Problem, compare

NUMBERED = re.compile(r"(?P<parent>.*)/(?P<label>json\.info_)\d{10}")
MASTER = re.compile(r"master@[0-9.:]+")


def findings(recorded: dict[str, Json], hosts: str, names: Names) -> list[Problem]:
    """What differs between a recorded node and the one that is there now."""
    client = KazooClient(hosts)
    client.start()
    try:
        path = _path(recorded, client)
        if path is None:
            return [Problem("znode", str(recorded["path"]), "(absent)")]
        try:
            data, stat = client.get(path)
            acls, _ = client.get_acls(path)
        except NoNodeError:
            return [Problem("znode", path, "(absent)")]
    finally:
        client.stop()
        client.close()
    acl: list[Json] = [f"{one.id.scheme}:{one.id.id}:{one.perms}" for one in acls]
    came: Json = {
        "path": recorded["path"],
        "data": _content(data.decode()),
        "ephemeral": stat.ephemeralOwner != 0,
        "acl": acl,
        "version": stat.version,
    }
    return compare({**recorded, "data": _content(str(recorded["data"]))}, came, names, "znode")


def _path(recorded: dict[str, Json], client: KazooClient) -> str | None:
    """The path of the node that is meant; None when no master of that address has one."""
    found = NUMBERED.fullmatch(str(recorded["path"]))
    master = MASTER.search(str(recorded["data"]))
    if found is None or master is None:
        return str(recorded["path"])
    for name in sorted(client.get_children(found["parent"])):
        path = f"{found['parent']}/{name}"
        if name.startswith(found["label"]) and f'"{master[0]}"' in client.get(path)[0].decode():
            return path
    return None


def _content(data: str) -> Json:
    return parse(data) if data.startswith("{") else data
