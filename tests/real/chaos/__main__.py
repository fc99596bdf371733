"""python -m tests.real.chaos: see the package. Ends with 0 when nothing is wrong."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from tests.real.chaos import away
from tests.real.chaos.run import Options, Report, run
from tests.real.pymesos import environment
from tests.real.zookeeper import Unavailable


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real.chaos")
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--directory", type=Path, help="a new one; for all that is left")
    parser.add_argument(
        "--zookeeper-away", type=float, metavar="MINUTES", help="the other scenario"
    )
    given = parser.parse_args()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="chaos-"))
    options = Options(given.minutes, given.seed, directory)
    again = command(options, given.zookeeper_away)
    print(f"again: {again}\nlogs, ledgers and faults: {directory}", flush=True)
    try:
        if given.zookeeper_away is None:
            report = asyncio.run(_ended_by_signals(run(options)))
        else:
            seconds = 60 * given.zookeeper_away
            report = asyncio.run(_ended_by_signals(away.run(directory, given.seed, seconds)))
    except (Unavailable, environment.Unavailable) as reason:
        print(reason, file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        print("ended by a signal", file=sys.stderr)
        return 2
    return told(report, again, directory)


async def _ended_by_signals(running: Coroutine[None, None, Report]) -> Report:
    """SIGTERM and SIGINT end the run, and the run ends all that it has started."""
    task = asyncio.ensure_future(running)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def command(options: Options, away_minutes: float | None = None) -> str:
    """What repeats a run."""
    how = f"--minutes {options.minutes:g}"
    if away_minutes is not None:
        how = f"--zookeeper-away {away_minutes:g}"
    return f"python -m tests.real.chaos {how} --seed {options.seed}"


def told(report: Report, again: str, directory: Path) -> int:
    """Print it; 1 when something is wrong."""
    print(f"{report.text()}\nagain: {again}\nlogs, ledgers and faults: {directory}", flush=True)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
