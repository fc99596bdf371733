"""What goes wrong in a run is counted, and fails it: a fast answer that is wrong is no figure."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import TypeVar

import uvloop

Result = TypeVar("Result")

RUN_S_MAX = 600.0
WAIT_S = 20.0  # for what must come
POLL_S = 0.01
TEXT_MAX = 300  # of one fault
KINDS_MAX = 20  # that are printed


class Failed(Exception):
    """A run whose figures do not count; the text has each fault and how often it happened."""

    def __init__(self, faults: Counter[str]) -> None:
        super().__init__(
            "; ".join(f"{count} × {what}" for what, count in faults.most_common(KINDS_MAX))
        )
        self.faults = faults


def fault(what: str) -> None:
    """Count a fault of the run that is under way; it goes on, so that all are counted."""
    asyncio.get_running_loop().call_exception_handler({"message": what})


async def until(holds: Callable[[], bool], what: str) -> None:
    """Return when it holds; a run in which it does not come to hold has failed."""
    until_s = perf_counter() + WAIT_S
    while not holds():
        assert perf_counter() < until_s, f"it did not come within {WAIT_S:g} s that {what}"
        await asyncio.sleep(POLL_S)


def run(measurement: Coroutine[object, object, Result], seconds: float = 0.0) -> Result:
    """What the measurement returns; raises Failed when anything went wrong, in callbacks too.

    It may take RUN_S_MAX longer than the seconds that it waits on purpose.
    """
    faults: Counter[str] = Counter()

    def count(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        exception = context.get("exception")
        text = f": {exception!r}" if exception is not None else ""
        faults[f"{context['message']}{text}"[:TEXT_MAX]] += 1

    async def watched() -> Result:
        asyncio.get_running_loop().set_exception_handler(count)
        async with asyncio.timeout(seconds + RUN_S_MAX):
            return await measurement

    try:
        result = uvloop.run(watched())
    except (AssertionError, OSError, TimeoutError) as error:
        faults[f"the run ended with {error!r}"[:TEXT_MAX]] += 1
        raise Failed(faults) from error
    if faults:
        raise Failed(faults)
    return result
