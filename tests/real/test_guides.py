"""The commands of the guides do what the guides say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.cluster import Cluster

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
GUIDES = (
    "README.md",
    "docs/getting-started.md",
    "docs/write-a-framework.md",
    "docs/simulate.md",
)
COMMAND = re.compile(r"^    (?:\$ )?((?:tepui|python|\./)\S* .+|\./\w+)$")
DEADLINE_S = 60

# Shown by other tests, or not to be run as they stand.
ELSEWHERE = (
    "./demo",  # tests of the command line start clusters; the demo is one of them by hand
    "./check",  # this is it
    "python3 -m venv",
    "tepui up",  # tests/cli/test_up.py
    "tepui master",  # every cluster of the tests
    "tepui agent",
    "tepui run --cpus 1000",  # waits for ever; tests/cli/test_run.py
    "tepui run --cpus 1 --mem 256",  # its URI is an example
    "tepui run --instances 500",  # as the one of 100, for longer
    "tepui task show ID",  # tests/cli/test_tasks.py, as all with an ID
    "tepui task logs -f ID",
    "tepui task kill ID",
    "tepui framework teardown ID",
    "tepui explain ID",
)


def commands() -> list[str]:
    """The command lines of all guides, without their comments."""
    found: dict[str, None] = {}
    for guide in GUIDES:
        for line in (ROOT / guide).read_text().splitlines():
            match = COMMAND.match(line)
            if match:
                if match[1].startswith("tepui run:"):
                    continue  # what it prints
                found[re.sub(r"\s+#.*$", "", match[1])] = None
    return list(found)


def test_every_command_of_the_guides_works(tmp_path: Path) -> None:
    here = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}
    ran = 0
    with Cluster(tmp_path, agents=1, resources="cpus:8;mem:4096;disk:4096") as cluster:
        environment["TEPUI_MASTER"] = cluster.master_address
        for command in commands():
            if command.startswith(ELSEWHERE):
                continue
            line = command.replace("127.0.0.1:5050", cluster.master_address)
            done = subprocess.run(
                ["sh", "-c", line],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            ran += 1
    assert ran >= 8


def test_the_list_of_what_is_shown_elsewhere_is_true() -> None:
    unused = [one for one in ELSEWHERE if not any(c.startswith(one) for c in commands())]
    assert unused == []
