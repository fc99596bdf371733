"""The scheduler's client against a small master on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from tepui.sdk import (
    CallRefused,
    Disconnected,
    FrameworkEnded,
    Room,
    Scheduler,
    SchedulerClient,
    Unreachable,
    command_task,
    framework_info,
)
from tepui.sdk.core import masters
from tepui.wire import mesos, scheduler
from tepui.wire.media import Media, encode
from tepui.wire.mesos import TaskState
from tepui.wire.recordio import frame
from tests.sdk.fake_master import (
    DEADLINE_S,
    FakeMaster,
    fake_master,
    frozen_master,
    offer,
    offers,
    update,
)

pytestmark = pytest.mark.real
Type = scheduler.Call.Type
INFO = framework_info("test", user="me")


def within_deadline(test: Coroutine[object, object, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await test

    asyncio.run(bounded())


async def next_event(client: SchedulerClient) -> scheduler.Event:
    """The next event, which counts as handled when the one after it is asked for."""
    return await anext(client.events())


@pytest.mark.parametrize("media", [Media.JSON, Media.PROTOBUF])
def test_a_class_accepts_offers_and_acknowledges_updates(media: Media) -> None:
    class Once(Scheduler):
        states: tuple[TaskState, ...] = ()

        async def on_offers(self, offers: tuple[mesos.Offer, ...]) -> None:
            taken = Room(offers[0]).take(cpus=0.1, mem_mib=32)
            task = command_task("t1", offers[0].agent_id, "true", using=taken)
            await self.accept(offers[0], [task])

        async def on_update(self, status: mesos.TaskStatus) -> None:
            self.states += (status.state,)
            if status.state is TaskState.TASK_FINISHED:
                self.stop()

    async def test() -> None:
        async with fake_master() as master:
            once = Once(master.address, INFO, media=media)
            running = asyncio.create_task(once.run())
            stream = await master.next_stream()
            await stream.send(offers(offer()))
            accepted = await master.next_call(Type.ACCEPT)
            assert accepted.accept is not None
            assert accepted.accept.offer_ids == (mesos.OfferID("o1"),)
            assert accepted.framework_id == mesos.FrameworkID("fw-1")
            (launch,) = accepted.accept.operations
            assert launch.launch is not None
            assert launch.launch.task_infos[0].task_id == mesos.TaskID("t1")
            await stream.send(update("t1", TaskState.TASK_RUNNING, b"1" * 16))
            first = await master.next_call(Type.ACKNOWLEDGE)
            assert first.acknowledge is not None
            assert first.acknowledge.uuid == b"1" * 16
            await stream.send(update("t1", TaskState.TASK_FINISHED, b"2" * 16))
            last = await master.next_call(Type.ACKNOWLEDGE)
            assert last.acknowledge is not None
            assert last.acknowledge.uuid == b"2" * 16
            await master.next_call(Type.TEARDOWN)
            await running
            assert once.states == (TaskState.TASK_RUNNING, TaskState.TASK_FINISHED)
            assert set(master.stream_ids) == {"stream-0"}

    within_deadline(test())


def test_a_loop_s_event_is_acknowledged_when_the_next_is_asked_for() -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            events = client.events()
            assert (await anext(events)).subscribed is not None
            stream = await master.next_stream()
            await stream.send(update("t1", TaskState.TASK_RUNNING))
            assert (await anext(events)).update is not None
            assert master.calls.empty()
            waiting = asyncio.create_task(anext(events))
            await master.next_call(Type.ACKNOWLEDGE)
            waiting.cancel()

    within_deadline(test())


def test_with_explicit_acknowledgements_the_user_acknowledges() -> None:
    async def test() -> None:
        async with (
            fake_master() as master,
            SchedulerClient(master.address, INFO, explicit_acknowledgements=True) as client,
        ):
            await next_event(client)
            stream = await master.next_stream()
            await stream.send(update("t1", TaskState.TASK_RUNNING))
            event = await next_event(client)
            master.answers.append((503, "busy"))
            with pytest.raises(Disconnected):
                await client.acknowledge(event)
            await stream.send(event)  # its agent tries again
            again = await next_event(client)
            await client.acknowledge(again)
            assert master.calls.qsize() == 2

    within_deadline(test())


@pytest.mark.parametrize(("status", "text"), [(400, "wrong"), (403, "not yours")])
def test_another_status_than_202_is_call_refused(status: int, text: str) -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            await next_event(client)
            master.answers.append((status, text))
            with pytest.raises(CallRefused) as refused:
                await client.revive()
            assert (refused.value.status, refused.value.text) == (status, text)

    within_deadline(test())


def test_a_call_without_subscription_is_disconnected() -> None:
    async def test() -> None:
        async with SchedulerClient("127.0.0.1:1", INFO) as client:
            with pytest.raises(Disconnected):
                await client.revive()

    within_deadline(test())


def test_not_being_subscribed_is_disconnected_not_refused() -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            await next_event(client)
            master.answers.append((403, "Framework is not subscribed"))
            with pytest.raises(Disconnected):
                await client.revive()

    within_deadline(test())


def test_a_standby_s_redirect_leads_to_the_leader() -> None:
    async def test() -> None:
        async with fake_master() as leader, fake_master() as standby:
            standby.leader = leader.address
            async with SchedulerClient(f"127.0.0.1:1,{standby.address}", INFO) as client:
                await next_event(client)
                assert client.leader == f"http://{leader.address}"
                await client.suppress(["web"])
                call = await leader.next_call(Type.SUPPRESS)
                assert call.suppress == scheduler.Call.Suppress(roles=("web",))

    within_deadline(test())


def test_a_frozen_master_is_left_for_the_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masters, "ANSWER_MS", 200)

    async def test() -> None:
        async with frozen_master() as (frozen, _), fake_master() as good, fake_master() as standby:
            standby.leader = frozen
            addresses = f"{standby.address},{good.address}"  # of the frozen one a redirect tells
            for known in (addresses, f"{frozen},{addresses}"):
                async with SchedulerClient(known, INFO) as client:
                    assert (await next_event(client)).subscribed is not None
                    assert client.leader == f"http://{good.address}"

    within_deadline(test())


def test_a_starting_master_is_asked_again() -> None:
    async def test() -> None:
        async with fake_master() as master:
            master.subscribe_answers = [(503, "no leader yet"), (404, "")]
            async with SchedulerClient(master.address, INFO, seed=1) as client:
                assert (await next_event(client)).subscribed is not None
                assert client.framework_id == "fw-1"

    within_deadline(test())


def test_a_refused_subscription_ends_the_client() -> None:
    async def test() -> None:
        async with fake_master() as master:
            master.subscribe_answers = [(401, "who are you")]
            with pytest.raises(CallRefused, match="401 who are you"):
                await Scheduler(master.address, INFO).run()

    within_deadline(test())


def test_no_master_in_time_is_unreachable() -> None:
    async def test() -> None:
        with pytest.raises(Unreachable, match=r"within 0\.05 s"):
            await Scheduler("127.0.0.1:1", INFO, connect_timeout_s=0.05).run()

    within_deadline(test())


def test_an_error_event_ends_the_client() -> None:
    async def test() -> None:
        async with fake_master() as master:
            running = asyncio.create_task(Scheduler(master.address, INFO).run())
            stream = await master.next_stream()
            error = scheduler.Event.Error(message="Framework has been removed")
            await stream.send(scheduler.Event(type=scheduler.Event.Type.ERROR, error=error))
            with pytest.raises(FrameworkEnded, match="Framework has been removed"):
                await running

    within_deadline(test())


def test_a_record_cut_in_its_middle_leads_to_a_new_subscription() -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            await next_event(client)
            stream = await master.next_stream()
            record = frame(encode(update("t1", TaskState.TASK_RUNNING), Media.JSON))
            await stream.send_bytes(record[:20])
            stream.cut(master.requests[stream])
            again = await master.next_stream()
            assert again.subscribe.framework_id == mesos.FrameworkID("fw-1")
            await again.send_bytes(record[:20])
            await again.send_bytes(record[20:])
            assert (await next_event(client)).subscribed is not None
            assert (await next_event(client)).update is not None

    within_deadline(test())


def test_a_stream_that_is_not_recordio_leads_to_a_new_subscription() -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            await next_event(client)
            await (await master.next_stream()).send_bytes(b"<html>\n")
            await master.next_stream()

    within_deadline(test())


def test_missing_heartbeats_lead_to_a_new_subscription() -> None:
    def silent(master: FakeMaster) -> None:
        master.heartbeat_interval_s = 0.02

    async def test() -> None:
        async with fake_master(silent) as master, SchedulerClient(master.address, INFO) as client:
            await next_event(client)
            await master.next_stream()
            await master.next_stream()

    within_deadline(test())


def test_a_killed_master_is_found_again_and_known_tasks_are_reconciled() -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            events = client.events()
            await anext(events)
            stream = await master.next_stream()
            await stream.send(update("t1", TaskState.TASK_RUNNING))
            await stream.send(offers(offer()))
            await anext(events)  # the update is in hand, and the offer waits behind it
            await master.kill()
            await master.start()
            stream = await master.next_stream()
            assert stream.subscribe.framework_id == mesos.FrameworkID("fw-1")
            asked = await master.next_call(Type.RECONCILE)
            assert asked.reconcile is not None
            assert [task.task_id.value for task in asked.reconcile.tasks] == ["t1"]
            assert (await anext(events)).subscribed is not None  # the offer is void
            await master.next_call(Type.ACKNOWLEDGE)
            await stream.send(update("t1", TaskState.TASK_FINISHED, b"2" * 16))
            finished = (await anext(events)).update
            assert finished is not None
            assert finished.status.state is TaskState.TASK_FINISHED

    within_deadline(test())


def test_without_failover_timeout_a_killed_master_ends_the_client() -> None:
    async def test() -> None:
        async with fake_master() as master:
            info = framework_info("test", user="me", failover_timeout_s=0)
            running = asyncio.create_task(Scheduler(master.address, info).run())
            await master.next_stream()
            await master.kill()
            with pytest.raises(FrameworkEnded, match="failover_timeout of 0 s"):
                await running

    within_deadline(test())


def test_an_update_whose_callback_was_disconnected_is_delivered_again() -> None:
    class Killing(Scheduler):
        seen = 0

        async def on_update(self, status: mesos.TaskStatus) -> None:
            self.seen += 1
            await self.kill(status.task_id.value)
            self.stop(teardown=False)

    async def test() -> None:
        async with fake_master() as master:
            killing = Killing(master.address, INFO)
            running = asyncio.create_task(killing.run())
            stream = await master.next_stream()
            master.answers.append((503, "going down"))
            await stream.send(update("t1", TaskState.TASK_RUNNING))
            await master.next_call(Type.KILL)
            await stream.send(update("t1", TaskState.TASK_RUNNING))
            await master.next_call(Type.KILL)
            await running
            assert killing.seen == 2

    within_deadline(test())


def test_a_callback_s_error_ends_run_and_its_update_is_not_acknowledged() -> None:
    class Wrong(Scheduler):
        async def on_update(self, status: mesos.TaskStatus) -> None:
            raise ValueError("a mistake")

    async def test() -> None:
        async with fake_master() as master:
            running = asyncio.create_task(Wrong(master.address, INFO).run())
            await (await master.next_stream()).send(update("t1", TaskState.TASK_RUNNING))
            with pytest.raises(ValueError, match="a mistake"):
                await running
            assert master.calls.empty()

    within_deadline(test())


def test_calls_have_the_fields_of_the_api() -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            await next_event(client)
            await client.kill("t1", "a1", grace_period_ms=3000)
            killed = (await master.next_call(Type.KILL)).kill
            assert killed == scheduler.Call.Kill(
                task_id=mesos.TaskID("t1"),
                agent_id=mesos.AgentID("a1"),
                kill_policy=mesos.KillPolicy(
                    grace_period=mesos.DurationInfo(nanoseconds=3_000_000_000)
                ),
            )
            await client.message("a1", "ex", b"hello")
            sent = (await master.next_call(Type.MESSAGE)).message
            assert sent is not None
            assert sent.data == b"hello"
            await client.decline(offer(), refuse_seconds=60)
            declined = (await master.next_call(Type.DECLINE)).decline
            assert declined is not None
            assert declined.filters == mesos.Filters(refuse_seconds=60)
            await client.shutdown_executor("a1", "ex")
            assert (await master.next_call(Type.SHUTDOWN)).shutdown is not None
            await client.reconcile({"t1": None})
            assert (await master.next_call(Type.RECONCILE)).reconcile is not None
            await client.update_framework(framework_info("renamed", user="me"))
            changed = (await master.next_call(Type.UPDATE_FRAMEWORK)).update_framework
            assert changed is not None
            assert changed.framework_info.id == mesos.FrameworkID("fw-1")
            await client.teardown()
            await master.next_call(Type.TEARDOWN)

    within_deadline(test())


def test_many_waiting_events_stop_the_reading_and_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        async with fake_master() as master, SchedulerClient(master.address, INFO) as client:
            monkeypatch.setattr(client._inbox, "_waiting_max", 3)
            stream = await master.next_stream()
            count = 50
            for number in range(count):
                uuid = number.to_bytes(16, "big")
                await stream.send(update(f"t{number}", TaskState.TASK_RUNNING, uuid))
            events = client.events()
            assert (await anext(events)).subscribed is not None
            for number in range(count):
                event = await anext(events)
                assert event.update is not None
                assert event.update.status.task_id.value == f"t{number}"

    within_deadline(test())
