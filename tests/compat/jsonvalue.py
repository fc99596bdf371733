"""What JSON text may hold."""

from __future__ import annotations

import json
from typing import TypeAlias, Union

Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]  # noqa: UP007


def parse(text: str | bytes) -> Json:
    """The value of a JSON text; integers and floats stay apart."""
    value: Json = json.loads(text)
    return value


def field(value: Json, *names: str) -> Json:
    """The member reached by `names`; None where one is absent."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
