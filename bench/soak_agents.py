"""Agents of a soak run: the production core and link, with containers that only pass time.

They understand the commands of the good schedulers: `true`, `exit <n>`, `sleep <seconds>`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from bench.hostile_peers import info
from tepui import MESOS_VERSION
from tepui.agent.core import actions, events
from tepui.agent.core.actions import Action, Record
from tepui.agent.core.events import Event
from tepui.agent.core.state import Settings, State
from tepui.agent.core.step import step
from tepui.agent.daemon.master_link import MasterLink
from tepui.base.effects import Step
from tepui.base.ids import Uuids
from tepui.base.loop import CoreLoop, now_ms

HOST: Final = "127.0.0.1"
RESOURCES: Final = "cpus:4;mem:4096"
PREFIX: Final = "soak-"  # of the hostnames
FIRST_PORT: Final = 10_000  # of those that are told; nobody listens there
BACKOFF_MS: Final = 100
START_S: Final = 0.005  # of a container
SIGNALLED_S: Final = 0.02  # from a signal to its end


class SoakAgent:
    """One agent, from `start` to `stop`."""

    def __init__(
        self,
        number: int,
        master: str,
        fault: Callable[[str], None],
        backoff_ms: int = BACKOFF_MS,
    ) -> None:
        """`master` as in the agent's --master."""
        self._fault = fault
        settings = Settings(
            ip=HOST,
            port=FIRST_PORT + number,
            hostname=f"{PREFIX}{number}",
            work_dir="/var/lib/tepui",
            version=MESOS_VERSION,
            linger_ms=0,
            gc_delay_ms=10_000,
            completed_executors_max=5,
        )
        self._state = State(
            settings=settings,
            info=info(settings.hostname, RESOURCES),
            uuids=Uuids(f"soak agent {number}".encode()),
            started_ms=now_ms(),
        )
        self._loop: CoreLoop[Event, Record, Action] = CoreLoop(
            step=self._step, save=_no_save, act=self._act, next_ms=self._state.timers.next_ms
        )
        self._link = MasterLink(master, self._loop.put, backoff_ms)
        self._running: dict[str, asyncio.TimerHandle] = {}
        self.registrations = 0  # more than it was told to: its link was cut

    def start(self) -> None:
        """Connect and stay connected."""
        self._link.start()

    def break_link(self) -> None:
        """Have the connection break; another follows."""
        self._link.close("the soak run breaks it")

    async def stop(self) -> None:
        """Leave without a word."""
        await self._link.stop()
        self._loop.close()
        for timer in self._running.values():
            timer.cancel()

    def knows(self, agent_id: str, task_id: str) -> str | None:
        """What it knows of the task, for a person to read; None when the agent is another."""
        own = self._state.info.id
        if own is None or own.value != agent_id:
            return None
        for framework in self._state.frameworks.values():
            if task := framework.tasks.get(task_id):
                pending = [status.state.name for status in task.pending]
                return (
                    f"the agent has it {task.state.name}, sent {task.sent_state}, waits for the"
                    f" acknowledgement of {pending}, of {len(self._running)} that run"
                )
        return "the agent does not know it"

    def _step(self, batch: Sequence[Event], at_ms: int) -> Step[Record, Action]:
        return step(self._state, batch, at_ms)

    def _act(self, decided: list[Action]) -> None:
        for action in decided:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case actions.SendToMaster(message=message):
                self._link.send(message)
            case actions.OpenLink():
                self._link.open_again()
            case actions.CloseLink(reason=reason):
                self._link.close(reason)
            case actions.AdoptId():
                self.registrations += 1
                self._link.registered()
            case actions.PrepareSandbox(container_id=container_id):
                self._loop.put(events.SandboxPrepared(container_id))
            case actions.LaunchContainer(container_id=container_id, command=command):
                seconds, status = _meaning("" if command is None else command.value or "")
                self._loop.put(events.ContainerStarted(container_id, 1))
                self._running[container_id] = asyncio.get_running_loop().call_later(
                    START_S + seconds, self._ended, container_id, status
                )
            case actions.SignalContainer(container_id=container_id, signal=number):
                self._kill(container_id, number)
            case actions.DestroyContainer(container_id=container_id):
                self._kill(container_id, 9)
            case actions.EndAgent(message=message):
                raise AssertionError(
                    f"the master ends agent {self._state.info.hostname}: {message}"
                )
            case _:
                pass  # sandboxes and views have no part in it

    def _kill(self, container_id: str, status: int) -> None:
        running = self._running.get(container_id)
        if running is not None:
            running.cancel()
            self._running[container_id] = asyncio.get_running_loop().call_later(
                SIGNALLED_S, self._ended, container_id, status
            )

    def _ended(self, container_id: str, status: int) -> None:
        del self._running[container_id]
        self._loop.put(events.ContainerExited(container_id, status))


async def _no_save(records: list[Record]) -> None:
    """Nothing outlives the run."""


def _meaning(command: str) -> tuple[float, int]:
    """How many seconds the command takes, and its raw wait status."""
    word, _, value = command.partition(" ")
    if word == "sleep":
        return float(value), 0
    return 0.0, int(value) << 8 if word == "exit" else 0
