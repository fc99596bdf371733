"""Has the master kill a task of any framework.

Differs from Mesos: there only the framework itself can; our master takes it from an operator.
"""

from __future__ import annotations

import aiohttp

from tepui.cli.connect import no_master
from tepui.sdk import CallRefused, Unreachable, find_leader

FIND_S_MAX = 2.0
KILL_S_MAX = 30.0


async def kill_task(master: str, framework_id: str, task_id: str) -> None:
    """The master has taken the kill; raises CallRefused with its reason when it has not."""
    try:
        leader = await find_leader(master, timeout_s=FIND_S_MAX)
    except Unreachable as error:
        raise no_master(master, str(error)) from None
    timeout = aiohttp.ClientTimeout(total=KILL_S_MAX)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(
            f"{leader}/kill", data={"framework_id": framework_id, "task_id": task_id}
        ) as answer,
    ):
        if answer.status != 200:
            raise CallRefused(answer.status, await answer.text())
