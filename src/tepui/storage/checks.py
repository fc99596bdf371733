"""What a store refuses before it writes anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tepui.storage.store import KEY_CHARS_MAX, WRITES_MAX, Write

VALUE_BYTES_MAX: Final = 64 * 1024 * 1024  # in memory and in SQLite


def check(writes: Sequence[Write], value_bytes_max: int) -> None:
    """Raises ValueError that names the first key, value or number which no store takes."""
    if len(writes) > WRITES_MAX:
        raise ValueError(f"{len(writes)} writes are more than {WRITES_MAX}")
    for write in writes:
        check_key(write.key)
        if write.value is not None and len(write.value) > value_bytes_max:
            raise ValueError(
                f"the value of '{write.key}' has {len(write.value)} bytes,"
                f" more than {value_bytes_max}"
            )


def check_key(key: str) -> None:
    """Raises ValueError unless `key` is one or more names joined by `/`."""
    if len(key) > KEY_CHARS_MAX:
        raise ValueError(
            f"the key that begins with '{key[:64]}' has {len(key)} characters,"
            f" more than {KEY_CHARS_MAX}"
        )
    if not key.isascii() or not key.isprintable():
        raise ValueError(f"the key {key!r} holds other than printable ASCII")
    if any(name in ("", ".", "..") for name in key.split("/")):
        raise ValueError(f"the key '{key}' holds a name that is empty, '.' or '..'")
