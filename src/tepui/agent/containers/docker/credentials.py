"""Who one is to a registry: from Docker's own files of credentials to the header of a pull.

Source: docker-py's auth, Docker's config.json.
"""

from __future__ import annotations

from pathlib import Path

import docker.auth
import docker.errors
import msgspec

from tepui.base.errors import HostError

FILE_BYTES_MAX = 1 << 20
IN_SANDBOX = (".docker/config.json", ".dockercfg")  # what a task's URIs may bring, as with Mesos
HELPERS = ("credsStore", "credHelpers")


def credentials_for(image: str, own: str, sandbox: str) -> str:
    """Return the header's text for a pull of the image; '' when nothing is known of its registry.

    What the task brought in its sandbox goes before `own`, the agent's. A task's file may hold credentials
    but name no programs that would find them: they would be run by the agent. Raises HostError.
    """
    try:
        registry, _ = docker.auth.resolve_repository_name(image.partition("@")[0])
    except docker.errors.DockerException as error:
        raise HostError("pull", f"'{image}'", str(error)) from None
    for name in IN_SANDBOX:
        text = _text_of(Path(sandbox, name))
        if text and (header := _header(text, registry, name, has_helpers=False)):
            return header
    return _header(own, registry, "the agent's", has_helpers=True) if own else ""


def _text_of(path: Path) -> str:
    try:
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            return ""
        with path.open() as file:
            return file.read(FILE_BYTES_MAX)
    except (OSError, ValueError):
        return ""


def _header(text: str, registry: str, where: str, *, has_helpers: bool) -> str:
    try:
        config = msgspec.json.decode(text, type=dict[str, object])
        if not has_helpers:
            config = {name: value for name, value in config.items() if name not in HELPERS}
        if "auths" not in config and not any(name in config for name in HELPERS):
            config = {"auths": config}  # a .dockercfg is what config.json has below `auths`
        entries = msgspec.convert(config.pop("auths", {}), dict[str, dict[str, object]])
        known = docker.auth.AuthConfig(
            {"auths": docker.auth.AuthConfig.parse_auth(entries, raise_on_error=True)} | config
        )
        found = docker.auth.resolve_authconfig(known, registry=registry)
        return docker.auth.encode_header(found).decode() if found else ""
    except (docker.errors.DockerException, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise HostError("read the credentials of", f"'{where}'", str(error)) from None
