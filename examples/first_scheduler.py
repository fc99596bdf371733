"""A first scheduler: runs some `echo` commands on the cluster, then ends."""

import argparse
import asyncio

from tepui.sdk import Room, Scheduler, command_task, framework_info, is_terminal
from tepui.wire import mesos


class Echo(Scheduler):
    waiting = 0
    running = 0

    async def on_offers(self, offers: tuple[mesos.Offer, ...]) -> None:
        for offer in offers:
            room, tasks = Room(offer), []
            while self.waiting and (taken := room.take(cpus=0.1, mem_mib=32)):
                name = f"echo-{self.waiting}"
                tasks.append(command_task(name, offer.agent_id, f"echo I am {name}", using=taken))
                self.waiting -= 1
            self.running += len(tasks)
            await self.accept(offer, tasks)

    async def on_update(self, status: mesos.TaskStatus) -> None:
        print(status.task_id.value, status.state, status.message or "", flush=True)
        self.running -= is_terminal(status.state)
        if not self.waiting and not self.running:
            self.stop()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--master", default="127.0.0.1:5050", help="host:port")
parser.add_argument("--tasks", type=int, default=3, help="how many commands to run")
args = parser.parse_args()
echo = Echo(args.master, framework_info("first-scheduler"))
echo.waiting = args.tasks
asyncio.run(echo.run())
