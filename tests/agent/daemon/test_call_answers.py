"""Calls that an agent refuses, or answers without tasks: exactly as Mesos 1.12 answered them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from tests.agent.daemon.client import request
from tests.agent.daemon.fake_master import running_agent

pytestmark = pytest.mark.real


class Recorded(Struct, frozen=True):
    """A request, and what Mesos said; an `answer` of None is not compared."""

    name: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: str
    status: int
    content_type: str | None
    answer: str | None


DATA = Path(__file__).parents[2] / "data" / "agent-call-answers.json"


def test_calls_are_answered_as_recorded() -> None:
    recorded = msgspec.json.decode(DATA.read_bytes(), type=list[Recorded])

    async def scenario() -> list[str]:
        differences: list[str] = []
        async with running_agent() as (_, daemon):
            for one in recorded:
                got = await request(
                    daemon.port, one.method, one.path, one.headers, one.body.encode()
                )
                wanted = (one.status, one.content_type, one.answer)
                body = got.body.decode("utf-8", "replace") if one.answer is not None else None
                found = (got.status, got.headers.get("content-type"), body)
                if found != wanted:
                    differences.append(f"{one.name} {one.body}: {found}, not {wanted}")
        return differences

    assert asyncio.run(scenario()) == []
