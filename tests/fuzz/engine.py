"""One fuzzing process under atheris, started by `python -m tests.fuzz`.

Atheris counts the branches that an input takes in `tepui`, keeps the inputs that take new ones,
and changes those further. Whatever follows the target's name goes to libFuzzer.
"""

from __future__ import annotations

import importlib
import shlex
import sys


def main() -> None:
    """Fuzz until libFuzzer has had its time."""
    atheris = importlib.import_module("atheris")  # the extra `fuzz`; it has no types
    name, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=["tepui"]):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.codecs import Watch
    from tests.fuzz.fuzzing import Findings

    Watch.is_on = True
    findings = Findings(name)
    run = TARGETS[name].run
    # To merge, libFuzzer starts itself again, by a shell.
    itself = f"{shlex.quote(sys.executable)} -m tests.fuzz.engine {name}"
    atheris.Setup([itself, *flags], lambda data: findings.try_one(run, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
