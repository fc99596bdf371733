"""Knows a MasterInfo when it sees one; what it says is for others to read."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

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
