"""A framework as the allocator sees it."""

from __future__ import annotations

from collections.abc import Iterable

from tepui.allocator.terms import FrameworkTerms
from tepui.base.names import Role


class Framework:
    """One framework: connected or not, and its roles, some of them suppressed."""

    __slots__ = ("is_active", "suppressed", "terms")

    def __init__(self, terms: FrameworkTerms) -> None:
        self.terms = terms
        self.suppressed = set(terms.suppressed)
        self.is_active = True

    def adopt(self, terms: FrameworkTerms) -> None:
        """`terms` hold from now on, also what they say is suppressed."""
        self.terms = terms
        self.suppressed = set(terms.suppressed)

    def concerned(self, roles: Iterable[Role]) -> set[Role]:
        """Those of `roles` that it has; all its roles when none are given."""
        own = set(self.terms.roles)
        return own.intersection(roles) if (roles := tuple(roles)) else own
