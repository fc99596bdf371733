"""How long this machine takes to make 4 KiB durable: what each commit of a journal costs.

bench/run disk
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.table import Row, measured, percentile, show

TITLE = "disk: a fact of the machine"
BYTES = 4096
COUNT = 200


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run disk", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    parser.add_argument("--directory", type=Path, help="on the disk; else where benchmarks write")
    options = parser.parse_args()
    show([measured("disk", TITLE, options.runs, lambda: rows(options.directory))])


def rows(directory: Path | None = None) -> list[Row]:
    """The figures of one file that grows."""
    times_s = []
    with tempfile.TemporaryFile(prefix="tepui-bench-", dir=directory, buffering=0) as file:
        for _ in range(COUNT):
            started_s = perf_counter()
            file.write(b"\0" * BYTES)
            os.fdatasync(file.fileno())
            times_s.append(perf_counter() - started_s)
    return [
        Row("write and fdatasync of 4 KiB, p50", median(times_s) * 1e3, "ms"),
        Row("write and fdatasync of 4 KiB, p99", percentile(times_s, 99) * 1e3, "ms"),
    ]


if __name__ == "__main__":
    main()
