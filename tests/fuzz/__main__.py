"""`python -m tests.fuzz`: fuzz a target, repeat an input, or keep what a run has found.

Without atheris (the extra `fuzz`) inputs are changed at random, which finds much less.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from threading import Thread
from typing import Final

from tests.fuzz.codecs import Watch
from tests.fuzz.fuzzing import (
    CORPUS,
    FINDING,
    FINDINGS,
    GROWING,
    HERE,
    NAME_CHARACTERS,
    Findings,
    kept,
    memory,
    name_of,
    repeat_line,
)
from tests.fuzz.mutate import WORDS, mutant
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

SECONDS_PER_LINE: Final = 10.0
INPUT_TIMEOUT_S: Final = 30  # for one input; more is a finding
MEMORY_MIB_MAX: Final = 4096
KEPT_MAX: Final = 700  # inputs of one target: they are replayed in every run of the tests
KEPT_BYTES_MAX: Final = 320 * 1024
_PROGRESS: Final = re.compile(r"#(\d+)\s.*cov: (\d+) ft: \d+ corp: (\d+)/\S+.*exec/s: (\d+)")


def main(arguments: list[str] | None = None) -> int:
    """0: nothing was found; 1: something was; 2: it could not run."""
    options = _options(arguments)
    if options.inputs:
        return _repeat(options.target, options.inputs)
    if options.keep:
        return _keep(options.target)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no process is left behind
    seed = options.seed if options.seed is not None else Random().randrange(2**31)
    print(f"{options.target}: {TARGETS[options.target].about}; seed {seed}", flush=True)
    growing = _begin(options.target)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed (pip install -e '.[fuzz]'): changes are blind", flush=True)
        return _fuzz_blindly(options.target, options.minutes * 60, seed)
    return Fuzzing(options.target, growing).run(options.minutes * 60, seed, options.jobs)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("inputs", nargs="*", type=Path, help="run these files once, and no more")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share what they find")
    parser.add_argument("--keep", action="store_true", help="add what is new to tests/fuzz/corpus")
    return parser.parse_args(arguments)


def _repeat(target: str, paths: list[Path]) -> int:
    """Run the inputs; the first fault is shown whole."""
    for path in paths:
        print(path, flush=True)
        TARGETS[target].run(path.read_bytes())
    print(f"{len(paths)} inputs without a fault")
    return 0


def _begin(target: str) -> Path:
    """The directory that grows, with inputs to begin with."""
    growing = GROWING / target
    growing.mkdir(parents=True, exist_ok=True)
    if not kept(target) and not any(growing.iterdir()):
        for data in seeds(target):
            (growing / name_of(data)).write_bytes(data)
    return growing


def _fuzz_blindly(target: str, seconds: float, seed: int) -> int:
    random = Random(seed)
    corpus = [path.read_bytes() for path in kept(target)] or seeds(target)
    Watch.is_on = True
    findings = Findings(target)
    ends = time.monotonic() + seconds
    said = started = time.monotonic()
    count = 0
    while (now := time.monotonic()) < ends:
        findings.try_one(TARGETS[target].run, mutant(corpus, WORDS.get(target, ()), random))
        count += 1
        if now - said > SECONDS_PER_LINE:
            said = now
            rate = count / (now - started)
            print(f"{target}: {count} executions, {rate:.0f}/s, corpus {len(corpus)}", flush=True)
    print(f"{target}: {count} executions, {len(findings)} findings")
    return 1 if len(findings) else 0


class Fuzzing:
    """Processes of atheris over one target, and what they say."""

    def __init__(self, target: str, growing: Path) -> None:
        self._target = target
        self._growing = growing
        self._executions: dict[int, tuple[int, int, int]] = {}  # by job: done, covered, per second
        self._findings = 0

    def run(self, seconds: float, seed: int, jobs: int) -> int:
        """Fuzz for so long."""
        before = set(FINDINGS.glob("*"))
        with tempfile.TemporaryDirectory(dir=memory()) as scratch:
            running = [
                self._start(number, seconds, seed + number, Path(scratch)) for number in range(jobs)
            ]
            readers = [
                Thread(target=self._read, args=(number, one)) for number, one in enumerate(running)
            ]
            try:
                for reader in readers:
                    reader.start()
                while any(one.poll() is None for one in running):
                    readers[0].join(SECONDS_PER_LINE)
                    self._say()
            finally:  # also when somebody interrupts us
                for one in running:
                    one.terminate()
                for reader in readers:
                    reader.join()
        for path in sorted(set(FINDINGS.glob("*")) - before):
            if path.name.startswith(("crash-", "timeout-", "oom-", "leak-")):  # the process died
                self._findings += 1
                print(f"{FINDING} {path.name.partition('-')[0]}")
                print(f"  repeat: {repeat_line(self._target, path)}")
        self._say()
        broken = [one.returncode for one in running if one.returncode and not self._findings]
        if broken:
            print(f"the engine ended with {broken}", file=sys.stderr)
            return 2
        return 1 if self._findings else 0

    def _start(
        self, number: int, seconds: float, seed: int, scratch: Path
    ) -> subprocess.Popen[str]:
        words = scratch / f"words-{number}"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS.get(self._target, ())))
        FINDINGS.mkdir(exist_ok=True)
        flags = [
            f"-max_total_time={max(1, int(seconds))}",
            f"-seed={seed % 2**31 or 1}",  # 0 would mean any
            f"-max_len={TARGETS[self._target].bytes_max}",
            f"-timeout={INPUT_TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            f"-artifact_prefix={FINDINGS}/",
        ]
        if words.stat().st_size:
            flags.append(f"-dict={words}")
        flags.append(str(self._growing))
        if kept(self._target):
            flags.append(str(CORPUS / self._target))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.engine", self._target, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=HERE.parents[1],
            env=_environment(scratch),
        )

    def _read(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        tail: list[str] = []
        for line in process.stdout:
            tail = [*tail[-30:], line]
            if found := _PROGRESS.search(line):
                done, covered, _, rate = (int(part) for part in found.groups())
                self._executions[number] = (done, covered, rate)
            if line.startswith((FINDING, "  repeat:")):
                self._findings += line.startswith(FINDING)
                print(line, end="", flush=True)
        if process.wait():
            print("".join(tail), file=sys.stderr)

    def _say(self) -> None:
        if not self._executions:
            return
        jobs = self._executions.values()
        corpus = _sizes(self._growing)
        print(
            f"{self._target}: {sum(one[0] for one in jobs)} executions,"
            f" {sum(one[2] for one in jobs)}/s, coverage {max(one[1] for one in jobs)},"
            f" new inputs {len(corpus)} ({sum(corpus) // 1024} kB), {self._findings} findings",
            flush=True,
        )


def _keep(target: str) -> int:
    """Replace the kept inputs by the fewest and smallest that cover the same and what is new."""
    with tempfile.TemporaryDirectory(dir=memory()) as scratch:
        merged = Path(scratch) / "merged"
        merged.mkdir()
        flags = ["-merge=1", str(merged), str(CORPUS / target), str(GROWING / target)]
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        (GROWING / target).mkdir(parents=True, exist_ok=True)
        limit = f"-max_len={TARGETS[target].bytes_max}"
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.engine", target, limit, *flags],
            cwd=HERE.parents[1],
            env=_environment(scratch),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode or not any(merged.iterdir()):
            print(done.stderr[-2000:], file=sys.stderr)
            return 2
        found = sorted((path.read_bytes() for path in merged.iterdir()), key=len)
    inputs = _within_limits(found)
    for path in kept(target):
        if len(path.name) <= NAME_CHARACTERS:  # longer names are those of mended faults
            path.unlink()
    for data in inputs:
        (CORPUS / target / name_of(data)).write_bytes(data)
    print(
        f"{target}: {len(inputs)} inputs of {sum(map(len, inputs))} bytes are kept,"
        f" {len(found) - len(inputs)} large ones are not"
    )
    return 0


def _within_limits(inputs: list[bytes]) -> list[bytes]:
    """As many as the tests have time and the project has room for; the smallest come first."""
    size = 0
    for count, data in enumerate(inputs):
        size += len(data)
        if count == KEPT_MAX or size > KEPT_BYTES_MAX:
            return inputs[:count]
    return inputs


def _environment(scratch: Path | str) -> dict[str, str]:
    """Of an engine: it ends without tidying up, so its files lie where we do."""
    path = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(scratch)}


def _sizes(directory: Path) -> list[int]:
    """Of its files; libFuzzer replaces some of them meanwhile by smaller ones."""
    found = []
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(path.stat().st_size)
    return found


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
