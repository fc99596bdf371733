"""Compares what came with what was recorded, and learns what the placeholders of a scenario stand for."""

from __future__ import annotations

import base64
import re
import time
import uuid

from msgspec import Struct

from tests.compat.jsonvalue import Json, field

PLACEHOLDER = re.compile(r"<(?:[A-Z0-9]+_\d+|TIME_NS|[A-Z]+)>")
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SHAPES = {
    "FRAMEWORK": rf"{UUID}-\d{{4,}}",
    "AGENT": rf"{UUID}-S\d+",
    "OFFER": rf"{UUID}-O\d+",
    "UUID": UUID,
    "UUIDB64": r"[A-Za-z0-9+/]{22}==",
    "PID": r"\d+",
    "TIME": r"\d+(?:\.\d+)?(?:e[+-]?\d+)?",
    "TIME_NS": r"\d+",
    "DATE": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "WORK": r"/[^ ]*?",
    "BIN": r"/[^ ]*?",
    "SRC": r"/[^ ]*?",
    "FILES": r"/[^ ]*?",
    "PYTHON": r"/[^ ]*?",
    "BUILD": r"/[^ ]*?",
    "TMPFILE": r"/[^ ]*?",
}
MEASURED = re.compile(
    r"statistics\.(cpus_(system|user)_time_secs|mem_rss_bytes|timestamp)$"
    r"|body\.(avg_load_\d+min|cpus_total|mem_(free|total)_bytes)$"
)
BASE64 = re.compile(SHAPES["UUIDB64"])
NUMBERED = ("FRAMEWORK", "AGENT", "OFFER", "UUID", "UUIDB64")
NUMBERS = ("<PID>", "<TIME>", "<TIME_NS>")  # placeholders that stand for JSON numbers
# Lists whose order comes from hash maps in Mesos, or from the moment of an allocation.
UNORDERED = (
    "executor_ids",
    "resources",
    "unreserved_resources",
    "reserved_resources",
    "used_resources",
    "offered_resources",
    "offers",
    "tasks",
    "frameworks",
    "completed_frameworks",
    "completed_tasks",
    "unreachable_tasks",
    "slaves",
    "agents",
    "executors",
    "weight_infos",
    "framework_ids",
    "file_infos",
    "roles",
    "containers",
)


class Problem(Struct, frozen=True):
    """One place where the answer is not the recorded one."""

    path: str
    recorded: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}\n    recorded: {self.recorded}\n    got:      {self.got}"


class Unknown(Exception):
    """A request needs a value that no answer has told yet."""


class Names:
    """What the placeholders of one scenario stand for."""

    def __init__(self, known: dict[str, str]) -> None:
        self.values = dict(known)

    def fill(self, text: str) -> str:
        """`text` with values for placeholders; ids that we choose ourselves are made up."""
        text = text.replace('"<TIME>"', f"{time.time():.3f}")
        return PLACEHOLDER.sub(lambda match: self._value(match[0]), text)

    def copy(self) -> Names:
        """A copy to try a match with."""
        return Names(self.values)

    def adopt(self, other: Names) -> None:
        """Know what the copy has learned."""
        self.values.update(other.values)

    def matches(self, recorded: str, got: str) -> bool:
        """Whether `got` is the recorded text; then its placeholders are learned."""
        pattern, at = "", 0
        seen: list[str] = []
        for match in PLACEHOLDER.finditer(recorded):
            kind = _kind(match[0])
            if kind not in SHAPES:
                continue
            pattern += re.escape(recorded[at : match.start()])
            at = match.end()
            known = self.values.get(match[0])
            if known is not None:
                pattern += re.escape(known)
            elif match[0] in seen:
                pattern += f"(?P=p{seen.index(match[0])})"
            else:
                pattern += f"(?P<p{len(seen)}>{SHAPES[kind]})"
                seen.append(match[0])
        found = re.fullmatch(pattern + re.escape(recorded[at:]), got, re.DOTALL)
        if found is None:
            return False
        learned = {
            name: found[f"p{index}"]
            for index, name in enumerate(seen)
            if _kind(name) in (*NUMBERED, "WORK", "FILES", "PYTHON", "BIN")
        }
        taken = {self.values[name] for name in self.values if _kind(name) in NUMBERED}
        if any(value in taken for value in learned.values()):
            return False  # one value, one placeholder
        self.values.update(learned)
        return True

    def _value(self, placeholder: str) -> str:
        known = self.values.get(placeholder)
        if known is not None:
            return known
        match _kind(placeholder):
            case "UUID":
                made = str(uuid.uuid4())
            case "UUIDB64":
                made = base64.b64encode(uuid.uuid4().bytes).decode()
            case kind if kind in SHAPES:
                raise Unknown(placeholder)
            case _:
                return placeholder
        self.values[placeholder] = made
        return made


