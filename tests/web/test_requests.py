"""Requests that wait for what a core answers."""

from __future__ import annotations

import asyncio

from tepui.web.requests import Requests


def test_who_waits_is_called_or_goes_on_with_the_answer() -> None:
    async def scenario() -> None:
        requests: Requests[str] = Requests()
        numbers: list[int] = []
        called: list[str] = []
        requests.ask(numbers.append).then(called.append)

        async def waits() -> str:
            return await requests.ask(numbers.append)

        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0)
        requests.answer(numbers[0], "first")
        requests.answer(numbers[0], "again")  # nobody waits for it any more
        requests.answer(numbers[1], "second")
        assert called == ["first"]
        assert await waiting == "second"

    asyncio.run(scenario())


def test_all_that_wait_are_answered_at_the_end() -> None:
    requests: Requests[str] = Requests()
    called: list[str] = []
    for _ in range(3):
        requests.ask(lambda number: None).then(called.append)
    requests.answer_all("the end")
    assert called == ["the end"] * 3
    requests.answer_all("again")
    assert called == ["the end"] * 3


def test_who_was_cancelled_is_not_answered() -> None:
    async def scenario() -> None:
        requests: Requests[str] = Requests()

        async def waits() -> str:
            return await requests.ask(lambda number: None)

        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        requests.answer(1, "late")

    asyncio.run(scenario())
