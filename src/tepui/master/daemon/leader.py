"""One master's time as the leader: a core, its loop, and all that is connected to it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence

from tepui.base.effects import Step
from tepui.base.errors import HostError
from tepui.base.loop import CoreLoop, now_ms
from tepui.base.names import Role, StreamId
from tepui.master.core.actions import Action, Record
from tepui.master.core.events import (
    FROM_PEERS,
    Event,
    LinkId,
    SnapshotDue,
    slow_lane,
)
from tepui.master.core.recovery import recover
from tepui.master.core.state import NO_IDS, IdsGiven, new
from tepui.master.core.step import step
from tepui.master.core.views.questions import question_in
from tepui.master.core.views.reading import divisible_count, render
from tepui.master.daemon.agent_link import AgentLink, SharedByLinks
from tepui.master.daemon.journal import Recorder
from tepui.master.daemon.options import MasterOptions
from tepui.master.daemon.registry import Registry
from tepui.master.daemon.routes import routes
from tepui.master.daemon.shell import Shell
from tepui.storage.store import Store, StoreFailed
from tepui.web.event_streams import EventStreams
from tepui.web.http import Response, text
from tepui.web.requests import Requests
from tepui.web.site import Upgrade
from tepui.web.snapshots import Snapshots
from tepui.wire import mesos

LEADS_NO_MORE = text(503, "This master leads no more")

log = logging.getLogger("tepui.master")


class Leader:
    """From `begin` to `end`; then another one, here or elsewhere, may begin.

    While `may_act` says no nothing is done; `failed` is told that, or why a save has failed: the
    leader knows what is not so, and must be thrown away.
    """

    def __init__(
        self,
        options: MasterOptions,
        info: mesos.MasterInfo,
        store: Store,
        may_act: Callable[[], bool],
        failed: Callable[[Exception], None],
        given: IdsGiven = NO_IDS,
    ) -> None:
        self._snapshots = Snapshots(
            lambda question: render(self.state, question_in(question), now_ms()),
            lambda: self.loop.put(SnapshotDue()),
            lambda question: divisible_count(self.state, question_in(question)),
        )
        self.streams: EventStreams[StreamId] = EventStreams()
        self.links: dict[LinkId, AgentLink] = {}
        self._requests = requests = Requests[Response]()
        self._shell = shell = Shell(requests, self.streams, self.links, self._snapshots)
        self.state = new(
            info,
            now_ms=now_ms(),
            seed=os.urandom(32),
            settings=options.settings,
            weights={Role(role): weight for role, weight in options.weights.items()},
            flags=options.flags,
            given=given,
        )
        self._recorder = None if options.journal is None else Recorder(options.journal)
        self._registry = Registry(store)
        self.loop: CoreLoop[Event, Record, Action] = CoreLoop(
            step=self._step,
            save=self._registry.save,
            act=shell.act,
            next_ms=self.state.timers.next_ms,
            refusable=FROM_PEERS,
            slow_lane=slow_lane,
            may_act=may_act,
            failed=failed,
        )
        self._last_link = 0
        self._shared = SharedByLinks(self.loop.put, lambda: self.loop.waiting, self._forget_link)
        self.routes = routes(options, info, self.loop.put, requests, self.streams)
        self.upgrades: dict[str, Upgrade] = {"tepui-link": self._open_link}

    async def begin(self) -> None:
        """Know what the registry holds; it says that a new epoch has begun.

        Raises HostError when it can't be read or written.
        """
        registered = await self._registry.open()
        effects = recover(self.state, registered, now_ms())
        try:
            await self._registry.save(effects.save)
        except StoreFailed as failed:
            raise HostError("write", "the registry", str(failed)) from None
        self._shell.act(effects.then)
        self.loop.wake()
        expected = len(self.state.recovered_agents)
        log.info(
            "leading id=%s epoch=%d agents_expected=%d",
            self.state.info.id,
            self.state.epoch,
            expected,
        )

    def end(self) -> None:
        """Nothing is decided any more, and nothing leaves; `close` follows."""
        self.loop.close()
        self.leave()
        self._requests.answer_all(LEADS_NO_MORE)

    def leave(self) -> None:
        """Close all streams and links; frameworks and agents look for the next leader."""
        self.streams.close()
        for agent_link in list(self.links.values()):
            agent_link.close()

    async def close(self) -> None:
        """Nothing is kept open."""
        self._snapshots.close()
        self.loop.close()
        try:
            if self._recorder is not None:
                await self._recorder.close()
        finally:
            await self._registry.close()

    def _step(self, events: Sequence[Event], at_ms: int) -> Step[Record, Action]:
        if self._recorder is not None:
            return self._recorder.step(self.state, events, at_ms)
        return step(self.state, events, at_ms)

    def _forget_link(self, link_id: LinkId) -> None:
        self.links.pop(link_id, None)

    def _open_link(self, headers: Mapping[str, str]) -> asyncio.Protocol:
        self._last_link += 1
        link_id = LinkId(self._last_link)
        agent_link = AgentLink(link_id, self._shared)
        self.links[link_id] = agent_link
        return agent_link
