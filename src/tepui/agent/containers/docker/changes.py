"""Where on disk Docker Engine keeps what a container writes outside its sandbox: it has no limit of its own there.

Sources: Docker Engine API, ContainerInspect; moby daemon/graphdriver (what `GraphDriver.Data` names).
"""

from __future__ import annotations

import logging
import os
import re
from typing import Final

from tepui.agent.containers.docker.answers import Inspected

UPPER: Final = "UpperDir"  # of overlay2 and fuse-overlayfs; other drivers keep no changes apart
LOCAL: Final = "local"  # the driver of volumes that are directories of the Engine's
ANONYMOUS: Final = re.compile("[0-9a-f]{64}")  # the name of a volume that goes with its container
UNCOUNTED: Final = "what its containers write outside their sandboxes is not counted"

log = logging.getLogger("tepui.agent")


def changes_of(one: Inspected) -> tuple[str, ...]:
    """Return the directories and files on disk that are the container's alone, but for its sandbox.

    Volumes that have a name, and directories of the host, belong to others as well: they do not count.
    """
    volumes = (
        mount.source
        for mount in one.mounts or ()
        if mount.driver == LOCAL and ANONYMOUS.fullmatch(mount.name)
    )
    files = (one.hosts_path, one.hostname_path, one.resolv_conf_path)
    return tuple(place for place in (_upper_of(one), *volumes, *files) if place)


def why_uncounted(one: Inspected) -> str:
    """Return why the changes in the root of a container cannot be counted; else ''."""
    upper = _upper_of(one)
    if not upper:
        driver = one.graph_driver.name if one.graph_driver is not None else ""
        return f"{UNCOUNTED}: the storage driver '{driver}' does not keep it apart"
    if not os.access(upper, os.R_OK | os.X_OK):
        return f"{UNCOUNTED}: '{upper}' cannot be read"
    return ""


class Uncounted:
    """Says once that changes cannot be counted."""

    def __init__(self) -> None:
        self._is_said = False

    def check(self, one: Inspected) -> None:
        """It was said, if this container runs and its changes cannot be counted."""
        if one.state.running and not self._is_said and (why := why_uncounted(one)):
            self._is_said = True
            log.warning("docker_disk_uncounted reason=%s", why)


def _upper_of(one: Inspected) -> str:
    data = one.graph_driver.data if one.graph_driver is not None else None
    return (data or {}).get(UPPER, "")
