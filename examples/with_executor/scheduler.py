"""A scheduler with an executor of its own: sends each task a word, and gets it back reversed.

Runs on clusters whose agents find this folder and this Python at the same paths: one machine will do.
"""

import argparse
import asyncio
import shlex
import sys
from pathlib import Path

from tepui.sdk import Room, Scheduler, executor_info, executor_task, framework_info, is_terminal
from tepui.wire import mesos

EXECUTOR = shlex.join([sys.executable, str(Path(__file__).resolve().with_name("executor.py"))])


class Words(Scheduler):
    """One task per word."""

    def __init__(self, master: str, words: list[str]) -> None:
        super().__init__(master, framework_info("with-executor"))
        self.words = {f"word-{number}": word for number, word in enumerate(words)}
        self.waiting = list(self.words)
        self.running: set[str] = set()

    async def on_offers(self, offers: tuple[mesos.Offer, ...]) -> None:
        for offer in offers:
            room = Room(offer)
            # One executor per agent runs all tasks there.
            reverser = executor_info(f"reverser-{offer.agent_id.value}", f"exec {EXECUTOR}")
            tasks = [executor_task(name, offer.agent_id, reverser) for name in self.waiting]
            placed = [task for task in tasks if room.place(task)]
            self.running |= {task.task_id.value for task in placed}
            self.waiting = [name for name in self.waiting if name not in self.running]
            await self.accept(offer, placed)

    async def on_update(self, status: mesos.TaskStatus) -> None:
        name = status.task_id.value
        print(name, status.state, status.message or "", flush=True)
        if status.state is mesos.TaskState.TASK_RUNNING and status.agent_id and status.executor_id:
            text = f"{name} {self.words[name]}".encode()
            await self.message(status.agent_id.value, status.executor_id.value, text)
        if is_terminal(status.state):
            self.running.discard(name)
        if not self.waiting and not self.running:
            self.stop()

    async def on_message(self, agent_id: str, executor_id: str, data: bytes) -> None:
        print(f"{executor_id} says: {data.decode()}", flush=True)


def main() -> None:
    """Run until every word came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--master", default="127.0.0.1:5050", help="host:port")
    parser.add_argument("words", nargs="*", default=["tepui", "mesa"])
    args = parser.parse_args()
    asyncio.run(Words(args.master, args.words).run())


if __name__ == "__main__":
    main()
