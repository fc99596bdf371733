"""Speaks with Docker's volume plug-ins: JSON over HTTP, each answer within a bounded time.

A plug-in is found by the name of its driver, as Docker finds it: a socket in /run/docker/plugins, else a
file that names its address in /etc/docker/plugins or /usr/lib/docker/plugins.

Source: Docker docs, Engine plug-in API and volume plug-ins.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tepui.base.errors import HostError

CALL_S: Final = 30  # as Docker waits for a plug-in
ANSWER_BYTES_MAX: Final = 1 << 20
REASON_LENGTH_MAX: Final = 500  # characters of a plug-in's complaint that are told
CHUNK_BYTES: Final = 64 * 1024

DRIVER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
CONTENT_TYPE: Final = "application/vnd.docker.plugins.v1.2+json"
IMPLEMENTS: Final = "VolumeDriver"


class PluginPlaces(Struct, frozen=True, kw_only=True):
    """Where plug-ins are looked for."""

    sockets: tuple[str, ...] = ("/run/docker/plugins",)
    specs: tuple[str, ...] = ("/etc/docker/plugins", "/usr/lib/docker/plugins")


class PluginRefused(HostError):
    """The plug-in is there, and says no."""


class Answer(Struct, frozen=True, rename="pascal"):
    """What a plug-in answers; `err` is its complaint."""

    err: str | None = None
    mountpoint: str | None = None
    implements: tuple[str, ...] | None = None


class Tls(Struct, frozen=True, rename={
    "insecure": "InsecureSkipVerify", "ca_file": "CAFile", "cert_file": "CertFile", "key_file": "KeyFile",
}):  # fmt: skip
    """How a plug-in on another address is to be trusted."""

    insecure: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class Spec(Struct, frozen=True, rename={"address": "Addr", "tls": "TLSConfig"}):
    """Where a plug-in is, from its file."""

    address: str
    tls: Tls | None = None


class Plugin:
    """The plug-in of one driver. All calls block, and raise HostError naming driver, volume and step."""

    def __init__(self, driver: str, places: PluginPlaces) -> None:
        self.driver = driver
        self._places = places

    def activate(self, volume: str) -> None:
        """It is there, and a volume driver."""
        activated = self._call(volume, "Plugin.Activate", {})
        if IMPLEMENTS not in (activated.implements or ()):
            raise PluginRefused("activate", self._subject(volume), "it is no volume driver")

    def mount(self, volume: str, options: Mapping[str, str], mount_id: str) -> str:
        """Where the volume is, which is made if there is none. `mount_id` names the mount."""
        self._call(volume, "VolumeDriver.Create", {"Name": volume, "Opts": dict(options)})
        names = {"Name": volume, "ID": mount_id}
        path = self._call(volume, "VolumeDriver.Mount", names).mountpoint
        if not path:
            path = self._call(volume, "VolumeDriver.Path", {"Name": volume}).mountpoint
        if not path or not os.path.isabs(path) or not os.path.exists(path):
            cause = f"the driver has mounted it at '{path or ''}', which is not there"
            raise PluginRefused("mount", self._subject(volume), cause)
        return path

    def unmount(self, volume: str, mount_id: str) -> None:
        """The mount is no more."""
        self._call(volume, "VolumeDriver.Unmount", {"Name": volume, "ID": mount_id})

    def knows(self, volume: str) -> bool:
        """Whether there is such a volume."""
        try:
            self._call(volume, "VolumeDriver.Get", {"Name": volume})
        except PluginRefused:
            return False
        return True

    def _subject(self, volume: str) -> str:
        return f"the volume '{volume}' of the driver '{self.driver}'"

    def _call(self, volume: str, method: str, body: Mapping[str, object]) -> Answer:
        step = method.partition(".")[2].lower()
        subject = self._subject(volume)
        try:
            connection = self._connection()
            try:
                status, content = _exchange(connection, f"/{method}", msgspec.json.encode(body))
            finally:
                connection.close()
        except TimeoutError:
            raise HostError(step, subject, f"no answer within {CALL_S} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise HostError(step, subject, str(error) or type(error).__name__) from None
        try:
            answer = msgspec.json.decode(content, type=Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            cause = f"its plug-in answered {status}, and not in JSON as it should"
            raise HostError(step, subject, cause) from None
        if answer.err or status != 200:
            cause = (answer.err or f"its plug-in answered {status}")[:REASON_LENGTH_MAX]
            raise PluginRefused(step, subject, cause)
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        spec = self._find()
        address = urlsplit(spec.address)
        if address.scheme == "unix":
            return _UnixConnection(address.path)
        if address.scheme not in ("tcp", "http", "https") or not address.hostname:
            raise ValueError(f"its address is '{spec.address}', neither unix:// nor tcp://")
        host, port = address.hostname, address.port
        if spec.tls is None and address.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=CALL_S)
        context = _tls_context(spec.tls or Tls())
        return http.client.HTTPSConnection(host, port, timeout=CALL_S, context=context)

    def _find(self) -> Spec:
        name = self.driver
        if DRIVER.fullmatch(name) is None:
            raise ValueError(f"'{name}' is not the name of a driver")
        for directory in self._places.sockets:
            for path in (Path(directory, f"{name}.sock"), Path(directory, name, f"{name}.sock")):
                if path.is_socket():
                    return Spec(f"unix://{path}")
        for directory in self._places.specs:
            for place in (Path(directory), Path(directory, name)):
                if (spec := place / f"{name}.spec").is_file():
                    return Spec(spec.read_text().strip())
                if (json := place / f"{name}.json").is_file():
                    try:
                        return msgspec.json.decode(json.read_bytes(), type=Spec)
                    except msgspec.MsgspecError as error:
                        raise ValueError(f"'{json}': {error}") from None
        places = ", ".join((*self._places.sockets, *self._places.specs))
        raise ValueError(f"there is no plug-in '{name}' in {places}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("plugin", timeout=CALL_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CALL_S)
        self.sock.connect(self._path)


def _exchange(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    deadline = time.monotonic() + CALL_S
    headers = {"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE, "Connection": "close"}
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    content = bytearray()
    while chunk := response.read1(CHUNK_BYTES):
        content += chunk
        if len(content) > ANSWER_BYTES_MAX:
            raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    return response.status, bytes(content)


def _tls_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
