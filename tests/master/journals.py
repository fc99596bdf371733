"""Journals of a core in a world: what is played is recorded, with the effects of each batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from tepui.base.names import StreamId
from tepui.master.core.actions import Effects
from tepui.master.core.events import CallReceived, Event, RequestId, SubscribeReceived
from tepui.master.core.settings import RateLimit, RateLimits, Settings
from tepui.master.core.state import State
from tepui.master.core.views.questions import ExplainFrameworkAsked, StateAsked
from tepui.master.daemon.journal import JournalOptions, Recorder
from tepui.resources import Resources, parse_resources
from tepui.wire import master, mesos, scheduler
from tests.master.world import Scheduler, TaskState, World

Play = Callable[[World, Recorder], Awaitable[None]]


class Played:
    """A world that was recorded, and the effects of each of its batches as bytes."""

    def __init__(self, directory: Path, world: World, bytes_max: int) -> None:
        self.directory = directory
        self.world = world
        self.effects: list[bytes] = []
        self.recorder = Recorder(JournalOptions(directory, bytes_max))
        world.step = self._step

    def _step(self, state: State, events: Sequence[Event], now_ms: int) -> Effects:
        effects = self.recorder.step(state, events, now_ms)
        self.effects.append(as_bytes(effects))
        return effects


def record(
    directory: Path,
    play: Play,
    *,
    world: World | None = None,
    bytes_max: int = 64 * 1024 * 1024,
) -> Played:
    """Play it in a world; the journal is whole afterwards."""

    async def run() -> Played:
        played = Played(directory, world or World(), bytes_max)
        try:
            await play(played.world, played.recorder)
            await played.recorder.pictured()
        finally:
            await played.recorder.close()
        return played

    return asyncio.run(run())


def as_bytes(effects: Effects) -> bytes:
    """All that a step decided, byte for byte."""

    def plain(found: object) -> object:
        if isinstance(found, Resources):
            return found.to_wire(role=None, refinement=True)
        raise TypeError(type(found).__name__)

    named = [(type(one).__name__, one) for one in (*effects.save, *effects.then)]
    return msgspec.msgpack.Encoder(enc_hook=plain).encode(named)


def busy_world() -> World:
    """One whose settings have timers and rate limits at work."""
    limits = RateLimits(limits=(RateLimit(principal="slow", qps=0.5, capacity=10),))
    return World(
        settings=Settings(rate_limits=limits, offer_timeout_ms=20_000), flags={"cluster": "tests"}
    )


async def play_much(world: World, recorder: Recorder) -> None:
    """Of everything that a state can hold something: constraints, filters, groups, lost agents."""
    agents = [
        world.add_agent(hostname=f"h{n}", attributes=(_text("rack", f"r{n % 3}"),))
        for n in range(6)
    ]
    agents.append(world.add_agent(hostname="gpus", resources="cpus:8;mem:8192;gpus:2"))
    plain = world.subscribe(name="plain")
    picky = _subscribe_with_constraints(world, "web/shop")
    hungry = world.subscribe(name="hungry", roles=("web", "ads"), failover_s=30.0)
    operator = world.watch()
    for n in range(30):
        with_offers = (plain, picky, hungry)[n % 3]
        offered = {offer.agent_id for offer in with_offers.framework.offers.values()}
        agent = next((one for one in agents if one.id in offered), None)
        if agent is None:
            world.advance(1_000)
            continue
        task_id = f"t{n}"
        if n % 5 == 4:
            with_offers.launch_group((task_id, f"{task_id}b"), agent, f"e{n}")
        else:
            with_offers.launch(task_id, agent, labels=_labels(n))
            agent.update(with_offers, task_id, TaskState.TASK_RUNNING, acknowledged=n % 2 == 0)
            if n % 4 == 0:
                agent.update(with_offers, task_id, TaskState.TASK_FINISHED, message="done")
        world.advance(700)
    _decline_all(world, hungry)
    world.ask(StateAsked())
    wanted = parse_resources("cpus:100;ports:[1-5]")
    world.ask(ExplainFrameworkAsked(str(plain.framework_id), wanted))
    weights = (mesos.WeightInfo(weight=2.5, role="web"),)
    update = master.Call.UpdateWeights(weight_infos=weights)
    world.call(master.Call(type=master.Call.Type.UPDATE_WEIGHTS, update_weights=update))
    agents[0].disconnect()
    world.advance(90_000)
    agents[1].disconnect()
    agents[1].reregister()
    agents[0].reregister()
    hungry.leave()
    world.advance(31_000)
    plain.call(scheduler.Call.Type.SUPPRESS)
    plain.call(scheduler.Call.Type.REVIVE)
    world.teardown(picky.framework_id)
    world.events(operator, master.Event)


def _subscribe_with_constraints(world: World, role: str) -> Scheduler:
    """A framework that wants racks r0 and r1 only, and whose calls are limited in rate."""
    predicate = scheduler.AttributeConstraint.Predicate
    constraints = scheduler.OfferConstraints.RoleConstraints
    group = constraints.Group(
        attribute_constraints=(
            scheduler.AttributeConstraint(
                selector=scheduler.AttributeConstraint.Selector(attribute_name="rack"),
                predicate=predicate(text_matches=predicate.TextMatches(regex="r[01]")),
            ),
        )
    )
    subscribe = scheduler.Call.Subscribe(
        framework_info=mesos.FrameworkInfo(
            user="root",
            name="picky",
            roles=(role,),
            capabilities=(_capability("MULTI_ROLE"), _capability("PARTITION_AWARE")),
            failover_timeout=60.0,
        ),
        offer_constraints=scheduler.OfferConstraints(
            role_constraints={role: constraints(groups=(group,))}
        ),
    )
    call = scheduler.Call(type=scheduler.Call.Type.SUBSCRIBE, subscribe=subscribe)
    stream = StreamId("picky")
    world.put(SubscribeReceived(stream, call, "slow"))
    return Scheduler(world, stream)


def _decline_all(world: World, found: Scheduler) -> None:
    """One offer after the other, for a while each; there are filters then, and calls that wait."""
    for n, offer_id in enumerate(list(found.framework.offers)):
        decline = scheduler.Call.Decline(
            offer_ids=(mesos.OfferID(offer_id),), filters=mesos.Filters(refuse_seconds=20.0 + n)
        )
        call = scheduler.Call(
            type=scheduler.Call.Type.DECLINE,
            framework_id=mesos.FrameworkID(found.framework_id),
            decline=decline,
        )
        principal = "slow" if n % 2 else None
        world.put(CallReceived(RequestId(world.number()), call, found.stream, principal))


def _capability(name: str) -> mesos.FrameworkInfo.Capability:
    kind = mesos.FrameworkInfo.Capability.Type
    return mesos.FrameworkInfo.Capability(type=kind[name])


def _text(name: str, value: str) -> mesos.Attribute:
    return mesos.Attribute(
        name=name, type=mesos.Value.Type.TEXT, text=mesos.Value.Text(value=value)
    )


def _labels(n: int) -> mesos.Labels:
    return mesos.Labels(labels=(mesos.Label(key="n", value=str(n)),))
