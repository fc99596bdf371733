"""What the name of an image stands for here: an archive on this machine, or a registry's repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from tepui.agent.containers.images import reference
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.local import Place, place_of
from tepui.agent.containers.images.reference import HUB, HUB_NAMES, Reference
from tepui.agent.containers.images.settings import ImageSettings

NAME_LENGTH_MAX: Final = 4096


class Names:
    """Resolves names as the settings have it."""

    def __init__(self, settings: ImageSettings) -> None:
        self._directories = [os.path.realpath(path) for path in settings.local_directories]
        self._archives: Path | None = None  # where names without a registry are looked up
        self.default_registry = HUB
        if path := _path_of(settings.registry):
            self._archives = Path(path)
        else:
            host = urlsplit(
                settings.registry if "://" in settings.registry else f"//{settings.registry}"
            ).netloc
            self.default_registry = HUB if host in HUB_NAMES else host

    def resolve(self, name: str) -> Place | Reference:
        """Return where the image is. Raises Fault naming the rule that the name breaks."""
        if len(name) > NAME_LENGTH_MAX or not name.isprintable():
            raise Fault(reference.STEP, f"it is no text of at most {NAME_LENGTH_MAX} characters")
        if path := _path_of(name):
            place = place_of(path)
            real = os.path.realpath(place.path)
            if not any(os.path.commonpath([real, top]) == top for top in self._directories):
                raise Fault("opening", "images may not be read from there")
            return place
        found = reference.parse(name, self.default_registry)
        if self._archives is not None and found.registry == HUB:
            return self._archive(self._archives, name, found)
        return found

    def _archive(self, directory: Path, name: str, found: Reference) -> Place:
        """Return the archive of that name: `<name>.tar`, or `<name>:<tag>.tar`."""
        # Only the name's grammar keeps '..' out of this path; it has been checked.
        bare = name.partition("@")[0].rpartition(":")[0] or name.partition("@")[0]
        candidates = [directory / f"{name}.tar", directory / f"{bare}:{found.tag}.tar"]
        if found.tag == "latest":
            candidates.append(directory / f"{bare}.tar")
        for path in candidates:
            if path.exists():
                return Place(path, "")
        raise Fault("opening", f"there is no '{candidates[0]}' and no '{candidates[1]}'")


def _path_of(text: str) -> str:
    """Return the path, if the text is one or a URL of one; else ''. Raises Fault."""
    if text.startswith("/"):
        return text
    if not text.startswith("file:"):
        return ""
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise Fault(reference.STEP, f"'{text}' is no file of this machine: write file:///path")
    return unquote(parts.path)
