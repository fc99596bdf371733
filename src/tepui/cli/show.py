"""What `tepui run` shows: the tasks' output, how far the job is, and why it waits.

Output goes to stdout and stderr as the tasks wrote it. What this command itself says goes to
stderr; the progress bar only when stderr is a terminal.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType
from typing import Protocol, Self

from tepui.cli.job import Job, Piece
from tepui.wire.mesos import TaskState

OUTCOMES = ("finished", "failed", "killed", "still being killed", "not started")
BAR_TASKS_MIN = 2  # from so many tasks on there is a bar


class Show(Protocol):
    """Shows one job; used inside a `with` block."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def output(self, name: str, piece: bytes) -> None:
        """Bytes that a task wrote to `name`: stdout or stderr."""

    def say(self, text: str) -> None:
        """A line of our own."""

    def progressed(self, job: Job) -> None:
        """The job's counts have changed."""


def show_for(job: Job, *, quiet: bool) -> Show:
    """A bar for many tasks on a terminal, plain lines else."""
    if len(job.pieces) >= BAR_TASKS_MIN and sys.stderr.isatty() and not quiet:
        return BarShow(job)
    return PlainShow()


class PlainShow:
    """No bar."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sys.stdout.buffer.flush()

    def output(self, name: str, piece: bytes) -> None:
        stream = sys.stderr.buffer if name == "stderr" else sys.stdout.buffer
        stream.write(piece)
        stream.flush()

    def say(self, text: str) -> None:
        print(f"tepui run: {text}", file=sys.stderr, flush=True)

    def progressed(self, job: Job) -> None:
        pass


class BarShow(PlainShow):
    """A bar below what else is written; it is taken away while something is."""

    def __init__(self, job: Job) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        self._progress = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            Elapsed(),
            console=Console(stderr=True, highlight=False),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar = self._progress.add_task(_counts(job), total=len(job.pieces))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()
        super().__exit__(kind, error, traceback)

    def output(self, name: str, piece: bytes) -> None:
        stream = sys.stderr if name == "stderr" else sys.stdout
        if stream.isatty():
            # Both share the terminal: the console moves the bar below the text.
            text = piece.decode(errors="replace").removesuffix("\n")
            self._progress.console.print(text, markup=False, emoji=False, soft_wrap=True)
        else:
            super().output(name, piece)

    def say(self, text: str) -> None:
        self._progress.console.print(f"tepui run: {text}", markup=False, emoji=False)

    def progressed(self, job: Job) -> None:
        self._progress.update(self._bar, completed=job.ended, description=_counts(job))


def _counts(job: Job) -> str:
    parts = [f"{job.running} running"]
    if job.waiting:
        parts.append(f"{job.waiting} waiting")
    if job.failed:
        parts.append(f"[red]{job.failed} failed[/red]")
    return ", ".join(parts)


def end_line(piece: Piece) -> str:
    """What to say of a task that has not ended well."""
    return f"{piece.task_id}: {piece.why or f'exit code {piece.exit_code}'}"


def summary(job: Job, seconds: float) -> str:
    """How the job went, in one line."""
    counts = Counter(_outcome(piece) for piece in job.pieces)
    shown = ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name])
    return f"{len(job.pieces)} tasks in {seconds:.1f} s: {shown}"


def _outcome(piece: Piece) -> str:
    if piece.state is None:
        return "not started"
    if piece.exit_code is None:
        return "still being killed"
    if piece.state is TaskState.TASK_KILLED:
        return "killed"
    return "failed" if piece.exit_code else "finished"
