"""Compares metrics: all recorded names must be there; gauges of the cluster must have the same value."""

from __future__ import annotations

import re

from tests.compat.jsonvalue import Json, field
from tests.compat.matching import Names, Problem, names_in

# The rest counts what happened since the start, or is of one moment of one machine.
STEADY = re.compile(
    r"master/(elected|frameworks_\w+|slaves_(active|connected|disconnected|inactive|unreachable)"
    r"|tasks_(running|staging|starting|killing|unreachable)|(cpus|mem|disk|gpus)_(total|used|percent))"
    r"|slave/(registered|frameworks_active|executors_\w+ing|tasks_(running|staging|starting|killing)"
    r"|(cpus|mem|disk|gpus)_(total|used|percent))"
)


def compared(recorded: Json, got: Json, names: Names) -> list[Problem]:
    """Names that are missing, and gauges of another value."""
    known = {names_in(name, names): value for name, value in _values(recorded).items()}
    came = _values(got)
    problems = [
        Problem(f"metric {name}", "(a number)", "(absent)") for name in known if name not in came
    ]
    for name in known:
        if name in came and not isinstance(came[name], (int, float)):
            problems.append(Problem(f"metric {name}", "(a number)", repr(came[name])))
        elif name in came and STEADY.fullmatch(name) and known[name] != came[name]:
            problems.append(Problem(f"metric {name}", repr(known[name]), repr(came[name])))
    return problems


def _values(answer: Json) -> dict[str, Json]:
    """By name, of the operator API's form or the classic one."""
    listed = field(answer, "get_metrics", "metrics")
    if isinstance(listed, list):
        return {str(field(one, "name")): field(one, "value") for one in listed}
    assert isinstance(answer, dict)
    return answer
