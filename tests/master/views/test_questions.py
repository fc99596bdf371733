"""Which queries are refused, and with which text."""

from __future__ import annotations

import pytest

from tepui.base.errors import Refused
from tepui.master.core.views.durations import duration_ms
from tepui.master.core.views.questions import (
    ExplainFrameworkAsked,
    ExplainTaskAsked,
    MetricsAsked,
    question_of,
    teardown_of,
)
from tepui.resources import parse_resources


def test_unknown_path_is_no_question() -> None:
    assert question_of("nope", {}) is None
    assert question_of("state.json", {}) is None


def test_timeout_of_metrics_is_a_duration() -> None:
    assert question_of("metrics/snapshot", {"timeout": "1secs"}) == MetricsAsked()
    with pytest.raises(Refused) as refused:
        question_of("metrics/snapshot", {"timeout": "x"})
    assert refused.value.text == "Invalid timeout 'x': Failed to convert '' to number.\n"


@pytest.mark.parametrize(
    ("text", "wanted"), [("1.5mins", 90_000.0), ("2ns", 2e-6), ("0secs", 0.0), ("1weeks", 6048e5)]
)
def test_durations_have_units(text: str, wanted: float) -> None:
    assert duration_ms(text) == wanted


@pytest.mark.parametrize("text", ["", "5", "1.2.3secs", "5parsecs", "-1secs"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(Refused):
        duration_ms(text)


def test_teardown_needs_a_framework() -> None:
    assert teardown_of({"frameworkId": "f"}) == "f"
    with pytest.raises(Refused) as refused:
        teardown_of({})
    assert refused.value.text == "Missing 'frameworkId' query parameter in the request body"


def test_explain_asks_for_a_task_or_for_amounts() -> None:
    assert question_of("explain", {"framework_id": "f", "task_id": "t"}) == ExplainTaskAsked(
        "f", "t"
    )
    assert question_of("explain", {"framework_id": "f"}) == ExplainFrameworkAsked("f")
    asked = question_of("explain", {"framework_id": "f", "cpus": "2", "mem": "64"})
    assert asked == ExplainFrameworkAsked("f", parse_resources("cpus:2;mem:64"))


@pytest.mark.parametrize("query", [{}, {"framework_id": ""}, {"framework_id": "f", "cpus": "-"}])
def test_explain_refuses_what_it_cannot_read(query: dict[str, str]) -> None:
    with pytest.raises(Refused):
        question_of("explain", query)
