"""An executor of few lines: it runs nothing, and reports what it is told to.

Run as a program by the agent. A task's `data` says what to do: `finish` at once, `wait` to be
killed, `exit` with status 7.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
import uuid
from typing import Any

PATH = "/slave(1)/api/v1/executor"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
WHO = {
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
}


def call(message: dict[str, Any]) -> None:
    connection = http.client.HTTPConnection(os.environ["MESOS_AGENT_ENDPOINT"])
    connection.request("POST", PATH, json.dumps(WHO | message), JSON)
    answer = connection.getresponse()
    assert answer.status == 202, (answer.status, answer.read())
    connection.close()


def update(task_id: dict[str, str], state: str) -> None:
    status = {
        "task_id": task_id,
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
    }
    call({"type": "UPDATE", "update": {"status": status}})


def main() -> None:
    stream = http.client.HTTPConnection(os.environ["MESOS_AGENT_ENDPOINT"])
    stream.request("POST", PATH, json.dumps(WHO | {"type": "SUBSCRIBE", "subscribe": {}}), JSON)
    answer = stream.getresponse()
    assert answer.status == 200, (answer.status, answer.read())
    while length := answer.readline():
        event = json.loads(answer.read(int(length)))
        print(event["type"], flush=True)
        if event["type"] == "LAUNCH":
            task = event["launch"]["task"]
            what = base64.b64decode(task.get("data", "")).decode()
            update(task["task_id"], "TASK_RUNNING")
            if what == "finish":
                update(task["task_id"], "TASK_FINISHED")
            elif what == "exit":
                sys.exit(7)
        elif event["type"] == "KILL":
            update(event["kill"]["task_id"], "TASK_KILLED")
        elif event["type"] == "MESSAGE":
            call({"type": "MESSAGE", "message": {"data": event["message"]["data"]}})
        elif event["type"] == "SHUTDOWN":
            sys.exit(0)


if __name__ == "__main__":
    main()
