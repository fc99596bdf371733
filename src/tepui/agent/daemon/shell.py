"""Carries out what the core decides: each kind of action has one method or a part that does it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tepui.agent.core import actions
from tepui.agent.core.actions import Action
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.master_link import MasterLink
from tepui.agent.daemon.probing import Probing
from tepui.agent.daemon.sandboxes import Sandboxes
from tepui.agent.daemon.sessions import Sessions
from tepui.base import notes
from tepui.web.event_streams import EventStreams
from tepui.web.requests import Requests

log = logging.getLogger("tepui.agent")


class Shell:
    """The parts of the daemon, as the core's actions reach them."""

    def __init__(
        self,
        master: MasterLink,
        sandboxes: Sandboxes,
        containers: Containers,
        probing: Probing,
        sessions: Sessions,
        streams: EventStreams[int],
        requests: Requests[actions.Reply],
    ) -> None:
        self.ended = asyncio.Event()  # the core has decided that the daemon ends
        self._master = master
        self._streams = streams
        self._actions: dict[type[Action], Callable[[Any], None]] = {  # Any: the action of its key
            actions.SendToMaster: lambda a: master.send(a.message),
            actions.OpenLink: lambda _: master.open_again(),
            actions.CloseLink: lambda a: master.close(a.reason),
            actions.AdoptId: self._adopt_id,
            actions.EndAgent: self._end,
            actions.PrepareSandbox: sandboxes.prepare,
            actions.AttachSandbox: lambda a: sandboxes.attach(a.directory, a.virtual_path),
            actions.AbandonSandbox: lambda a: sandboxes.abandon(a.container_id),
            actions.RemoveSandbox: lambda a: sandboxes.remove(a.directory, a.within),
            actions.ProvisionContainer: containers.provision,
            actions.LaunchContainer: containers.launch,
            actions.AdoptContainer: lambda a: containers.adopt(
                a.container_id, a.limits, a.directory
            ),
            actions.SignalContainer: lambda a: containers.signal(a.container_id, a.signal),
            actions.DestroyContainer: lambda a: containers.destroy(a.container_id),
            actions.UpdateContainer: lambda a: containers.update(a.container_id, a.limits),
            actions.ForgetContainer: lambda a: containers.forget(a.container_id),
            actions.LaunchSession: sessions.launch,
            actions.AnswerContainer: lambda a: requests.answer(a.request, a),
            actions.RunCheck: probing.run,
            actions.AbandonCheck: lambda a: probing.abandon(a.check_id),
            actions.AcceptExecutor: lambda a: requests.answer(a.connection, a),
            actions.SendToExecutor: lambda a: streams.send(a.connection, a.event),
            actions.CloseExecutor: lambda a: streams.end(a.connection),
            actions.AnswerExecutor: lambda a: requests.answer(a.request, a),
            actions.AnswerClassic: lambda a: requests.answer(a.request, a),
            actions.AnswerOperator: lambda a: requests.answer(a.request, a),
            actions.Note: self._note,
        }

    @property
    def can_do(self) -> frozenset[type[Action]]:
        """The kinds of actions that are carried out."""
        return frozenset(self._actions)

    def act(self, decided: list[Action]) -> None:
        """Carry out the actions in order."""
        for action in decided:
            self._actions[type(action)](action)

    def _adopt_id(self, action: actions.AdoptId) -> None:
        self._master.registered()
        log.info("registered agent=%s", action.agent_id)

    def _end(self, action: actions.EndAgent) -> None:
        log.warning("ended reason=%s", action.message)
        self.ended.set()

    def _note(self, action: actions.Note) -> None:
        log.info("%s", notes.line(action.text, action.fields))
