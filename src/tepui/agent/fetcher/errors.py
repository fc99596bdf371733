"""Why a URI was not fetched."""

from __future__ import annotations

from collections.abc import Callable


class FetchFailed(Exception):
    """A URI could not be fetched; one sentence says which and why."""


class CacheUnfit(Exception):
    """The cache cannot take the file: it must be fetched without it."""


# Told how large a file is about to be, before it is. Raises FetchFailed or CacheUnfit when that is
# too large.
Room = Callable[[int], None]
