"""Resources for property tests: few names and roles, so that entries meet each other."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from tepui.resources import Ranges, Resources
from tepui.resources.convert import static_reservation
from tepui.resources.kinds import Disk, Kind, Reservation, ReservationType, ValueType
from tepui.wire import mesos

laws = settings(derandomize=True, deadline=None, max_examples=100)

ROLES = ("web", "db", "db/x")

dynamic = st.builds(
    Reservation,
    type=st.just(ReservationType.DYNAMIC),
    role=st.sampled_from(ROLES),
    principal=st.sampled_from((None, "ops")),
    labels=st.sampled_from((None, mesos.Labels(labels=(mesos.Label(key="k", value="v"),)))),
)
single_stacks = st.one_of(
    st.just(()),
    st.sampled_from(ROLES).map(lambda role: (static_reservation(role),)),
    dynamic.map(lambda reservation: (reservation,)),
)
refined_stacks = dynamic.map(
    lambda inner: (
        static_reservation("top"),
        Reservation(type=ReservationType.DYNAMIC, role=f"top/{inner.role}"),
    )
)
pairs = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1]))
ranges = st.lists(pairs, max_size=6).map(Ranges.of)
some_ranges = st.lists(pairs, min_size=1, max_size=6).map(Ranges.of)
items = st.frozensets(st.sampled_from("abcdef"), min_size=1)
amounts = st.integers(1, 10**9)


def volume(identity: str, *, shared: bool, size: int, path: str = "data") -> Kind:
    """A persistent volume of role db."""
    info = mesos.Resource.DiskInfo(
        persistence=mesos.Resource.DiskInfo.Persistence(id=identity),
        volume=mesos.Volume(mode=mesos.Volume.Mode.RW, container_path=path),
    )
    return Kind(
        name="disk",
        type=ValueType.SCALAR,
        reservations=(static_reservation("db"),),
        disk=Disk(info),
        shared=shared,
        whole_milli=size,
    )


def entries(
    stacks: st.SearchStrategy[tuple[Reservation, ...]],
) -> st.SearchStrategy[tuple[Kind, int | Ranges | frozenset[str]]]:
    """One kind and its amount."""

    def kinds(type: ValueType, *names: str) -> st.SearchStrategy[Kind]:
        return st.builds(
            Kind,
            name=st.sampled_from(names),
            type=st.just(type),
            reservations=stacks,
            revocable=st.booleans(),
            provider_id=st.sampled_from((None, "rp")),
        )

    volumes = st.builds(
        volume,
        st.sampled_from(("v1", "v2")),
        shared=st.just(False),
        size=st.sampled_from((5000, 7000)),
    )
    return st.one_of(
        st.tuples(kinds(ValueType.SCALAR, "cpus", "mem", "disk"), amounts),
        st.tuples(kinds(ValueType.RANGES, "ports"), some_ranges),
        st.tuples(kinds(ValueType.SET, "licences"), items),
        st.tuples(volumes, st.just(1)),
    )


def of_entries(
    stacks: st.SearchStrategy[tuple[Reservation, ...]],
) -> st.SearchStrategy[Resources]:
    return st.lists(entries(stacks), max_size=6).map(
        lambda given: Resources.total(Resources({kind: amount}) for kind, amount in given)
    )


resources = of_entries(st.one_of(single_stacks, refined_stacks))
old_format_resources = of_entries(single_stacks)
