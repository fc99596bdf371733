"""A CNI plugin that does what its configuration says, and writes down how it was called.

Run as a program; `networks/host.py` gives it its names. Keys of the configuration: `log`, a file that gets a line
of JSON for each call; by command (`ADD`, `DEL`) what to do: `answer`, an object to print; `fail`, an error to print;
`say`, a text for stderr; `exit`, a status; `hang`, to be killed; `wait`, a FIFO to read before it ends.
"""

import json
import os
import signal
import sys


def main() -> int:
    config = json.load(sys.stdin)
    command = os.environ["CNI_COMMAND"]
    call = {name: value for name, value in os.environ.items() if name.startswith("CNI_")}
    doing = config.get(command, {})
    note(config, {"pid": os.getpid(), "call": call, "config": config})
    if "hang" in doing:
        signal.pause()
    if "wait" in doing:
        with open(doing["wait"], "rb") as fifo:
            fifo.read()
    if "endless" in doing:
        while True:
            os.write(1, b"x" * 65536)
    if "fail" in doing:
        print(json.dumps(doing["fail"]))
    elif "text" in doing:
        print(doing["text"])
    elif command == "ADD":
        print(json.dumps(doing.get("answer", config.get("prevResult", {}))))
    print(doing.get("say", ""), file=sys.stderr)
    note(config, {"ended": command})
    return int(doing.get("exit", 1 if "fail" in doing else 0))


def note(config: dict[str, object], line: object) -> None:
    with open(str(config["log"]), "a") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
