"""What a core or its registry can't take back ends the process, before anything leaves it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from tepui.base.effects import Step
from tepui.base.loop import CoreLoop

failing = sys.argv[1]

def step(events, now_ms):
    effects = Step()
    effects.save.append("record")
    effects.then.append("action")
    if failing == "step":
        raise KeyError("the step failed")
    return effects

async def save(records):
    if failing == "save":
        raise OSError("the disk is full")

def act(actions):
    if failing == "act":
        raise ValueError("the act failed")
    print("acted", flush=True)

async def main():
    loop = CoreLoop(step=step, save=save, act=act, next_ms=lambda: None)
    loop.put("event")
    await asyncio.sleep(30)

asyncio.run(main())
"""


@pytest.mark.real
@pytest.mark.parametrize(
    ("failing", "text"),
    [("step", "the step failed"), ("save", "the disk is full"), ("act", "the act failed")],
)
def test_a_failure_ends_the_process_with_its_cause_and_nothing_done(
    failing: str, text: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, failing],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (70, "")
    assert text in done.stderr
