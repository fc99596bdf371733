"""Those flags of `docker run` that say what is mounted where. Source: `docker run --help`."""

from __future__ import annotations

from typing import Final

from tepui.agent.containers.docker.body import (
    BindOptions,
    Driver,
    MountPoint,
    TmpfsOptions,
    VolumeOptions,
)
from tepui.agent.containers.docker.draft import Draft
from tepui.agent.containers.docker.values import BadValue, size, switch


def volume(draft: Draft, value: str) -> None:
    """A directory of the host, a volume, or an unnamed volume is there."""
    if not value.strip(":"):
        raise BadValue("is not of the form [source:]path[:options]")
    if ":" in value:
        draft.body.host_config.binds.append(value)
    else:
        draft.body.volumes[value] = {}


def tmpfs(draft: Draft, value: str) -> None:
    """A file system in memory is there."""
    path, _, options = value.partition(":")
    draft.body.host_config.tmpfs[path] = options


def mount(draft: Draft, value: str) -> None:
    """The mount that the words describe is there."""
    words: dict[str, str] = {}
    for part in value.split(","):
        name, _, text = part.partition("=")
        words[MOUNT_WORDS.get(name, name)] = text
    kind = words.pop("type", "volume")
    if kind not in ("bind", "volume", "tmpfs"):
        raise BadValue("has a type other than bind, volume and tmpfs")
    if "target" not in words:
        raise BadValue("has no target")
    made = MountPoint(kind, words.pop("target"), words.pop("source", ""))
    if "readonly" in words:
        made.read_only = switch(words.pop("readonly"))
    if "bind-propagation" in words:
        made.bind_options = BindOptions(words.pop("bind-propagation"))
    if "volume-driver" in words or "volume-nocopy" in words:
        driver = words.pop("volume-driver", "")
        made.volume_options = VolumeOptions(
            no_copy="volume-nocopy" in words and switch(words.pop("volume-nocopy")),
            driver_config=Driver(driver) if driver else None,
        )
    if "tmpfs-size" in words or "tmpfs-mode" in words:
        try:
            mode = int(words.pop("tmpfs-mode", "0"), 8)
        except ValueError:
            raise BadValue("has a mode that is no octal number") from None
        made.tmpfs_options = TmpfsOptions(size(words.pop("tmpfs-size", "0")), mode)
    if words:
        raise BadValue(f"has the unknown word '{min(words)}'")
    draft.body.host_config.mounts.append(made)


MOUNT_WORDS: Final = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
