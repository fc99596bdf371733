"""A volume plug-in of Docker's as a process: `python plugin.py SOCKET DIRECTORY`.

Volumes are directories below DIRECTORY, as their state is (`state.json`), so that another process
may go on with it. What was asked is in `asked`, a line a call. Names that begin with these behave badly:
`nomount`, `busy` (is never unmounted), `hang` (a mount is not answered), `noise` (no JSON), `gone` (is
forgotten when it is to be unmounted).
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

ROOT = Path(sys.argv[2])
STATE = ROOT / "state.json"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body.get("Name", "")
        method = self.path.rpartition(".")[2]
        with (ROOT / "asked").open("a") as asked:
            words = [method, name, body.get("ID", ""), json.dumps(body.get("Opts") or "")]
            asked.write(" ".join(word for word in words if word not in ("", '""')) + "\n")
        if method == "Mount" and name.startswith("hang"):
            threading.Event().wait()
        text = json.dumps(answer(method, name, body))
        if method == "Create" and name.startswith("noise"):
            text = "<html>"
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "agent"

    def log_message(self, *_: object) -> None:
        pass


def answer(method: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    if method == "Activate":
        return {"Implements": ["NetworkDriver" if "wrong" in sys.argv[1] else "VolumeDriver"]}
    state = json.loads(STATE.read_text()) if STATE.exists() else {}  # volume to the ids of mounts
    try:
        return changed(state, method, name, body.get("ID", ""))
    finally:
        STATE.write_text(json.dumps(state))


def changed(state: dict[str, list[str]], method: str, name: str, mount: str) -> dict[str, Any]:
    if method == "Create":
        (ROOT / name).mkdir(exist_ok=True)
        state.setdefault(name, [])
    elif name not in state:
        return {"Err": f"no such volume: {name}"}
    elif method == "Mount":
        if name.startswith("nomount"):
            return {"Err": "the disk is broken"}
        state[name].append(mount)
    elif method == "Unmount":
        if name.startswith("gone"):
            del state[name]
        if name.startswith("busy") or mount not in state.get(name, []):
            return {"Err": f"not mounted, or busy: {name}"}
        state[name].remove(mount)
    return {"Mountpoint": str(ROOT / name), "Err": ""}


if __name__ == "__main__":
    with Server(sys.argv[1], Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
