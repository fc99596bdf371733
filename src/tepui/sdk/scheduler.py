"""Write a scheduler: as a loop over events, or as a class with a method per event.

    async with SchedulerClient("127.0.0.1:5050", framework_info("mine")) as client:
        async for event in client.events(): ...

    class Mine(Scheduler):
        async def on_offers(self, offers): ...
    await Mine("127.0.0.1:5050", framework_info("mine")).run()

The client stays subscribed while masters come and go, acknowledges updates once they were handled,
and reconciles after every subscription; `core/session.py` decides all of that.
"""

from __future__ import annotations

import logging

from tepui.sdk.client import SchedulerClient
from tepui.sdk.core import events as ev
from tepui.sdk.errors import Disconnected
from tepui.wire import mesos, scheduler

FLUSH_S = 5.0  # for acknowledgements that are still to be sent when a scheduler stops

log = logging.getLogger(__name__)


class Scheduler(SchedulerClient):
    """A scheduler with a method per event. Override what you need, then `await run()`.

    The methods are called one after the other. One that raises ends `run` with its error, and its
    update is not acknowledged; only Disconnected is taken for what it is: the connection was lost
    meanwhile, offers are void, an update comes again.
    """

    _stopping = False
    _tears_down = False

    async def run(self) -> None:
        """Returns after `stop`; raises FrameworkEnded, CallRefused or Unreachable."""
        async with self:
            while not self._stopping and (event := await self._inbox.get()) is not None:
                try:
                    await self._dispatch(event)
                except Disconnected as error:
                    log.info("disconnected_in_callback type=%s error=%s", event.type, error)
                    self._driver.put(ev.Unhandled(event))
                else:
                    self._was_handled(event)
            await self._flush(FLUSH_S)
            if self._tears_down:
                try:
                    await self.teardown()
                except Disconnected as error:
                    log.warning("teardown_failed error=%s", error)

    def stop(self, *, teardown: bool = True) -> None:
        """Have `run` return. Without `teardown` tasks go on for the failover_timeout.

        A scheduler that stops to be upgraded passes `teardown=False` and comes back with its id.
        """
        self._stopping = True
        self._tears_down = teardown
        self._inbox.drop(lambda event: True)
        self._inbox.close()

    async def on_subscribed(self, subscribed: scheduler.Event.Subscribed) -> None:
        """A master has taken the subscription: the first one, or one after a disconnection."""

    async def on_offers(self, offers: tuple[mesos.Offer, ...]) -> None:
        """Resources to use; what is neither accepted nor declined stays with this framework."""
        await self.decline(offers)

    async def on_rescind(self, offer_id: mesos.OfferID) -> None:
        """The offer is void."""

    async def on_inverse_offers(self, offers: tuple[mesos.InverseOffer, ...]) -> None:
        """Machines that are to be maintained: what runs there should move."""

    async def on_rescind_inverse_offer(self, offer_id: mesos.OfferID) -> None:
        """The maintenance is off."""

    async def on_update(self, status: mesos.TaskStatus) -> None:
        """A task has changed its state, or reconciliation tells the state it is in."""

    async def on_operation_update(self, status: mesos.OperationStatus) -> None:
        """An operation with an id has changed its state."""

    async def on_message(self, agent_id: str, executor_id: str, data: bytes) -> None:
        """An executor has sent bytes."""

    async def on_failure(self, failure: scheduler.Event.Failure) -> None:
        """An executor has ended or an agent is lost; updates tell of their tasks."""

    async def _dispatch(self, event: scheduler.Event) -> None:
        if event.offers is not None:
            await self.on_offers(event.offers.offers)
        elif event.update is not None:
            await self.on_update(event.update.status)
        elif event.message is not None:
            sent = event.message
            await self.on_message(sent.agent_id.value, sent.executor_id.value, sent.data)
        elif event.subscribed is not None:
            await self.on_subscribed(event.subscribed)
        elif event.rescind is not None:
            await self.on_rescind(event.rescind.offer_id)
        elif event.failure is not None:
            await self.on_failure(event.failure)
        elif event.inverse_offers is not None:
            await self.on_inverse_offers(event.inverse_offers.inverse_offers)
        elif event.rescind_inverse_offer is not None:
            await self.on_rescind_inverse_offer(event.rescind_inverse_offer.inverse_offer_id)
        elif event.update_operation_status is not None:
            await self.on_operation_update(event.update_operation_status.status)
