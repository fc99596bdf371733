"""Where Tepui answers otherwise than the recorded Mesos, on purpose or because a feature is still to come.

An entry names a scenario, its steps (none: all), and the place in the answer as a failing test prints it; scenario
and place may hold `*`. An entry that no longer fits anything fails the tests, so this list stays true.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.compat.differing_agents import AGENTS
from tests.compat.differing_operators import OPERATORS
from tests.compat.differing_schedulers import SCHEDULERS
from tests.compat.listing import (
    MACHINE,
    PROVIDERS,
    QUOTA,
    RESERVATIONS,
    Difference,
)
from tests.compat.recorded import Step, scenario
from tests.compat.waiting import WAITING

BUILD = Difference(
    "*",
    (),
    ("body*.build_date", "body*.git_*"),
    "a build is known by its version; there is no date, user or commit of a compilation",
)
CAPABILITIES = Difference(
    "*",
    (),
    (
        "*.capabilities[*].type",
        "body.capabilities[*",
        "*.capabilities.length",
        "*.slaves[*].capabilities[*",
    ),
    "agents name the features they have",
    RESERVATIONS,
)

# Of any answer.
EVERYWHERE: tuple[Difference, ...] = (
    BUILD,
    CAPABILITIES,
    Difference(
        "*",
        (),
        ("*.flags.*",),
        "the flags that this daemon has are shown, with its own defaults",
    ),
    # Metrics
    Difference(
        "*",
        (),
        (
            "metric allocator/event_queue_dispatches",
            "metric allocator/mesos/event_queue_dispatches",
            "metric allocator/mesos/allocation_run*",
            "metric master/event_queue_*",
            "metric master/dropped_messages",
            "metric master/http_cache_hits",
        ),
        "there are no actors with queues, no cached answers and no allocation runs to measure",
    ),
    Difference(
        "*",
        (),
        (
            "metric master/messages_authenticate",
            "metric master/messages_deactivate_framework",
            "metric master/messages_exited_executor",
            "metric master/messages_reregister_framework",
            "metric master/messages_unregister_framework",
            "metric master/messages_update_slave",
        ),
        "messages of the drivers before the v1 API, which do not exist",
    ),
    Difference(
        "*",
        (),
        ("metric master/*operation*",),
        "no operations are made",
        RESERVATIONS,
    ),
    Difference("*", (), ("metric allocator/mesos/quota/*",), "no quota is kept", QUOTA),
    Difference(
        "*",
        (),
        (
            "metric registrar/*",
            "metric master/slave_shutdowns_*",
        ),
        "the registry is no replicated log, and agents that were away are not shut down",
    ),
    Difference("*", (), ("metric system/*",), "the master does not measure its machine", MACHINE),
    Difference(
        "*",
        (),
        ("metric containerizer/mesos/provisioner/bind/*",),
        "the root of a container is mounted for itself alone, and gone with it",
    ),
    Difference("*", (), ("metric resource_provider_manager/*",), "there are none", PROVIDERS),
    Difference("*", (), ("metric slave/recovery_time_secs",), "the agent's start is not timed"),
    Difference(
        "*",
        (),
        ("*.agent_info.checkpoint", "*.recovered_agents[*].checkpoint"),
        "the v1 API has no such field; Mesos shows one of its older form",
    ),
)

# Before all others, which are about masters that measure.
STANDBY = Difference(
    "standby-answers",
    (18,),
    ("metric *",),
    "a standby measures nothing but that it does not lead",
)

DIFFERENCES = (STANDBY, *EVERYWHERE, *SCHEDULERS, *OPERATORS, *AGENTS)


def playable(name: str) -> tuple[Step, ...]:
    """The steps of a scenario that do not wait as a whole."""
    return tuple(step for step in scenario(name) if not waits(step))


def waits(step: Step) -> bool:
    """The step is not played yet."""
    return any(one.holds(step) for one in WAITING)


def fitting(step: Step, path: str) -> Difference | None:
    """The entry about a place; None when the place must be as recorded."""
    return next((one for one in DIFFERENCES if one.fits(step, path)), None)


def may_differ(step: Step) -> bool:
    """Whether chance decides if the exchange is as recorded."""
    return any(one.by_chance and one.is_of(step) for one in DIFFERENCES)


def unused(found: Sequence[tuple[Step, str]]) -> list[Difference]:
    """Entries that no difference found belongs to, though one should in every run."""
    certain = [one for one in DIFFERENCES if not one.by_chance]
    return [one for one in certain if not any(one.fits(step, path) for step, path in found)]
