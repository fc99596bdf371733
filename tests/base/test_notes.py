"""A line of the log is one line, whoever has said what is in it."""

from __future__ import annotations

import pytest

from tepui.base.notes import line


def test_a_line_is_a_text_and_fields() -> None:
    fields = (("agent", "a1"), ("reason", "the disk is full"))
    assert line("agent_gone", fields) == "agent_gone agent=a1 reason=the disk is full"
    assert line("agent_gone", ()) == "agent_gone"


@pytest.mark.parametrize("said", ["1.0\nagent_gone agent=a2", "\x1b[2J", "a\r", "a\u2028b"])
def test_what_others_say_stays_on_its_line(said: str) -> None:
    found = line("agent_gone", (("version", said),))
    assert found.isprintable()
    assert found == f"agent_gone version={said!r}"
