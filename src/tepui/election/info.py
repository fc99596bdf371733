"""Knows a MasterInfo when it sees one; what it says is for others to read."""

from __future__ import annotations

import logging
from typing import Final

import msgspec
from msgspec import Struct

from tepui.wire import json, mesos
from tepui.wire.errors import Malformed

log = logging.getLogger("tepui.election")

INFO_BYTES_MAX: Final = 65_536


class _Named(Struct):
    id: str


def check_info(info: bytes) -> None:
    """Raises ValueError unless `info` is a JSON object that has an id, of INFO_BYTES_MAX at most."""
    if len(info) > INFO_BYTES_MAX:
        raise ValueError(f"a MasterInfo of {len(info)} bytes is larger than {INFO_BYTES_MAX}")
    try:
        msgspec.json.decode(info, type=_Named)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no MasterInfo in JSON: {error}") from error


def leader_address(leader: bytes | None) -> str | None:
    """host:port of who `Following` says leads; None when it is nobody."""
    info = read_info(leader)
    if info is None:
        return None
    host = (info.address.ip if info.address is not None else None) or info.hostname
    if host is None:
        return None
    return f"[{host}]:{info.port}" if ":" in host else f"{host}:{info.port}"


def read_info(leader: bytes | None) -> mesos.MasterInfo | None:
    """What `Following` says of the leader; None when it is nobody, or says nothing that we know."""
    if leader is None:
        return None
    try:
        return json.decode(mesos.MasterInfo, leader)
    except Malformed as error:
        log.warning("leader_unreadable error=%s", error)
        return None
