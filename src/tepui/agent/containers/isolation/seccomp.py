"""Chooses the profile of system calls for a container, and keeps the filters that were made of profiles.

To make a filter takes 10 ms and more, so it is made once for each profile and set of capabilities that make a
difference to it. Source: Mesos docs/isolators/linux-seccomp.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tepui.agent.containers.isolation.libseccomp import compiled
from tepui.agent.containers.isolation.seccomp_profiles import (
    PROFILE_BYTES_MAX,
    Machine,
    Profile,
    Resolved,
    read_profile,
    resolve,
    this_machine,
)
from tepui.base.errors import Refused
from tepui.wire import mesos

DEFAULT: Final = ""  # the profile that comes with Tepui
DEFAULT_FILE: Final = Path(__file__).with_name("profiles") / "default.json"
FILTERS_MAX: Final = 500  # kept at a time: every container could ask for capabilities of its own


def profile_for(
    asked: mesos.SeccompInfo | None, flag: str | None, *, has_image: bool
) -> str | None:
    """Return the name of a container's profile; None for no filter. Raises Refused.

    `flag` is `--seccomp_profile_name`. Without it containers with an image have the default profile, and
    others none.
    """
    if asked is not None:
        if asked.unconfined and asked.profile_name is not None:
            raise Refused(
                "Invalid Seccomp configuration: 'profile_name' given even though 'unconfined' Seccomp"
                " setting is enabled"
            )
        if asked.profile_name is not None:
            return asked.profile_name
        if asked.unconfined:
            return None
        raise Refused("Missing Seccomp profile name")
    if flag is not None:
        return flag
    return DEFAULT if has_image else None


class Filters:
    """The filters of one agent. `config_directory` is `--seccomp_config_dir`: where profiles with names are."""

    def __init__(self, config_directory: str | None = None) -> None:
        self._directory = None if config_directory is None else Path(config_directory)
        self._machine: Machine = this_machine()
        self._profiles: dict[str, tuple[int, Profile]] = {}  # with the time of its file
        self._made: dict[tuple[str, int, frozenset[str]], bytes] = {}

    def bpf(self, name: str, capabilities: Iterable[str]) -> bytes:
        """Return the filter for a container with these capabilities, made when it was not yet.

        Raises Refused for a profile that is not there or is wrong, HostError where none can be made.
        """
        time_ns, profile = self._profile(name)
        matter = profile.named_capabilities() & frozenset(capabilities)
        key = (name, time_ns, matter)
        made = self._made.get(key)
        if made is None:
            resolved = resolve(profile, matter, self._machine)
            subject = name or "the default seccomp profile"
            made = compiled(
                resolved.default_action, resolved.architectures, resolved.rules, subject
            )
            if len(self._made) >= FILTERS_MAX:
                del self._made[next(iter(self._made))]
            self._made[key] = made
        return made

    def resolved(self, name: str, capabilities: Iterable[str]) -> Resolved:
        """Return the rules themselves, for a runtime that makes its own filter. Raises Refused."""
        _, profile = self._profile(name)
        return resolve(profile, frozenset(capabilities), self._machine)

    def _profile(self, name: str) -> tuple[int, Profile]:
        path = self._path(name)
        try:
            time_ns = path.stat().st_mtime_ns
            known = self._profiles.get(name)
            if known is not None and known[0] == time_ns:
                return known
            with path.open("rb") as file:
                text = file.read(PROFILE_BYTES_MAX + 1)
        except OSError as error:
            raise Refused(
                f"the seccomp profile '{path}' cannot be read: {error.strerror}"
            ) from None
        self._profiles[name] = found = (time_ns, read_profile(text, str(path)))
        return found

    def _path(self, name: str) -> Path:
        if name == DEFAULT:
            return DEFAULT_FILE
        if self._directory is None:
            raise Refused(
                f"the seccomp profile '{name}' cannot be found: the agent has no"
                " '--seccomp_config_dir'"
            )
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise Refused(
                f"the seccomp profile '{name}' is not the name of a file in '--seccomp_config_dir'"
            )
        return self._directory / path
