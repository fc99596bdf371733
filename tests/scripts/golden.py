"""Golden files: written with `--rewrite`, compared exactly without it."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

DIFF_LINES_MAX = 80  # shown of one file; the command shows the rest


def hold(file: Path, text: str, test: str, *, rewrite: bool) -> None:
    """The file holds `text`; otherwise AssertionError with what differs and how to repeat it.

    `test` is the node id of the calling test.
    """
    if rewrite:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if known == text:
        return
    lines = list(
        unified_diff(
            known.split("\n"), text.split("\n"), f"{file.name} (golden)", "now", lineterm=""
        )
    )
    shown = "\n".join(lines[:DIFF_LINES_MAX])
    raise AssertionError(
        f"{file.name} is not as it was; repeat with\n"
        f"  pytest '{test}'\n"
        f"and if it is right now, write it with\n"
        f"  pytest '{test}' --rewrite\n{shown}"
    )
