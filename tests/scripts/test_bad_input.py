"""What wrong requests are answered, call by call: the tables in `bad-input/`.

`pytest tests/scripts --rewrite` writes them anew. After each request the state is as it was
before, unless the table says that it was accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.scripts.golden import hold
from tests.scripts.tables import (
    agent,
    agent_operator,
    classic,
    executor,
    master,
    master_operator,
    scheduler,
)
from tests.scripts.tables.case import (
    Case,
    Seen,
    Table,
    block_text,
    head_text,
    line_text,
)
from tests.scripts.tables.schema import MESSAGES, Wrongs, call_types, reachable
from tests.scripts.tables.served import Served, encoded

FILES = Path(__file__).parent / "bad-input"
HERE = "tests/scripts/test_bad_input.py"

Make = Callable[[], tuple[Served, object]]  # type: ignore[type-arg]  # a daemon of either kind

APIS = ("scheduler", "executor", "master", "agent")
OF_MASTER = (*scheduler.tables(), *master_operator.tables(), *classic.master_tables())
OF_AGENT = (*executor.tables(), *agent_operator.tables(), *classic.agent_tables())
TABLES = {table.name: table for table in (*OF_MASTER, *OF_AGENT)}
MAKERS = dict.fromkeys((table.name for table in OF_MASTER), master.served) | dict.fromkeys(
    (table.name for table in OF_AGENT), agent.served
)


@pytest.mark.parametrize("name", TABLES)
def test_wrong_requests_are_answered_as_in_the_table(
    name: str, rewrite: bool, tmp_path: Path
) -> None:
    table = TABLES[name]
    (tmp_path / "stdout").write_text("hello\n")
    text, faults = asyncio.run(_played(table, partial(MAKERS[name], tmp_path)))
    test = f"{HERE}::test_wrong_requests_are_answered_as_in_the_table[{name}]"
    hold(FILES / f"{name}.txt", text, test, rewrite=rewrite)
    assert faults == [], "\n".join(faults)


def test_every_call_of_every_api_has_a_table() -> None:
    wanted = {f"{api}-{name.lower()}" for api in APIS for name in call_types(api)}
    assert wanted <= set(TABLES)
    assert {file.stem for file in FILES.glob("*.txt")} == {*TABLES, "http-raw"}


@pytest.mark.parametrize("api", APIS)
def test_every_field_that_a_call_can_hold_is_tried(api: str) -> None:
    call = f"mesos.v1.{api}.Call"
    wrongs = Wrongs(api)
    for field in MESSAGES[call]:
        assert [*wrongs.of(field, {})]
    assert wrongs.fields == reachable(call)
    prefixes = tuple(f"{api}-{name}" for name in ("ids", *(n.lower() for n in call_types(api))))
    sections = [s for name in TABLES if name in prefixes for s in TABLES[name].sections]
    titles = [one.title for section in sections for one in section.cases]
    parts = {title.partition(" ")[0].partition(".")[0] for title in titles}
    assert MESSAGES[call].keys() - parts <= {"type"}  # which `-body` has


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """SET_LOGGING_LEVEL is a call like any other."""
    logger = logging.getLogger("tepui")
    level = logger.level
    yield
    logger.setLevel(level)


async def _played(table: Table, make: Make) -> tuple[str, list[str]]:
    """The table's text, with what is answered now; and which requests did what they should not."""
    parts = [head_text(table)]
    daemon, state = make()
    await daemon.quiet()
    before = encoded(state)
    faults = []
    for section in table.sections:
        if not section.cases:
            continue
        parts.append(f"\n== {section.title}\n\n")
        for one in section.cases:
            seen = await _ask(daemon, table, one)
            parts.append(line_text(one, seen) if section.lines else block_text(table, one, seen))
            if not section.lines:
                parts.append("\n")
            after = encoded(state)
            changed = sorted(name for name in after if after[name] != before[name])
            if bool(changed) != one.effect:
                faults.append(f"{one.title} {one.shown or one.body[:300]!r}: changed {changed}")
            if section.title.startswith("Fields") and seen.status != 400:
                faults.append(f"{one.title}: {seen.status}")
            if changed:
                daemon, state = make()
                await daemon.quiet()
                before = encoded(state)
    return "".join(parts).rstrip("\n") + "\n", faults


async def _ask(daemon: Served, table: Table, one: Case) -> Seen:  # type: ignore[type-arg]  # as above
    headers = {**table.headers, **one.headers}
    sent = {name: value for name, value in headers.items() if value is not None}
    return await daemon.ask(one.method, one.path or table.path, sent, one.body, one.principal)
