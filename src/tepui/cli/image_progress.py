"""What is going on with images: a line each on a terminal, and silence elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import TaskID


class ShowsProgress(Protocol):
    """Is told what each of several is doing, until the context is left."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def tell(self, who: str, what: str) -> None:
        """`who` is at `what` now."""
        ...

    def done(self, who: str, what: str) -> None:
        """`who` has come to an end."""
        ...


class NoProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def tell(self, who: str, what: str) -> None:
        pass

    def done(self, who: str, what: str) -> None:
        pass


class LineProgress(NoProgress):
    """A line each; all are taken away at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[what]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._lines: dict[str, TaskID] = {}

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

    def tell(self, who: str, what: str) -> None:
        if who in self._lines:
            self._progress.update(self._lines[who], what=what)
        else:
            self._lines[who] = self._progress.add_task(who, total=1, what=what)

    def done(self, who: str, what: str) -> None:
        self.tell(who, what)
        self._progress.update(self._lines[who], completed=1)


def progress_for(*, quiet: bool) -> ShowsProgress:
    """Lines for a person who looks on, else nothing."""
    return NoProgress() if quiet or not sys.stderr.isatty() else LineProgress()
