"""What containers on a node do without, and why, as its agent says."""

from __future__ import annotations

import asyncio

from tepui.sdk import CallRefused, OperatorClient, SdkError

PATH = "/lacking"
ANSWER_S = 5.0  # the rest of what is shown is the master's, and need not wait for an agent
NOT_FOUND = 404


def lacking(address: str) -> list[tuple[str, str]]:
    """What is missing, and a sentence on why; nothing of an agent that is not asked for that, as Mesos's."""

    async def get() -> list[tuple[str, str]]:
        async with asyncio.timeout(ANSWER_S), OperatorClient(address) as agent:
            answer = await agent.get_json(PATH)
        told = answer.get("lacking") if isinstance(answer, dict) else None
        if not isinstance(told, dict):
            return []
        return [(name, why) for name, why in told.items() if isinstance(why, str)]

    try:
        return asyncio.run(get())
    except (SdkError, TimeoutError) as error:
        if isinstance(error, CallRefused) and error.status == NOT_FOUND:
            return []
        return [("unknown", str(error) or "the node does not answer")]
