"""Reads what a run has left, ledgers, tasks' files and logs, and says what must not be.

- Each task has one outcome: one terminal update of its agent, or a master's word that it is nowhere.
- A task that began ends with TASK_FINISHED: it was started once, and is the same process to its end.
- An update that was acknowledged does not come again. Mesos promises that only as long as the master
  lives that has answered the acknowledgement; the next one may repeat it, soon.
- No two masters lead in one epoch, and no agent goes back to an earlier one.
- No daemon's log has a traceback.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from tests.real.chaos.ledger import NOWHERE, TERMINAL, entries_of

RACE_S = 25.0  # an update was on its way when its acknowledgement was answered, and was held back
REPEATED_S_MAX = 120.0  # by another master: who took the acknowledgement died, or was cut off
RANKS = {"TASK_STAGING": 0, "TASK_STARTING": 1, "TASK_RUNNING": 2, "TASK_KILLING": 3}
ENDED = 4  # the rank of all others
BAD_LINES = re.compile(r"Traceback|never retrieved|never awaited|Segmentation| CRITICAL ")
TIME = r"^(\S+) \w+ tepui"
STARTED = re.compile(rf"{TIME}\.master started pid=master@(\S+)", re.MULTILINE)
LEADING = re.compile(rf"{TIME}\.master leading id=\S+ .*?epoch=(\d+)", re.MULTILINE)
# The master of a link, then that it has taken the agent; a link that is lost before does not count.
REGISTERED = re.compile(
    rf"link_opened master=(\S+)\n(?:(?!.*link_(?:opened|lost)).*\n)*?{TIME}\.agent registered ",
    re.MULTILINE,
)


class Told(Struct):
    """One update: when it came, and when its acknowledgement was answered."""

    state: str
    text: str
    at_s: float
    acknowledged_s: float | None = None
    acknowledged_to: str = ""  # the master, and the stream


class Task(Struct):
    """What a framework knows of one of its tasks."""

    name: str
    accepted: bool = False  # the ACCEPT was answered with 202
    told: dict[str, Told] = field(default_factory=dict)  # updates by uuid, in their order
    nowhere: list[str] = field(default_factory=list)  # states without a uuid that end it
    pids: set[int] = field(default_factory=set)

    @property
    def ends(self) -> list[Told]:
        """The terminal updates."""
        return [one for one in self.told.values() if one.state in TERMINAL]

    @property
    def outcome(self) -> str:
        """What is counted."""
        if self.ends:
            return self.ends[0].state
        return f"{self.nowhere[-1].partition(' ')[0]}, said by a master" if self.nowhere else "none"


class Verdict(Struct):
    """The faults, and the figures of a run."""

    faults: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    updates: int = 0
    repeated: int = 0  # not acknowledged before, as they may
    crossed: int = 0  # were on their way when they were acknowledged
    repeated_by_next: int = 0  # acknowledged to another subscription
    leaders: int = 0
    subscriptions: int = 0


def judge(ledgers: Mapping[str, Path], notes: Path, logs: Sequence[Path]) -> Verdict:
    """Look at all that there is. Logs of masters and agents are known by their names."""
    verdict = Verdict()
    known: set[str] = set()
    for framework, directory in ledgers.items():
        tasks = _tasks(framework, directory, verdict)
        known |= tasks.keys()
        for task in tasks.values():
            verdict.outcomes[task.outcome] += 1
            note = notes / task.name
            lines = note.read_text().splitlines() if note.exists() else []
            verdict.faults += _faults_of(task, lines)
    strange = {path.name for path in notes.iterdir()} - known
    verdict.faults += [f"{name}: it ran, but nobody has submitted it" for name in sorted(strange)]
    _judge_logs(logs, verdict)
    return verdict


def _faults_of(task: Task, lines: list[str]) -> Iterator[str]:
    """What is wrong with one task; `lines` are those of its own file."""
    if task.outcome == "none":
        yield f"{task.name}: it has no outcome; {_said(task)}; its file has {lines}"
        return
    if len(task.ends) > 1:
        yield f"{task.name}: it has ended {len(task.ends)} times; {_said(task)}"
    finished = task.outcome == "TASK_FINISHED"
    pids = [int(line.partition(" ")[2]) for line in lines]
    words = [line.partition(" ")[0] for line in lines]
    if words.count("start") > 1:
        yield f"{task.name}: it was started {words.count('start')} times: {lines}"
    elif finished and words != ["start", "end"]:
        yield f"{task.name}: it has finished, and its file has {lines}"
    elif lines and not finished:
        yield f"{task.name}: it ran, and its outcome is {task.outcome}; {_said(task)}: {lines}"
    if len(set(pids)) > 1:
        yield f"{task.name}: its process has changed: {lines}"
    elif pids and task.pids and task.pids != set(pids):
        yield f"{task.name}: its process is {pids[0]}, and the updates name {sorted(task.pids)}"
    rank = 0
    for told in task.told.values():
        now = RANKS.get(told.state, ENDED)
        if now < rank or (rank == ENDED and told.state not in TERMINAL):
            yield f"{task.name}: {told.state} came late; {_said(task)}"
        rank = max(now, rank)


def _said(task: Task) -> str:
    updates = [f"{one.state} {one.text!r}" if one.text else one.state for one in task.told.values()]
    return f"accepted={task.accepted}, updates {updates}, said by masters {task.nowhere}"


def _tasks(framework: str, directory: Path, verdict: Verdict) -> dict[str, Task]:
    """The framework's tasks as its ledger has them."""
    tasks: dict[str, Task] = {}
    ids: set[str] = set()
    for entry in entries_of(directory):
        kind = entry["kind"]
        if kind == "submit":
            tasks[entry["task"]] = Task(entry["task"])
        elif kind == "accepted":
            for name in entry["tasks"]:
                tasks[name].accepted = True
        elif kind == "subscribed":
            verdict.subscriptions += 1
            ids.add(entry["framework"])
        elif kind == "fault":
            verdict.faults.append(f"{framework}: {entry['text']}")
        elif kind == "update":
            if entry["task"] not in tasks:
                verdict.faults.append(f"{framework}: an update of a strange task: {entry}")
            else:
                _update(tasks[entry["task"]], entry, verdict)
        elif kind == "ack":
            told = tasks[entry["task"]].told[entry["uuid"]]
            if told.acknowledged_s is None:
                told.acknowledged_s, told.acknowledged_to = entry["at_s"], entry["leader"]
    if len(ids) != 1:
        verdict.faults.append(f"{framework}: it had {len(ids)} ids: {sorted(ids)}")
    return tasks


