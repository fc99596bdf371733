"""The terms in which it is said where Tepui answers otherwise than the recorded Mesos: entries, and the features waited for."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct

from tests.compat.recorded import Step


class Difference(Struct, frozen=True):
    """One place that differs; `feature`: the feature it waits for, otherwise it is meant to differ.

    `by_chance`: in another run it may be as recorded, so that the exchanges of its `steps` count as
    differing in any case.
    """

    scenario: str
    steps: tuple[int, ...]
    paths: tuple[str, ...]
    reason: str
    feature: str | None = None
    by_chance: bool = False

    def fits(self, step: Step, path: str) -> bool:
        """Whether this entry is about that place."""
        return self.is_of(step) and any(
            fnmatchcase(path, literal(pattern)) for pattern in self.paths
        )

    def is_of(self, step: Step) -> bool:
        """Whether this entry is about a place of that exchange."""
        return fnmatchcase(step.name, self.scenario) and (not self.steps or step.step in self.steps)


class Waiting(Struct, frozen=True):
    """A scenario that can't be played before a feature is there: not at all, not beyond the step `after`,
    or not these `steps`.
    """

    area: str
    scenario: str
    feature: str
    after: int = 0
    steps: tuple[int, ...] = ()

    def holds(self, step: Step) -> bool:
        """Whether that step waits."""
        if step.name != self.scenario:
            return False
        return step.step in self.steps if self.steps else step.step > self.after


def literal(pattern: str) -> str:
    """Brackets of JSON paths mean themselves."""
    return pattern.replace("[", "[[]")


# The features that are waited for.
FRAMEWORK_METRICS = "counters of single frameworks"
QUOTA = "quota"
RESERVATIONS = "reservations and volumes"
MAINTENANCE = "maintenance"
DRAINING = "draining"
AUTHENTICATION = "authentication and permissions"
PROVIDERS = "resource providers"
MACHINE = "metrics of the machine"
SITE = "a web interface"
COMPRESSION = "compressed answers"
