"""Why a container cannot be made on this machine."""

from __future__ import annotations


class Unsupported(Exception):
    """This agent cannot run such a container; a sentence says why."""
