"""Ids become names of directories; most are plain and pass at the first look."""

from __future__ import annotations

import re

from tepui.base.errors import Refused
from tepui.resources.validation import validate_id

_is_plain = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.:\-]{0,200}").fullmatch


def id_error(text: str) -> str | None:
    """Why `text` may not be the id of a task, an executor or a framework."""
    if _is_plain(text):
        return None
    try:
        validate_id(text)
    except Refused as refused:
        return refused.text
    return None
