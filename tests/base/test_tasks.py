"""Tasks in the background: what they leave behind, and what becomes of their exceptions."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import pytest

from tepui.base import tasks

PROGRAM = """
import asyncio
from tepui.base import tasks

async def wrong():
    raise KeyError("the task failed")

async def main():
    tasks.start(wrong())
    await asyncio.sleep(30)

asyncio.run(main())
"""


def test_a_task_is_kept_until_it_is_done_and_may_be_cancelled() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def passing() -> str:
            await gate.wait()
            return "through"

        kept, cancelled = tasks.start(passing()), tasks.start(passing())
        gc.collect()
        cancelled.cancel()
        gate.set()
        assert await kept == "through"
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await asyncio.sleep(0)  # the callbacks
        assert not tasks._running & {kept, cancelled}

    asyncio.run(scenario())


@pytest.mark.real
def test_an_unexpected_exception_ends_the_process_with_its_cause() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 70
    assert "the task failed" in done.stderr
