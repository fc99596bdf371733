"""What a task does: it notes its start and its end in a file of its own, with its process's id.

Also read by the Pythons that pymesos needs: no more than 3.8 offers.
"""

from __future__ import annotations

import random
import shlex
from pathlib import Path

OPEN_MAX = 14  # tasks of one framework that have not ended
TASKS_PER_OFFER_MAX = 3
LENGTH_S_MIN, LENGTH_S_MAX = 0.5, 20.0
LONGEST_SHARE = 0.2
LONGEST_BEFORE = 25  # of one framework's tasks, so that those that come last are soon over
CPUS = 0.1
MEM_MIB = 16.0
REFUSE_S = 0.5
QUIET_S = 11.0  # an update whose acknowledgement was lost is sent again after 10 s
DRAIN = "drain"  # a file in the ledger's directory: submit no more, and end
RECONCILE_S = 5.0  # between two questions after tasks that are open


def length_s(chance: random.Random, longest_s: float, number: int) -> float:
    """How long a task takes: most are short; of the first ones some the longest, if over 20 s."""
    if longest_s > LENGTH_S_MAX and number < LONGEST_BEFORE and chance.random() < LONGEST_SHARE:
        return longest_s
    return round(LENGTH_S_MIN + (LENGTH_S_MAX - LENGTH_S_MIN) * chance.random() ** 2, 2)


def command(directory: Path, task: str, seconds: float) -> str:
    """The shell line of a task."""
    note = shlex.quote(str(directory / task))
    return f'echo "start $$" >> {note}; sleep {seconds}; echo "end $$" >> {note}'
