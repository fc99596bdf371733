"""Decides which images make room: those used longest ago, never what is held or being pulled.

Source of the idea: Mesos slave/containerizer/mesos/provisioner (image_gc_config).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from tepui.agent.containers.images.store import ImageRecord

RECENT_S: Final = 60  # who has just pulled an image is about to hold it


def candidates(
    images: Mapping[str, ImageRecord],
    used_at_s: Mapping[str, float],
    needed: Collection[str],
    excluded: Collection[str],
    now_s: float,
    recent_s: float = RECENT_S,
) -> tuple[str, ...]:
    """Return the names of images that may go, the one used longest ago first.

    `needed` are chain ids of layers in use: an image stays when all its layers are, for its removal
    would free nothing; `excluded` are names in full.
    """
    going = [
        name
        for name, record in images.items()
        if name not in excluded
        and not (record.chain and record.chain[-1] in needed)
        and now_s - used_at_s.get(name, 0) >= recent_s
    ]
    return tuple(sorted(going, key=lambda name: (used_at_s.get(name, 0), name)))
