"""Where Tepui answers otherwise than the recorded Mesos, on purpose or because a feature is still to come.

An entry names a scenario, its steps (none: all), and the place in the answer as a failing test prints it; scenario
and place may hold `*`. An entry that no longer fits anything fails the tests, so this list stays true.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from tests.compat.recorded import Step


class Difference(Struct, frozen=True):
    """One place that differs; `issue`: the feature it waits for, otherwise it is meant to differ."""

    scenario: str
    steps: tuple[int, ...]
    paths: tuple[str, ...]
    reason: str
    issue: str | None = None

    def fits(self, step: Step, path: str) -> bool:
        """Whether this entry is about that place."""
        return (
            fnmatchcase(step.name, self.scenario)
            and (not self.steps or step.step in self.steps)
            and any(fnmatchcase(path, _literal(pattern)) for pattern in self.paths)
        )


class Waiting(Struct, frozen=True):
    """A scenario that can't be played before a feature is there."""

    area: str
    scenario: str
    issue: str


CONTAINERS = "Containers"
SHARING = "Sharing"
NOTHING_IS_LOST = "Nothing is lost"

WAITING = (
    *(
        Waiting("A2", name, CONTAINERS)
        for name in (
            "task-group-both-succeed",
            "task-group-one-fails",
            "task-group-kill-one",
            "task-group-shutdown-executor",
            "task-group-custom-type",
            "task-group-health-check",
        )
    ),
    *(
        Waiting("A4", name, SHARING)
        for name in (
            "operations-reserve-create-destroy-unreserve-with-reservation-refinement",
            "operations-reserve-create-destroy-unreserve-pre-refinement-format",
            "offers-under-quota-limit",
            "inverse-offers",
        )
    ),
    Waiting("E", "executor-agent-restart-scheduler-side", NOTHING_IS_LOST),
    Waiting("E", "executor-agent-restart-executor-side", NOTHING_IS_LOST),
)

DIFFERENCES: tuple[Difference, ...] = ()


def fitting(step: Step, path: str) -> Difference | None:
    """The entry about a place; None when the place must be as recorded."""
    return next((one for one in DIFFERENCES if one.fits(step, path)), None)


def unused(found: Sequence[tuple[Step, str]]) -> list[Difference]:
    """Entries that no difference found belongs to."""
    return [one for one in DIFFERENCES if not any(one.fits(step, path) for step, path in found)]


def _literal(pattern: str) -> str:
    """Brackets of JSON paths mean themselves."""
    return pattern.replace("[", "[[]")
