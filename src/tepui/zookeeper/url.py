"""Reads `zk://` URLs as operators write them (Mesos: include/mesos/zookeeper/url.hpp)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from tepui.base.errors import Refused

SCHEME: Final = "zk://"
FILE_SCHEME: Final = "file://"
PORT_DEFAULT: Final = 2181
PORT_MAX: Final = 65_535
FILE_BYTES_MAX: Final = 64 * 1024  # of a file that holds a URL
FORM: Final = "zk://[user:password@]host1:port1,host2:port2,.../path"


class ZkUrl(Struct, frozen=True):
    """Where an ensemble is, and the node in it that all of ours is below."""

    servers: tuple[tuple[str, int], ...]  # host and port; a host of IPv6 without its brackets
    path: str  # absolute, without a slash at its end but for "/" itself
    credentials: str | None = None  # user:password of the scheme "digest"

    @property
    def hosts(self) -> str:
        """The servers as they stand in a URL."""
        return ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.servers
        )

    def __str__(self) -> str:
        """For logs: the password is left out."""
        user = "" if self.credentials is None else f"{self.credentials.partition(':')[0]}:***@"
        return f"{SCHEME}{user}{self.hosts}{self.path}"

    def __repr__(self) -> str:
        return f"ZkUrl({str(self)!r})"


def parse_zk_url(text: str) -> ZkUrl:
    """What `text` says, or the file that it names with `file://`. Raises Refused."""
    text = text.strip()
    if text.startswith(FILE_SCHEME):
        text = read_file(text)
    if not text.startswith(SCHEME):
        raise Refused(f"a ZooKeeper URL must have the form {FORM}, not {_hidden(text)}")
    authority, slash, path = text.removeprefix(SCHEME).partition("/")
    credentials, at, servers = authority.rpartition("@")
    if at and ":" not in credentials.strip(":"):
        raise Refused(f"the credentials in {_hidden(text)} must have the form user:password")
    return ZkUrl(
        servers=tuple(_server(server, text) for server in servers.split(",")),
        path=_path(slash + path, text),
        credentials=credentials if at else None,
    )


def read_file(text: str) -> str:
    """What is in the file that `text` names with `file://`. Raises Refused."""
    path = Path(text.removeprefix(FILE_SCHEME))
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise Refused(f"'{path}' holds no address: more than {FILE_BYTES_MAX} bytes")
        return content.decode().strip()
    except (OSError, ValueError) as error:
        raise Refused(f"cannot read the address in '{path}': {error}") from error


def _server(server: str, text: str) -> tuple[str, int]:
    if server.startswith("["):
        host, bracket, port = server[1:].partition("]")
        bad = not bracket or (port and not port.startswith(":"))
        port = port.removeprefix(":") if port else str(PORT_DEFAULT)
    else:
        host, colon, port = server.partition(":")
        bad = False
        port = port if colon else str(PORT_DEFAULT)
    if bad or not host or not host.isascii() or not host.isprintable() or " " in host:
        raise Refused(f"'{server}' in {_hidden(text)} must have the form host:port")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= PORT_MAX):
        raise Refused(f"the port of '{server}' in {_hidden(text)} must be 1 to {PORT_MAX}")
    return host, int(port)


def _path(path: str, text: str) -> str:
    path = path.rstrip("/")
    names = path.split("/")[1:]
    if any(name in ("", ".", "..") or not name.isprintable() for name in names):
        raise Refused(
            f"the path of {_hidden(text)} holds an empty name, '.', '..' or a control character"
        )
    return path or "/"


def _hidden(text: str) -> str:
    """`text` in quotes, without what may be a password."""
    scheme, separator, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    before, at, behind = authority.rpartition("@")
    if at:
        behind += slash + path
        return f"'{scheme}{separator}{before.partition(':')[0]}:***@{behind}'"
    return f"'{text}'"
