"""Gives each container its cgroups: limits, killing all of it at once, and what it used."""

from ..limits import MEM_BYTES_MIN, NO_LIMIT, Limits
from .cgroup import Cgroup
from .files import remove_directory, write
from .layout import Layout, detect, places_of
from .root import KINDS, Cgroups, not_enforced

__all__ = [
    "KINDS",
    "MEM_BYTES_MIN",
    "NO_LIMIT",
    "Cgroup",
    "Cgroups",
    "Layout",
    "Limits",
    "detect",
    "not_enforced",
    "places_of",
    "remove_directory",
    "write",
]
