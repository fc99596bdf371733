"""What a framework's ledger says of its launches."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from tests.real.chaos.ledger import NOWHERE, TERMINAL, entries_of


def launches_s(ledgers: Iterable[Path]) -> list[float]:
    """When each task was first heard of as running, in order."""
    running: dict[str, float] = {}
    for ledger in ledgers:
        for entry in entries_of(ledger):
            if entry["kind"] == "update" and entry["state"] == "TASK_RUNNING":
                running.setdefault(entry["task"], entry["at_s"])
    return sorted(running.values())


def longest_pause_s(launched_s: list[float], since_s: float, until_s: float) -> float:
    """The longest time between two launches in that while, its begin and its end included."""
    moments = [since_s, *(at for at in launched_s if since_s < at < until_s), until_s]
    return max(after - before for before, after in pairwise(moments))


class Refusal(Struct, frozen=True):
    """What a master said of a task that no agent has told anything of."""

    state: str
    text: str
    answered: bool  # the ACCEPT that was to launch it


def never_launched(ledgers: Iterable[Path]) -> list[Refusal]:
    """Of each task that has come to nothing."""
    return [refusal for ledger in ledgers for refusal in _refusals(ledger).values()]


def _refusals(ledger: Path) -> dict[str, Refusal]:
    found: dict[str, Refusal] = {}
    unsure: set[str] = set()
    known: set[str] = set()  # to its agent
    for entry in entries_of(ledger):
        if entry["kind"] == "unsure":
            unsure.update(entry["tasks"])
        elif entry["kind"] == "update" and entry["uuid"]:
            known.add(entry["task"])
        elif entry["kind"] == "update" and entry["state"] in NOWHERE:
            name = entry["task"]
            found[name] = Refusal(entry["state"], entry["text"], name not in unsure)
    return {name: refusal for name, refusal in found.items() if name not in known}


def lasting(ledger: Path, since_s: float, until_s: float) -> int:
    """How many tasks ran all that while."""
    running: set[str] = set()
    ended: set[str] = set()
    for entry in entries_of(ledger):
        if entry["kind"] != "update":
            continue
        if entry["state"] == "TASK_RUNNING" and entry["at_s"] < since_s:
            running.add(entry["task"])
        elif entry["state"] in TERMINAL and entry["at_s"] < until_s:
            ended.add(entry["task"])
    return len(running - ended)
