"""Every kept input is replayed, and some that resemble them; so that no mended fault comes back.

`python -m tests.fuzz` looks for more: see README.md beside this.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.fuzzing import CORPUS, NAME_CHARACTERS, Findings, kept, name_of, repeat_line
from tests.fuzz.mutate import WORDS, mutant
from tests.fuzz.targets import TARGETS

SEED = 20
CORPUS_BYTES_MAX = 2 * 1024 * 1024


@pytest.mark.parametrize("target", TARGETS)
def test_no_kept_input_is_a_fault(target: str) -> None:
    paths = kept(target)
    assert paths, "a target without inputs to begin with"
    for path in paths:
        print(f"repeat: {repeat_line(target, path)}")  # the last one is shown when a test fails
        TARGETS[target].run(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_like_those_is_a_fault(target: str, tmp_path: Path) -> None:
    random = Random(SEED)
    corpus = [path.read_bytes() for path in kept(target)]
    findings = Findings(target, tmp_path)
    for _ in range(TARGETS[target].mutants):
        findings.try_one(TARGETS[target].run, mutant(corpus, WORDS.get(target, ()), random))
    assert len(findings) == 0  # each was printed


def test_the_corpus_is_small_and_named_after_what_is_in_it() -> None:
    found = [(path, path.read_bytes()) for target in TARGETS for path in kept(target)]
    assert sum(len(data) for _, data in found) < CORPUS_BYTES_MAX
    for path, data in found:
        is_named = path.name.isidentifier() and len(path.name) > NAME_CHARACTERS  # a mended fault
        assert is_named or path.name == name_of(data), path
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_of_each_fault_the_first_input_is_kept_with_the_line_that_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(data: bytes) -> None:
        if data.startswith(b"x"):
            raise ValueError("no x")

    findings = Findings("json", tmp_path)
    for data in (b"a", b"x1", b"b", b"x2"):
        findings.try_one(faulty, data)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == b"x1"
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("FINDING ValueError at test_corpus.py:")
    assert said[1] == f"  repeat: python -m tests.fuzz json {path}"
    assert len(findings) == 1
