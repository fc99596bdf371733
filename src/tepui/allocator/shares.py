"""Who is furthest below their share: the tree of roles, ordered by weighted dominant share.

The tree is that of the role names: under the root the roles 'eng' and 'ops', under 'eng' the
roles 'eng/web' and so on. Frameworks of 'eng' itself sit in its leaf '.', which competes with the
child roles as one of them. Every level is ordered by

    (dominant share / weight, grants so far, name)

where the dominant share is the largest fraction of the cluster's total of any scalar resource.
The second key lets frameworks that hold nothing take turns, as it does in Mesos.

A level is a sorted list. To walk a level past those who cannot use an agent is a plain loop, and
a node that moved costs one bisection and one memmove; a heap would make the walk the dear part.
Nodes that moved are put in place when the level is next walked, so a burst of recovered
resources costs no sorting.

(Mesos: allocator/mesos/sorter/drf/sorter.cpp)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

from tepui.base.names import Role

WEIGHT_DEFAULT = 1.0
LEAF_NAME = "."
RESORT_FRACTION = 8  # one level with more than 1/8 of its nodes moved is sorted as a whole


class Cluster:
    """The scalars of all agents together, in milli-units; `epoch` grows when they change."""

    __slots__ = ("_excluded", "divisors", "epoch", "totals")

    def __init__(self, excluded: frozenset[str]) -> None:
        self._excluded = excluded
        self.totals: dict[str, int] = {}
        self.divisors: tuple[tuple[str, int], ...] = ()
        self.epoch = 0

    def change(self, amounts: Mapping[str, int], sign: int) -> None:
        """`amounts` have joined (`sign` 1) or left (-1) the cluster."""
        add(self.totals, amounts, sign)
        self.divisors = tuple(
            [(n, t) for n, t in sorted(self.totals.items()) if t > 0 and n not in self._excluded]
        )
        self.epoch += 1

    def dominant_share(self, amounts: Mapping[str, int]) -> float:
        """The largest fraction of the cluster that `amounts` are in one resource."""
        share = 0.0
        for name, total in self.divisors:
            amount = amounts.get(name)
            if amount and amount / total > share:
                share = amount / total
        return share


Key = tuple[float, int, str]


class Node:
    """Somebody with a share: a role, the leaf of a role, or a framework in it."""

    __slots__ = ("above", "amounts", "entry", "grants", "is_active", "is_moved", "name", "weight")

    def __init__(self, name: str, above: Level | None, weight: float = WEIGHT_DEFAULT) -> None:
        self.name = name
        self.above = above
        self.weight = weight
        self.amounts: dict[str, int] = {}  # allocated now, milli-units by name
        self.grants = 0  # how often something was allocated, ever
        self.is_active = False  # takes part in the order of the level above
        self.is_moved = False  # waits in `above.moved`
        self.entry: tuple[float, int, str, Node] | None = None  # its place in `above.order`

    def key(self, cluster: Cluster) -> Key:
        """What the level above sorts by."""
        return (cluster.dominant_share(self.amounts) / self.weight, self.grants, self.name)


class Level(Node):
    """A node with others below it, kept in order."""

    __slots__ = ("_epoch", "_members", "_moved", "_order")

    def __init__(self, name: str, above: Level | None, weight: float = WEIGHT_DEFAULT) -> None:
        super().__init__(name, above, weight)
        self._members: dict[Node, None] = {}
        self._order: list[tuple[float, int, str, Node]] = []
        self._moved: list[Node] = []
        self._epoch = 0

    def join(self, node: Node) -> None:
        """`node` takes part from now on, and so does this level."""
        assert not node.is_active
        node.is_active = True
        self._members[node] = None
        self.mark_moved(node)
        if self.above is not None and not self.is_active:
            self.above.join(self)

    def leave(self, node: Node) -> None:
        """`node` takes no part any more; what it holds still counts."""
        assert node.is_active
        node.is_active = False
        del self._members[node]
        if node.entry is not None:
            del self._order[bisect_left(self._order, node.entry)]
            node.entry = None
        if self.above is not None and not self._members:
            self.above.leave(self)

    def mark_moved(self, node: Node) -> None:
        """The key of `node` has changed."""
        if not node.is_moved:
            node.is_moved = True
            self._moved.append(node)

    def in_order(self, cluster: Cluster) -> list[tuple[float, int, str, Node]]:
        """The active nodes below, the neediest first. Not to be kept or changed."""
        if self._moved or self._epoch != cluster.epoch:
            self._settle(cluster)
        return self._order

    def _settle(self, cluster: Cluster) -> None:
        if len(self._members) == 1 and self._order:
            # The only one is in order whatever its key. When a second one joins, one of two has
            # moved, so the whole level is sorted and this key is made up for.
            for node in self._moved:
                node.is_moved = False
            self._moved.clear()
        elif self._epoch != cluster.epoch or len(self._moved) * RESORT_FRACTION > len(
            self._members
        ):
            self._sort(cluster)
        else:
            self._move(cluster)
        self._epoch = cluster.epoch

    def _sort(self, cluster: Cluster) -> None:
        for node in self._moved:
            node.is_moved = False
        self._moved.clear()
        for node in self._members:
            node.entry = (*node.key(cluster), node)
        self._order = sorted([node.entry for node in self._members if node.entry is not None])

    def _move(self, cluster: Cluster) -> None:
        order = self._order
        for node in self._moved:
            node.is_moved = False
            if node.is_active:
                if node.entry is not None:
                    del order[bisect_left(order, node.entry)]
                node.entry = (*node.key(cluster), node)
                insort(order, node.entry)
        self._moved.clear()


class RoleLevel(Level):
    """A role, with its child roles and, once it has frameworks, its leaf."""

    __slots__ = ("children", "leaf", "parent", "role")

    def __init__(self, role: Role, name: str, parent: RoleLevel | None, weight: float) -> None:
        super().__init__(name, parent, weight)
        self.parent = parent
        self.role = role
        self.children: dict[str, RoleLevel] = {}
        self.leaf: Leaf | None = None


class Leaf(Level):
    """The frameworks of one role."""

    __slots__ = ("nodes", "role", "role_level")

    def __init__(self, role: Role, above: RoleLevel) -> None:
        super().__init__(LEAF_NAME, above)
        self.role = role
        self.role_level = above
        self.nodes = 0  # frameworks here, active or not


class RoleTree:
    """All roles that have frameworks or allocations, and the roles above them."""

    def __init__(self, cluster: Cluster, weights: Mapping[Role, float]) -> None:
        self.cluster = cluster
        self.weights = dict(weights)
        self.root = RoleLevel(Role(""), "", None, WEIGHT_DEFAULT)

    def set_weight(self, role: Role, weight: float) -> None:
        """`role` gets `weight` times the share of a sibling of weight 1."""
        assert weight > 0
        self.weights[role] = weight
        level = self.find(role)
        if level is not None and level.parent is not None:
            level.weight = weight
            level.parent.mark_moved(level)

    def find(self, role: Role) -> RoleLevel | None:
        """The level of `role`, if it is in the tree."""
        level: RoleLevel | None = self.root
        for name in role.split("/"):
            level = level.children.get(name) if level is not None else None
        return level

    def weight(self, role: Role) -> float:
        """The weight of `role`."""
        return self.weights.get(role, WEIGHT_DEFAULT)

    def enter_leaf(self, role: Role) -> Leaf:
        """The leaf of `role`, made with all that leads to it; one more framework sits in it."""
        level = self.root
        parts = role.split("/")
        for depth, name in enumerate(parts, 1):
            below = level.children.get(name)
            if below is None:
                path = Role("/".join(parts[:depth]))
                below = RoleLevel(path, name, level, self.weight(path))
                level.children[name] = below
            level = below
        if level.leaf is None:
            level.leaf = Leaf(role, level)
        level.leaf.nodes += 1
        return level.leaf

    def exit_leaf(self, leaf: Leaf) -> None:
        """One framework less sits in `leaf`; roles that hold nobody are gone from the tree."""
        leaf.nodes -= 1
        level = leaf.role_level
        if leaf.nodes == 0:
            level.leaf = None
        while level.parent is not None and level.leaf is None and not level.children:
            del level.parent.children[level.name]
            level = level.parent

    def charge(self, node: Node, amounts: Mapping[str, int]) -> None:
        """`amounts` are allocated to `node`, and so to all above it but the root."""
        above = node.above
        while above is not None:
            add(node.amounts, amounts, 1)
            node.grants += 1
            if node.is_active and not node.is_moved:
                above.mark_moved(node)
            node, above = above, above.above

    def discharge(self, node: Node, amounts: Mapping[str, int]) -> None:
        """`amounts` are no longer allocated to `node`."""
        above = node.above
        while above is not None:
            add(node.amounts, amounts, -1)
            if node.is_active and not node.is_moved:
                above.mark_moved(node)
            node, above = above, above.above

    def leaves_in_order(self) -> Iterator[Leaf]:
        """The leaves with active frameworks, the neediest role first."""
        return self._leaves_below(self.root)

    def _leaves_below(self, level: Level) -> Iterator[Leaf]:
        for *_, node in level.in_order(self.cluster):
            if isinstance(node, Leaf):
                yield node
            elif isinstance(node, Level):
                yield from self._leaves_below(node)

    def rank(self, node: Node) -> tuple[Key, ...]:
        """What sorts nodes of different roles into the order of a walk through the tree."""
        keys: list[Key] = []
        above = node.above
        while above is not None:
            keys.append(node.key(self.cluster))
            node, above = above, above.above
        keys.reverse()
        return tuple(keys)


def add(sums: dict[str, int], amounts: Mapping[str, int], sign: int) -> None:
    """`sums` have grown by `sign` times `amounts`; what is zero is left out."""
    for name, amount in amounts.items():
        changed = sums.get(name, 0) + sign * amount
        if changed:
            sums[name] = changed
        else:
            sums.pop(name, None)
