"""Regular expressions of offer constraints: RE2's, as in Mesos.

Patterns come from frameworks, so a backtracking engine is out of the question: RE2 takes time in
proportion to the text, and the size of its program is limited.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol, cast

import re2

from tepui.base.errors import Refused

PROGRAM_SIZE_MAX: Final = 100  # Mesos: --offer_constraints_re2_max_program_size
MEMORY_BYTES_MAX: Final = 4096  # Mesos: --offer_constraints_re2_max_mem
PATTERNS_MAX: Final = 1024  # compiled patterns that are kept


class Pattern(Protocol):
    """A compiled pattern."""

    programsize: int

    def fullmatch(self, text: str) -> object | None:
        """Something when all of `text` matches."""


@lru_cache(maxsize=PATTERNS_MAX)
def compile_pattern(regex: str) -> Pattern:
    """The pattern; raises Refused for one that is wrong or too complex."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY_BYTES_MAX
    try:
        pattern = cast(Pattern, re2.compile(regex, options))  # the package has no types
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise Refused(f"Failed to construct regex from pattern '{regex}': {text}") from None
    if pattern.programsize > PROGRAM_SIZE_MAX:
        raise Refused(
            f"Regex '{regex}' is too complex: program size of {pattern.programsize}"
            f" is larger than maximum of {PROGRAM_SIZE_MAX} allowed"
        )
    return pattern
