"""What a daemon tells of its machine and its log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import msgspec
import pytest

from tepui.web.http import Request, Response, json
from tepui.web.loglevel import LogLevel
from tepui.web.process import ProcessApi


def ask(handler: Callable[[Request], Awaitable[Response]], **query: str) -> tuple[int, str]:
    async def answer() -> Response:
        return await handler(_request(**query))

    response = asyncio.run(answer())
    return response.status, response.body.decode()


def _request(**query: str) -> Request:
    return Request(
        method="GET",
        path="",
        rest="",
        headers={},
        query_text=urlencode(query),
        body=b"",
        server="",
    )


def test_the_machine_has_processors_and_memory() -> None:
    status, body = ask(ProcessApi(LogLevel()).stats)
    found = msgspec.json.decode(body, type=dict[str, float])
    assert status == 200
    assert found["cpus_total"] >= 1
    assert found["mem_total_bytes"] > found["mem_free_bytes"] > 0


def test_the_log_level_is_told_and_raised_for_a_while() -> None:
    level = LogLevel()
    api = ProcessApi(level)

    async def scenario() -> None:
        assert (await api.toggle(_request())).body == b"0\n"
        raised = await api.toggle(_request(level="2", duration="1hrs"))
        assert (raised.status, raised.body) == (200, b"")
        assert (await api.toggle(_request())).body == b"2\n"
        level.reset()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"level": "1"}, "Expecting 'duration=value' in query.\n"),
        ({"duration": "1secs"}, "Expecting 'level=value' in query.\n"),
        ({"level": "-1", "duration": "1secs"}, "Invalid level '-1'.\n"),
        ({"level": "x", "duration": "1secs"}, "Invalid level 'x'.\n"),
    ],
)
def test_a_log_level_that_cannot_be_is_refused(query: dict[str, str], text: str) -> None:
    assert ask(ProcessApi(LogLevel()).toggle, **query) == (400, text)


def test_a_duration_that_cannot_be_is_refused_by_its_name() -> None:
    status, body = ask(ProcessApi(LogLevel()).toggle, level="1", duration="soon")
    assert status == 400
    assert body.startswith("Invalid duration 'soon': ")


@pytest.mark.parametrize("function", ["cb", "a.b", ""])
def test_an_answer_is_wrapped_in_the_function_that_was_asked_for(function: str) -> None:
    answer = json({"a": 1}, _request(jsonp=function))
    assert answer.body.decode() == f'{function}({{"a":1}})'
    assert answer.content_type == "text/javascript"
