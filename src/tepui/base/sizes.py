"""Sizes as Mesos writes them in flags: `512MB`, `1GB`. The units are powers of 1,024.

Source: Mesos 3rdparty/stout/include/stout/bytes.hpp.
"""

from __future__ import annotations

import re

from tepui.base.errors import Refused

_BYTES_BY_UNIT = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_TEXT = re.compile(r"(\d{1,19})\s*([KMGT]?B)", re.ASCII)
_BYTES_MAX = 2**63 - 1


def parse_bytes(text: str) -> int:
    """Bytes of `512MB`; raises Refused naming the text and the units."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        units = ", ".join(_BYTES_BY_UNIT)
        raise Refused(f"size '{text}': expected a whole number and one of {units}")
    size_bytes = int(match[1]) * _BYTES_BY_UNIT[match[2]]
    if size_bytes > _BYTES_MAX:
        raise Refused(f"size '{text}': more than {_BYTES_MAX} bytes")
    return size_bytes