def _update(task: Task, entry: Mapping[str, object], verdict: Verdict) -> None:
    state, uuid, at_s = str(entry["state"]), str(entry["uuid"]), float(str(entry["at_s"]))
    verdict.updates += 1
    if entry["pid"]:
        task.pids.add(int(str(entry["pid"])))
    if not uuid:
        if state in NOWHERE:
            task.nowhere.append(f"{state} {entry['text']!r}")
        return
    told = task.told.get(uuid)
    if told is None:
        task.told[uuid] = Told(state, str(entry["text"]), at_s)
    elif told.acknowledged_s is None:
        verdict.repeated += 1
    else:
        if told.acknowledged_to == entry["leader"]:
            verdict.crossed += 1
        else:
            verdict.repeated_by_next += 1
        since_s = at_s - told.acknowledged_s
        if wrong := _wrong_repetition(told.acknowledged_to, str(entry["leader"]), since_s):
            verdict.faults.append(
                f"{task.name}: {state} came again {since_s:.1f} s after its acknowledgement was"
                f" answered by {told.acknowledged_to}: {wrong} ({entry['leader']}, {at_s:.3f})"
            )


def _wrong_repetition(acknowledged_to: str, came_from: str, since_s: float) -> str | None:
    """Why an update may not come again now. A master and its stream are said."""
    if acknowledged_to == came_from:
        return "the same stream" if since_s > RACE_S else None
    return "too late" if since_s > REPEATED_S_MAX else None


def _judge_logs(logs: Sequence[Path], verdict: Verdict) -> None:
    terms: dict[str, list[tuple[str, int]]] = {}  # of each master's address: since when, and epoch
    for log in logs:
        text = log.read_text(errors="replace")
        verdict.faults += [f"{log}: {line}" for line in text.splitlines() if BAD_LINES.search(line)]
        for found in STARTED.finditer(text):
            terms[found[2]] = [(one[1], int(one[2])) for one in LEADING.finditer(text)]
    epochs = Counter(epoch for term in terms.values() for _, epoch in term)
    verdict.leaders = epochs.total()
    verdict.faults += [f"{n} masters led in epoch {one}" for one, n in epochs.items() if n > 1]
    for log in logs:
        verdict.faults += [f"{log}: {back}" for back in _backwards(log.read_text(), terms)]


def _backwards(log: str, terms: Mapping[str, list[tuple[str, int]]]) -> Iterator[str]:
    """Where an agent has registered with a master that was no leader, or in an earlier epoch."""
    last_epoch = 0
    for master, at in REGISTERED.findall(log):
        epoch = max((epoch for since, epoch in terms.get(master, ()) if since <= at), default=0)
        if epoch < last_epoch:
            yield f"{at}: registered with {master} in epoch {epoch} after epoch {last_epoch}"
        last_epoch = max(epoch, last_epoch)
