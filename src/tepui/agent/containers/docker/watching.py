"""Waits for the ends of containers at Docker Engine, over and over while it is away, and tells each once."""

from __future__ import annotations

import asyncio
import logging
import signal
from functools import partial
from typing import Final

from tepui.agent.containers.docker.answers import EXIT_CODE_OF_SIGNALS, Inspected, exited_of
from tepui.agent.containers.docker.container import Container
from tepui.agent.containers.docker.engine import NOT_FOUND, EngineAway, EngineRefused
from tepui.agent.containers.docker.parts import AGAIN_S, AGAIN_S_MAX, Parts
from tepui.agent.containers.docker.sessions import Session
from tepui.agent.containers.runtime import OnExit
from tepui.agent.containers.spec import Exited
from tepui.base.errors import HostError

# Of a container that ends meanwhile the Engine does not take what is left in its pipes.
UNHEARD_TEXT: Final = "Docker Engine was away when it ended, and may have lost what it printed last"
ENDED_TEXT: Final = (
    "Docker Engine stopped or died meanwhile, and ends its containers then, for its 'live-restore' is off;"
    " what was printed last may be lost"
)
REMOVED_TEXT: Final = "someone else removed the container from Docker Engine"

log = logging.getLogger("tepui.agent")


class Watching:
    """Of one agent, whose `on_exit` is told."""

    def __init__(self, parts: Parts, on_exit: OnExit) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._on_exit = on_exit

    async def watch(self, container: Container) -> None:
        """Wait for the end, however often the Engine goes away meanwhile, and tell it."""
        again_s, was_away = AGAIN_S, False
        while True:
            try:
                if container.is_doomed:
                    await self.kill(container)
                if not was_away:
                    await self._parts.streams.wait(container.engine_id)
                one = await self._inspected(container)
                text = await self._away_text() if was_away else ""
            except HostError as error:
                log.debug("not_waited container=%s reason=%s", container.container_id, error)
                was_away = was_away or isinstance(error, EngineAway)
                await asyncio.sleep(again_s)
                again_s = min(AGAIN_S_MAX, again_s * 2)
                continue
            if one is None or not one.state.running:
                break
            again_s, was_away = AGAIN_S, False
        await self._tell(container, await self._exit_of(container, one, text))

    async def _away_text(self) -> str:
        """What is to be said of a container that ended while the Engine was away."""
        info = await self._engine.info()
        return UNHEARD_TEXT if info.live_restore_enabled else ENDED_TEXT

    async def _inspected(self, container: Container) -> Inspected | None:
        """Return all about it; None when the Engine has it no more."""
        try:
            return await self._engine.inspect(container.engine_id)
        except EngineRefused as error:
            if error.status != NOT_FOUND:
                raise
            return None

    async def _exit_of(self, container: Container, one: Inspected | None, text: str) -> Exited:
        name = container.container_id
        lost = await self._engine.in_thread(partial(self._parts.following.finish, name))
        if one is None:
            return Exited(name, signal.SIGKILL, text=joined(REMOVED_TEXT, lost))
        return exited_of(name, one, joined(text, lost), oom=await self.is_oom(container, one))

    async def is_oom(self, container: Container, one: Inspected) -> bool:
        """Whether it ended for want of memory: the Engine does not always know."""
        if one.state.oom_killed or not one.state.exit_code or not one.host_config.memory:
            return one.state.oom_killed
        if await self._engine.in_thread(partial(self._parts.kernel_log.has_cgroup, one.id)):
            return True
        if one.state.exit_code != EXIT_CODE_OF_SIGNALS + signal.SIGKILL or container.is_doomed:
            return False
        if container.killed_before is None:
            return False  # of an earlier agent: what was killed may have had another's number
        pids = self._parts.kernel_log.pids_since(container.killed_before)
        if container.pid:
            return container.pid in pids
        # It had ended before it could be looked at: so had whoever else it may have been.
        return bool(pids - {other.pid for other in self._parts.containers.all()})

    async def watch_session(self, container: Container, session: Session) -> None:
        """Wait for the end of a session, and tell it."""
        try:
            exited = await session.ended()
        except HostError as error:
            session.close()
            exited = Exited(container.container_id, signal.SIGKILL, text=str(error))
        await self._tell(container, exited)

    async def _tell(self, container: Container, exited: Exited) -> None:
        """The exit is final: those that lived in it are gone."""
        children = [
            one for one in self._parts.containers.all() if one.parent == container.container_id
        ]
        for child in children:
            if child.is_running and child.exited is None:
                try:
                    await self.destroy(child)
                except HostError as error:
                    log.warning("destroy_failed container=%s reason=%s", child.container_id, error)
        for child in children:
            if child.is_running:
                await child.gone.wait()
        container.exited = exited
        container.gone.set()
        self._on_exit(exited)

    async def destroy(self, container: Container) -> None:
        """Kill it; when the Engine is away it raises HostError, and kills it when it is back."""
        container.is_doomed = True
        await self.kill(container)

    async def kill(self, container: Container) -> None:
        """All of its processes were killed. Raises HostError."""
        if container.session is not None:
            container.session.kill(signal.SIGKILL)
        else:
            await self._engine.kill(container.engine_id, signal.SIGKILL)


def joined(*texts: str) -> str:
    """Return one text of those that are not empty."""
    return "; ".join(text for text in texts if text)
