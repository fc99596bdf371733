"""Which ids of the host are whose: each container with its pod has a range of its own, whom nobody else is.

Ranges in use are on the grounds of containers, so a new agent learns them from there.
"""

from __future__ import annotations

from collections.abc import Iterator

from tepui.agent.containers.spec import Users
from tepui.base.errors import HostError, Refused

IDS_OF_ONE = 1 << 16  # what images know: 65,534 is nobody, everywhere
ID_MAX = 2**31 - 1  # more is negative to some programs
# systemd and distributions keep their hands off these (systemd, docs/UIDS-GIDS.md): 4,096 containers.
DEFAULT = "1879048192-2147483647"


class UserRanges:
    """The ranges of one agent, given in turn, so that one is long unused when it is given again."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first
        self._count = (last - first + 1) // IDS_OF_ONE
        self._next = 0
        self._taken: dict[int, set[str]] = {}  # containers, by the number of their range
        self._by_root: dict[str, int] = {}

    def take(self, container_id: str) -> Users:
        """The container's users: those of the container around it, if any. Raises HostError when all are taken."""
        root = _root_of(container_id)
        number = self._by_root.get(root)
        if number is None:
            number = next(self._free(), None)
            if number is None:
                cause = f"all {self._count} ranges of --user_namespace_ids are taken"
                raise HostError("give users to", f"'{container_id}'", cause)
            self._next = (number + 1) % self._count
        return self._give(container_id, number)

    def adopt(self, container_id: str, users: Users) -> None:
        """The container has had these since before; those of another --user_namespace_ids are nobody else's."""
        number, rest = divmod(users.first - self._first, IDS_OF_ONE)
        if rest == 0 and 0 <= number < self._count:
            self._give(container_id, number)
            return
        for one in (number, number + 1):  # it lies across two of the present ones
            if 0 <= one < self._count:
                self._taken.setdefault(one, set()).add(container_id)

    def release(self, container_id: str) -> None:
        """The container is no more, if it ever was."""
        for number, containers in list(self._taken.items()):
            containers.discard(container_id)
            if not containers:
                del self._taken[number]
                self._by_root = {root: n for root, n in self._by_root.items() if n != number}

    def _give(self, container_id: str, number: int) -> Users:
        self._taken.setdefault(number, set()).add(container_id)
        self._by_root[_root_of(container_id)] = number
        return Users(first=self._first + number * IDS_OF_ONE, count=IDS_OF_ONE)

    def _free(self) -> Iterator[int]:
        for step in range(self._count):
            number = (self._next + step) % self._count
            if number not in self._taken:
                yield number


def range_of(text: str) -> tuple[int, int]:
    """`--user_namespace_ids`, as in `100000-165535`: the first and the last. Raises Refused."""
    first, dash, last = text.partition("-")
    flag = f"flag --user_namespace_ids: '{text}'"
    if not dash or not first.isdecimal() or not last.isdecimal():
        raise Refused(f"{flag}: a first and a last id, as in {DEFAULT}")
    if int(first) < IDS_OF_ONE:
        raise Refused(f"{flag}: ids below {IDS_OF_ONE} are of the host's own users")
    if int(last) > ID_MAX:
        raise Refused(f"{flag}: the last id is {ID_MAX} at most")
    if int(last) - int(first) + 1 < IDS_OF_ONE:
        raise Refused(f"{flag}: one container has {IDS_OF_ONE} ids, so it holds none")
    return int(first), int(last)


def _root_of(container_id: str) -> str:
    return container_id.partition(".")[0]
