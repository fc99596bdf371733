"""The `tepui` command under a profiler, which writes its report when the command ends.

    python -m bench.profiled calls|samples REPORT master --port=5050

`calls` counts every call (cProfile): exact numbers of calls, times too long for small functions.
`samples` looks at the stack a few hundred times a second of processor time: true shares.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from tepui.cli.main import run

LINES = 40
SAMPLE_S = 0.002
CORE = ("site-packages/", "src/", "lib/python3.11/")


class Sampler:
    """Counts which functions are on the stack, and which is on top."""

    def __init__(self) -> None:
        self.samples = 0
        self.own: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.cumulative: Counter[str] = Counter()

    def start(self) -> None:
        """Look from now on."""
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_S, SAMPLE_S)

    def stop(self) -> None:
        """Look no more."""
        signal.setitimer(signal.ITIMER_PROF, 0, 0)

    def report(self) -> str:
        """The functions and lines that were seen most."""
        text = f"{self.samples} samples\n"
        for title, counts in (
            ("cumulative", self.cumulative),
            ("own", self.own),
            ("own, by line", self.lines),
        ):
            text += f"\n{title}\n"
            for name, count in counts.most_common(LINES):
                text += f"  {count / max(1, self.samples):6.1%}  {name}\n"
        return text

    def _look(self, number: int, frame: FrameType | None) -> None:
        self.samples += 1
        if frame is not None:
            self.own[_name(frame)] += 1
            self.lines[f"{_name(frame)}:{frame.f_lineno}"] += 1
        seen = set()
        while frame is not None:
            seen.add(_name(frame))
            frame = frame.f_back
        self.cumulative.update(seen)


def main() -> None:
    """Run the command; it ends as `tepui` would."""
    how, report, *arguments = sys.argv[1:]
    if how == "samples":
        sampler = Sampler()
        sampler.start()
        code = run(arguments)
        sampler.stop()
        Path(report).write_text(sampler.report())
    else:
        profile = cProfile.Profile()
        code = profile.runcall(run, arguments)
        Path(report).write_text(_report(profile))
    sys.exit(code)


def _report(profile: cProfile.Profile) -> str:
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text)
    stats.sort_stats("cumulative").print_stats(LINES)
    stats.sort_stats("tottime").print_stats(LINES)
    return _shortened(text.getvalue())


def _name(frame: FrameType) -> str:
    return f"{_shortened(frame.f_code.co_filename)}:{frame.f_code.co_qualname}"


def _shortened(text: str) -> str:
    """Without the directories that say nothing."""
    for directory in sorted({path for path in sys.path if path}, key=len, reverse=True):
        text = text.replace(f"{directory}/", "")
    return text


if __name__ == "__main__":
    main()
