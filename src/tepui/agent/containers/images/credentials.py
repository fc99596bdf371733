"""Who we are to a registry: credentials in the form of Docker's config.json.

Source: docker/cli cli/config/configfile; Mesos docs/container-image.md (docker_config).
"""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.reference import HUB, HUB_NAMES

STEP: Final = "reading docker_config"
CONFIG_BYTES_MAX: Final = 1 << 20


class Credential(Struct, frozen=True):
    """A name and password, or a token of a user that is given for shorter ones. Never printed."""

    username: str = ""
    password: str = ""
    identity_token: str = ""  # OAuth2: exchanged for a token of the registry
    registry_token: str = ""  # sent as it is

    def __repr__(self) -> str:
        return "Credential(…)"


class _Entry(Struct, frozen=True):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class _Config(Struct, frozen=True, rename="camel"):
    auths: dict[str, _Entry] | None = None
    cred_helpers: dict[str, str] | None = None
    creds_store: str | None = None


class Credentials:
    """What one config.json knows."""

    def __init__(self, text: str | None) -> None:
        """Raises Fault, which never quotes the text."""
        config = _decode(text) if text else _Config()
        self._entries = {host_of(key): entry for key, entry in (config.auths or {}).items()}
        self._helpers = {host_of(k): name for k, name in (config.cred_helpers or {}).items()}
        self._store = config.creds_store or ""

    def of(self, registry: str) -> Credential | None:
        """Return what to say to this registry (`host` or `host:port`); None: nothing.

        Raises Fault where that is kept by a program: such programs are not run.
        """
        host = host_of(registry)
        entry = self._entries.get(host)
        if helper := self._helpers.get(host):
            raise _refused_helper("credHelpers", helper, host)
        if entry is None:
            return None
        if credential := _credential(entry, host):
            return credential
        if self._store:
            raise _refused_helper("credsStore", self._store, host)
        return None


def host_of(key: str) -> str:
    """Return the registry that a key of config.json is about: a host, or a URL of old."""
    address = urlsplit(key if "://" in key else f"//{key}").netloc.rpartition("@")[2].lower()
    return HUB if address in HUB_NAMES else address


def _decode(text: str) -> _Config:
    if len(text) > CONFIG_BYTES_MAX:
        raise Fault(STEP, f"it is longer than {CONFIG_BYTES_MAX} bytes")
    try:
        config = msgspec.json.decode(text, type=_Config)
        if config != _Config():
            return config
        # The older .dockercfg: the same entries without `auths` around them.
        entries = msgspec.json.decode(text, type=dict[str, _Entry | str | bool | None])
    except msgspec.DecodeError as error:
        raise Fault(STEP, f"it is not JSON in the form of Docker's config.json: {error}") from None
    except msgspec.ValidationError as error:
        raise Fault(STEP, f"it is not in the form of Docker's config.json: {error}") from None
    return _Config(auths={key: e for key, e in entries.items() if isinstance(e, _Entry)})


def _credential(entry: _Entry, host: str) -> Credential | None:
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            decoded = base64.b64decode(entry.auth, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Fault(STEP, f"`auth` of '{host}' is not base64 of name:password") from None
        username, colon, password = decoded.strip("\0").partition(":")
        if not colon:
            raise Fault(STEP, f"`auth` of '{host}' is not base64 of name:password")
    credential = Credential(
        username, password, entry.identitytoken or "", entry.registrytoken or ""
    )
    return None if credential == Credential() else credential


def _refused_helper(key: str, name: str, host: str) -> Fault:
    return Fault(
        STEP,
        f"`{key}` has credentials for '{host}' kept by the program 'docker-credential-{name}', "
        "which is not run here; put them into `auths`",
    )