def compare(recorded: Json, got: Json, names: Names, path: str) -> list[Problem]:
    """What differs, with JSON paths; what agrees is learned."""
    if isinstance(recorded, str) and recorded in NUMBERS:
        if isinstance(got, bool) or not isinstance(got, (int, float)):
            return [_problem(path, recorded, got)] if not _digits(got) else []
        return []
    if type(recorded) is not type(got):
        return [_problem(path, recorded, got)]
    if isinstance(recorded, dict) and isinstance(got, dict):
        return _compare_objects(recorded, got, names, path)
    if isinstance(recorded, list) and isinstance(got, list):
        if path.endswith((".flags", ".metrics")):
            return _compare_objects(_by_name(recorded), _by_name(got), names, path)
        last = path.rpartition(".")[2].removesuffix("_full")
        if last in UNORDERED or path.endswith("resources") or _are_unordered(recorded):
            return _compare_sets(recorded, got, names, path)
        return _compare_lists(recorded, got, names, path)
    if isinstance(recorded, str) and isinstance(got, str):
        if path.endswith("uuid") and BASE64.fullmatch(recorded) and BASE64.fullmatch(got):
            return []  # the recording kept what it got
        return (
            [] if names.matches(recorded, got) else [_problem(path, names_in(recorded, names), got)]
        )
    if MEASURED.search(path):
        return []
    return [] if recorded == got else [_problem(path, recorded, got)]


def names_in(text: str, names: Names) -> str:
    """`text` with what is known put in, for a message."""
    return PLACEHOLDER.sub(lambda match: names.values.get(match[0], match[0]), text)


def _compare_objects(
    recorded: dict[str, Json], got: dict[str, Json], names: Names, path: str
) -> list[Problem]:
    problems: list[Problem] = []
    recorded = {_named_key(key, got, names): value for key, value in recorded.items()}
    for key, value in recorded.items():
        if key in got:
            problems += compare(value, got[key], names, f"{path}.{key}")
        else:
            problems.append(_problem(f"{path}.{key}", value, "(absent)"))
    for key, value in got.items():
        if key not in recorded:
            problems.append(_problem(f"{path}.{key}", "(absent)", value))
    return problems


def _are_unordered(recorded: list[Json]) -> bool:
    """What /weights, /containers and /monitor/statistics answer: lists without a name."""
    if not recorded or not isinstance(recorded[0], dict):
        return False
    return set(recorded[0]) == {"role", "weight"} or "statistics" in recorded[0]


def _by_name(named: list[Json]) -> dict[str, Json]:
    return {str(field(one, "name")): field(one, "value") for one in named}


def _named_key(key: str, got: dict[str, Json], names: Names) -> str:
    """The key that came for one that holds placeholders."""
    if not PLACEHOLDER.search(key):
        return key
    return next((one for one in got if names.matches(key, one)), names_in(key, names))


def _compare_lists(recorded: list[Json], got: list[Json], names: Names, path: str) -> list[Problem]:
    problems: list[Problem] = []
    for index, (one, other) in enumerate(zip(recorded, got, strict=False)):
        problems += compare(one, other, names, f"{path}[{index}]")
    if len(recorded) != len(got):
        problems.append(_problem(f"{path}.length", recorded, got))
    return problems


def _compare_sets(recorded: list[Json], got: list[Json], names: Names, path: str) -> list[Problem]:
    """Pairs each recorded item with the one that differs least."""
    problems: list[Problem] = []
    left = list(got)
    for index, item in enumerate(recorded):
        best: tuple[list[Problem], int, Names] | None = None
        for position, candidate in enumerate(left):
            trial = names.copy()
            found = compare(item, candidate, trial, f"{path}[{index}]")
            if best is None or len(found) < len(best[0]):
                best = (found, position, trial)
            if not found:
                break
        if best is None:
            problems.append(_problem(f"{path}[{index}]", item, "(absent)"))
            continue
        problems += best[0]
        names.adopt(best[2])
        del left[best[1]]
    problems += [_problem(f"{path}[+]", "(absent)", item) for item in left]
    return problems


def _problem(path: str, recorded: Json, got: Json) -> Problem:
    return Problem(path, _shown(recorded), _shown(got))


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else repr(value)


def _digits(value: Json) -> bool:
    return isinstance(value, str) and value.isdigit()


def _kind(placeholder: str) -> str:
    name = placeholder.strip("<>")
    return name if name == "TIME_NS" else name.partition("_")[0]
