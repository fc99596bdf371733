"""JSON values of the classic endpoints, and amounts as they write them.

Source: Mesos common/http.cpp; recorded answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import msgspec
from msgspec import Struct

from tepui.resources import Resources
from tepui.resources.ranges import Ranges
from tepui.resources.scalars import from_milli
from tepui.wire import mesos

JsonValue: TypeAlias = (
    "bool | int | float | str | Struct | msgspec.Raw"
    " | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
AMOUNTS_CACHED_MAX = 1_024  # tasks repeat a few shapes of resources
_ENCODER = msgspec.json.Encoder()


def encode(value: JsonValue) -> bytes:
    """The value as one line of JSON."""
    return _ENCODER.encode(value)


@lru_cache(maxsize=AMOUNTS_CACHED_MAX)
def amounts(resources: Resources) -> Mapping[str, float | str]:
    """The sums by name: scalars as numbers, ranges and sets as text. Do not change the answer.

    The four usual scalars are there even when they are zero; revocable ones are named apart.
    """
    scalars: dict[str, int] = {"disk": 0, "mem": 0, "gpus": 0, "cpus": 0}
    ranges: dict[str, Ranges] = {}
    sets: dict[str, frozenset[str]] = {}
    for kind, quantity in resources.items():
        name = f"{kind.name}_revocable" if kind.revocable else kind.name
        if isinstance(quantity, Ranges):
            ranges[name] = ranges[name] | quantity if name in ranges else quantity
        elif isinstance(quantity, frozenset):
            sets[name] = sets.get(name, frozenset()) | quantity
        else:
            amount = quantity
            if kind.whole_milli is not None:
                amount = kind.whole_milli * (1 if kind.shared else quantity)
            scalars[name] = scalars.get(name, 0) + amount
    found: dict[str, float | str] = {n: from_milli(amount) for n, amount in scalars.items()}
    found.update((name, str(numbers)) for name, numbers in ranges.items())
    found.update((name, "{" + ", ".join(sorted(items)) + "}") for name, items in sets.items())
    return found


@lru_cache(maxsize=AMOUNTS_CACHED_MAX)
def amounts_text(resources: Resources) -> msgspec.Raw:
    """The same, written."""
    return msgspec.Raw(encode(amounts(resources)))


def attributes(found: Sequence[mesos.Attribute]) -> dict[str, JsonValue]:
    """Attributes by name; of several with one name the last is seen, as in Mesos."""
    values: dict[str, JsonValue] = {}
    for attribute in found:
        if attribute.scalar is not None:
            values[attribute.name] = attribute.scalar.value
        elif attribute.text is not None:
            values[attribute.name] = attribute.text.value
        elif attribute.ranges is not None:
            values[attribute.name] = str(Ranges.from_wire(attribute.ranges))
        elif attribute.set is not None:
            values[attribute.name] = "{" + ", ".join(attribute.set.item) + "}"
    return values


def labels_of(found: mesos.Labels | None) -> tuple[mesos.Label, ...] | None:
    """Labels as a list of their own; None for none."""
    return None if found is None else found.labels or None


def seconds(at_ms: int) -> float:
    """A time as these endpoints write it."""
    return at_ms / 1000
