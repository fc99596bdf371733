"""From the death of a leading master to work as usual, with real sockets and a real ZooKeeper.

bench/run failover                              # all three parts
bench/run failover --part leader                # 3 masters, 100 agents, and who leads is killed
bench/run failover --part sqlite --agents 5000 --tasks 100000
bench/run failover --part zookeeper --profile samples
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from bench import failover_leader, failover_return
from bench.failover_masters import why_no_zookeeper
from bench.table import Row, measured, show

PARTS = ("leader", "sqlite", "zookeeper")


def main() -> None:
    """Run, and print the table."""
    leader, whole = failover_leader.Options(), failover_return.Options()
    parser = argparse.ArgumentParser(
        prog="bench/run failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=1, help="the median counts")
    parser.add_argument("--part", choices=PARTS, help="one of the three only")
    parser.add_argument(
        "--agents", type=int, default=whole.agents, help=f"that come back [{whole.agents}]"
    )
    parser.add_argument("--tasks", type=int, default=whole.tasks, help="of these, all together")
    parser.add_argument("--loads", type=int, default=whole.loads, help="processes of agents")
    parser.add_argument(
        "--session-s", type=float, default=leader.session_s, help="timeout of ZooKeeper sessions"
    )
    parser.add_argument(
        "--profile", choices=("calls", "samples"), help="of the master that takes over, printed"
    )
    given = vars(parser.parse_args())
    runs, wanted = given.pop("runs"), given.pop("part")
    leader = failover_leader.Options(session_s=given["session_s"])
    whole = failover_return.Options(**given)
    if wanted not in (None, "sqlite") and (reason := why_no_zookeeper()) is not None:
        parser.error(f"argument --part: {reason}")
    show(
        [
            measured("failover", part.title, runs, part.one_run)
            for part in parts(leader, whole)
            if wanted in (None, part.name)
        ]
    )


class Part(Struct, frozen=True):
    """One table; what `one_run` returns are its lines."""

    name: str
    title: str
    one_run: Callable[[], list[Row]]


def parts(leader: failover_leader.Options, whole: failover_return.Options) -> list[Part]:
    """All that can be measured here: without a ZooKeeper it is less."""
    sqlite = replace(whole, store="sqlite")
    zookeeper = replace(whole, store="zookeeper")
    found = [
        Part("leader", leader.title, lambda: failover_leader.rows(leader)),
        Part("sqlite", sqlite.title, lambda: failover_return.rows(sqlite)),
        Part("zookeeper", zookeeper.title, lambda: failover_return.rows(zookeeper)),
    ]
    return found if why_no_zookeeper() is None else [p for p in found if p.name == "sqlite"]


if __name__ == "__main__":
    main()
