"""Finds at Docker Engine what an earlier agent has left: by its label, whether it runs or has ended."""

from __future__ import annotations

from functools import partial

from tepui.agent.containers.docker.answers import NOT_STARTED, Inspected, exited_of
from tepui.agent.containers.docker.engine import NOT_FOUND, EngineRefused
from tepui.agent.containers.docker.parts import Parts
from tepui.agent.containers.docker.removing import Removing
from tepui.agent.containers.docker.request import (
    LABEL_AGENT,
    LABEL_CONTAINER,
    LABEL_PARENT,
    LOG_DRIVER,
    name_of,
)
from tepui.agent.containers.docker.sessions import end_left_over
from tepui.agent.containers.docker.watching import Watching, joined


class Recovering:
    """Of one agent."""

    def __init__(self, parts: Parts, watching: Watching, removing: Removing) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._watching = watching
        self._removing = removing

    async def recover(self) -> None:
        """All containers there are are known, and those that run are watched."""
        parts = self._parts
        label = f"{LABEL_AGENT}={parts.settings.agent}"
        for engine_id in await self._engine.containers(label):
            try:
                one = await self._engine.inspect(engine_id)
            except EngineRefused as error:
                if error.status == NOT_FOUND:
                    continue  # removed meanwhile
                raise
            await self._recover(one)
        names = {one.container_id for one in parts.containers.all()}
        await self._engine.in_thread(partial(parts.following.keep_only, names))
        for inner in parts.containers.all():
            outer = parts.containers.get(inner.parent)
            if outer is not None and outer.exited is not None and inner.exited is None:
                await self._watching.kill(inner)  # its parent ended while no agent was there

    async def _recover(self, one: Inspected) -> None:
        name = one.labels.get(LABEL_CONTAINER, "")
        if one.state.status == NOT_STARTED:
            await self._engine.remove(one.id)  # its launch was not finished: nobody knows of it
            return
        if one.name.removeprefix("/") != name_of(name):
            self._parts.start(
                self._removing.removed(one.id, after_s=self._removing.remaining_s(one))
            )
            return
        container = self._parts.containers.add(name, one.labels.get(LABEL_PARENT))
        container.take_over(one)
        self._parts.uncounted.check(one)
        container.prints_to_terminal = one.config.tty
        text = ""
        if one.host_config.log_config.type == LOG_DRIVER:
            if await self._engine.in_thread(partial(self._parts.following.resume, name)):
                self._parts.following.follow(name, one.log_path)
                container.prints_to_terminal = False
            else:
                text = "what it printed while no agent was there is not in its sandbox"
        if one.state.running:
            # Those of an earlier agent end: it cannot be known how they would.
            await self._engine.in_thread(lambda: end_left_over(container.pids()))
            self._parts.start(self._watching.watch(container))
            return
        lost = await self._engine.in_thread(partial(self._parts.following.finish, name))
        is_oom = await self._watching.is_oom(container, one)
        container.exited = exited_of(name, one, joined(text, lost), oom=is_oom)
        container.gone.set()
