"""Find the leading master."""

from __future__ import annotations

import asyncio
from random import Random

from tepui.sdk.core.masters import redirect_target
from tepui.sdk.errors import CallRefused, Unreachable
from tepui.sdk.http import NETWORK_ERRORS, Http
from tepui.sdk.whereabouts import Whereabouts
from tepui.wire.media import Media

FIND_TIMEOUT_S = 30.0


async def find_leader(
    masters: str, *, timeout_s: float = FIND_TIMEOUT_S, seed: int | None = None
) -> str:
    """The base URL of the leader among `masters` (`host:port`, with commas, or `zk://...`).

    Asks each for `/redirect`, again and again with growing waits. Raises Refused for an address
    that is none, CallRefused when a master refuses to tell, Unreachable after `timeout_s`.
    """
    whereabouts = Whereabouts(masters, Random(seed).random)
    turns = whereabouts.masters
    http = Http(Media.JSON)
    cause = ""
    try:
        whereabouts.start()
        async with asyncio.timeout(timeout_s):
            await whereabouts.known(None)
            while True:
                asked = turns.current
                try:
                    answer = await http.get(f"{asked}/redirect", {})
                except NETWORK_ERRORS as error:
                    cause = f"{asked}: {str(error) or type(error).__name__}"
                    await asyncio.sleep(turns.failed() / 1000)
                    continue
                if answer.status == 307 and answer.location:
                    if redirect_target(asked, answer.location) == asked:
                        return asked  # the leader names itself
                    cause = f"{asked} redirects to {answer.location}"
                    await asyncio.sleep(turns.redirected(answer.location) / 1000)
                elif answer.status == 503 or answer.status == 404:
                    cause = f"{asked} answered {answer.status} {answer.text}".rstrip()
                    await asyncio.sleep(turns.failed() / 1000)
                else:
                    raise CallRefused(answer.status, answer.text)
    except TimeoutError:
        cause = cause or whereabouts.trouble
        raise Unreachable(f"no leading master within {timeout_s:g} s: {cause}") from None
    finally:
        await whereabouts.close()
        await http.close()
