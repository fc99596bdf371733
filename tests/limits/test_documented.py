"""docs/limits.md says what the code says: every limit is there, with its value and its test."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct, structs

from tepui.agent.core.state import Settings as AgentSettings
from tepui.master.core.settings import Settings as MasterSettings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tepui"
PAGE = ROOT / "docs" / "limits.md"

UNITS = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "ms": 1,
    "s": 1_000,
    "d": 86_400_000,
}


class Row(Struct, frozen=True):
    """One limit of the page; `name` and `path` are what stands in the code."""

    name: str
    value: str
    path: str
    test: str


def rows() -> list[Row]:
    """The limits that are constants."""
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[2].endswith(".py"):
            found.append(Row(cells[0], cells[1], cells[2], cells[5]))
    return found


def flags() -> list[tuple[str, str]]:
    """The limits that are flags: name and default."""
    found = re.findall(r"^\| `--(\w+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    return [(str(name), str(value)) for name, value in found]


def constants() -> Iterator[tuple[str, str]]:
    """Every constant whose name says that it is a limit, with its file; simulations are tests."""
    for file in sorted(SOURCE.rglob("*.py")):
        path = str(file.relative_to(SOURCE))
        if path.startswith("sim/"):
            continue
        for statement in ast.parse(file.read_text()).body:
            targets: list[ast.expr] = []
            if isinstance(statement, ast.Assign):
                targets = statement.targets
            elif isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            nodes = [node for one in targets for node in ast.walk(one)]
            names = [node.id for node in nodes if isinstance(node, ast.Name)]
            yield from ((name, path) for name in names if name.endswith("_MAX"))


def value_of(row: Row) -> object:
    """The value in the code."""
    module = importlib.import_module(f"tepui.{row.path[:-3].replace('/', '.')}")
    return getattr(module, row.name)


def number(row: Row) -> float | str:
    """The value on the page, in the unit of the constant."""
    if row.value.startswith('"'):
        return row.value.strip('"')
    digits, _, unit = row.value.partition(" ")
    value = float(digits) if "." in digits else int(digits.replace(",", ""))
    told = value * UNITS[unit or "B"]
    return told / 1_000 if re.search(r"_S(_|$)", row.name) else told


def test_every_limit_is_on_the_page() -> None:
    described = {(row.name, row.path) for row in rows()}
    missing = sorted(f"{name} of {path}" for name, path in set(constants()) - described)
    assert missing == [], "docs/limits.md does not name these"


def test_no_limit_is_on_the_page_twice() -> None:
    described = [(row.name, row.path) for row in rows()]
    assert len(described) == len(set(described))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.path}:{row.name}")
def test_a_limit_has_the_value_that_is_told(row: Row) -> None:
    assert value_of(row) == number(row)


def test_the_tests_that_are_named_are_there() -> None:
    named = {row.test for row in rows() if row.test}
    assert [test for test in sorted(named) if not (ROOT / "tests" / test).is_file()] == []


def test_flags_have_the_defaults_that_are_told() -> None:
    defaults = structs.asdict(MasterSettings())
    agents = {field.name: field.default for field in structs.fields(AgentSettings)}
    defaults["max_completed_executors_per_framework"] = agents["completed_executors_max"]
    defaults["offer_timeout"] = defaults["offer_timeout_ms"]
    assert len(flags()) > 5
    for name, value in flags():
        told = None if value == "none" else int(value.replace(",", ""))
        assert defaults[name] == told, name
