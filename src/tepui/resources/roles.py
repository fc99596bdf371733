"""Role names and the tree they form (Mesos: common/roles.cpp)."""

from __future__ import annotations

from functools import lru_cache

from tepui.base.errors import Refused

UNRESERVED = "*"  # the role of what is reserved to nobody
_FORBIDDEN = frozenset("\t\n\v\f\r \x7f")


def validate_role(name: str) -> None:
    """`name` is a valid role; otherwise `Refused` says why."""
    if error := _role_error(name):
        raise Refused(error)


def is_strict_subrole(role: str, ancestor: str) -> bool:
    """Whether `role` lies below `ancestor` in the tree: 'a/b' below 'a'."""
    return len(role) > len(ancestor) and role[len(ancestor)] == "/" and role.startswith(ancestor)


def ancestors(role: str) -> tuple[str, ...]:
    """The roles above `role`, the nearest first: 'a/b/c' has 'a/b' and 'a'."""
    parts = role.split("/")
    return tuple(["/".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)])


@lru_cache(maxsize=4096)
def _role_error(name: str) -> str | None:
    if name == UNRESERVED:
        return None
    if name.startswith("/"):
        return f"Role '{name}' cannot start with a slash"
    if name.endswith("/"):
        return f"Role '{name}' cannot end with a slash"
    if "//" in name:
        return f"Role '{name}' cannot contain two adjacent slashes"
    if not name:
        return "Role names cannot be the empty string"
    for component in name.split("/"):
        if component in (".", "..", "*"):
            return f"Role '{name}' cannot include '{component}' as a component"
        if component.startswith("-"):
            return f"Role component '{component}' is invalid because it starts with a dash"
        if not _FORBIDDEN.isdisjoint(component):
            return (
                f"Role component '{component}' is invalid "
                "because it contains backspace or whitespace"
            )
    return None
