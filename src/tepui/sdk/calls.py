"""The calls of a scheduler as methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from tepui.wire import mesos, scheduler

Type = scheduler.Call.Type


class SchedulerCalls(ABC):
    """Each returns when the master has accepted the call; raises CallRefused or Disconnected."""

    @abstractmethod
    async def call(self, call: scheduler.Call) -> None:
        """Send any call; the framework's id is filled in."""

    async def decline(
        self, offers: mesos.Offer | Sequence[mesos.Offer], *, refuse_seconds: float | None = None
    ) -> None:
        """Give offers back; the agents' resources are not offered again for `refuse_seconds`."""
        decline = scheduler.Call.Decline(offer_ids=ids(offers), filters=filters(refuse_seconds))
        await self.call(scheduler.Call(type=Type.DECLINE, decline=decline))

    async def accept_inverse_offers(
        self, offer_ids: Sequence[mesos.OfferID], *, refuse_seconds: float | None = None
    ) -> None:
        """Agree to leave the machines."""
        accept = scheduler.Call.AcceptInverseOffers(
            inverse_offer_ids=tuple(offer_ids), filters=filters(refuse_seconds)
        )
        await self.call(
            scheduler.Call(type=Type.ACCEPT_INVERSE_OFFERS, accept_inverse_offers=accept)
        )

    async def decline_inverse_offers(
        self, offer_ids: Sequence[mesos.OfferID], *, refuse_seconds: float | None = None
    ) -> None:
        """Say that the machines are still needed."""
        decline = scheduler.Call.DeclineInverseOffers(
            inverse_offer_ids=tuple(offer_ids), filters=filters(refuse_seconds)
        )
        await self.call(
            scheduler.Call(type=Type.DECLINE_INVERSE_OFFERS, decline_inverse_offers=decline)
        )

    async def revive(self, roles: Sequence[str] = ()) -> None:
        """Want offers again, of all roles or of these, and drop their filters."""
        revive = scheduler.Call.Revive(roles=tuple(roles))
        await self.call(scheduler.Call(type=Type.REVIVE, revive=revive))

    async def suppress(self, roles: Sequence[str] = ()) -> None:
        """Want no offers, of all roles or of these."""
        suppress = scheduler.Call.Suppress(roles=tuple(roles))
        await self.call(scheduler.Call(type=Type.SUPPRESS, suppress=suppress))

    async def kill(
        self, task_id: str, agent_id: str | None = None, *, grace_period_ms: int | None = None
    ) -> None:
        """Have the task killed; an update tells when it is gone."""
        policy = None
        if grace_period_ms is not None:
            grace = mesos.DurationInfo(nanoseconds=grace_period_ms * 1_000_000)
            policy = mesos.KillPolicy(grace_period=grace)
        kill = scheduler.Call.Kill(
            task_id=mesos.TaskID(task_id),
            agent_id=mesos.AgentID(agent_id) if agent_id else None,
            kill_policy=policy,
        )
        await self.call(scheduler.Call(type=Type.KILL, kill=kill))

    async def reconcile(self, tasks: Mapping[str, str | None] | None = None) -> None:
        """Ask for an update of each of these tasks; without any, of all the master knows.

        The client does so by itself after every subscription, for the tasks it knows.
        """
        asked = tuple(
            scheduler.Call.Reconcile.Task(
                task_id=mesos.TaskID(task), agent_id=mesos.AgentID(agent) if agent else None
            )
            for task, agent in (tasks or {}).items()
        )
        reconcile = scheduler.Call.Reconcile(tasks=asked)
        await self.call(scheduler.Call(type=Type.RECONCILE, reconcile=reconcile))

    async def message(self, agent_id: str, executor_id: str, data: bytes) -> None:
        """Send bytes to an executor. They may get lost on the way, and no error says so."""
        message = scheduler.Call.Message(
            agent_id=mesos.AgentID(agent_id), executor_id=mesos.ExecutorID(executor_id), data=data
        )
        await self.call(scheduler.Call(type=Type.MESSAGE, message=message))

    async def shutdown_executor(self, agent_id: str, executor_id: str) -> None:
        """Have the executor end, and its tasks with it."""
        shutdown = scheduler.Call.Shutdown(
            executor_id=mesos.ExecutorID(executor_id), agent_id=mesos.AgentID(agent_id)
        )
        await self.call(scheduler.Call(type=Type.SHUTDOWN, shutdown=shutdown))

    async def teardown(self) -> None:
        """End the framework: its tasks and executors are killed, its id cannot be used again."""
        await self.call(scheduler.Call(type=Type.TEARDOWN))


def ids(offers: mesos.Offer | Sequence[mesos.Offer]) -> tuple[mesos.OfferID, ...]:
    """The ids of one offer or of several."""
    return (offers.id,) if isinstance(offers, mesos.Offer) else tuple(o.id for o in offers)


def filters(refuse_seconds: float | None) -> mesos.Filters | None:
    """For how long not to offer again; None leaves that to the master."""
    return None if refuse_seconds is None else mesos.Filters(refuse_seconds=refuse_seconds)
