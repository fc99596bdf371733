"""Images on many machines at once: what is asked of each, and rows of what they answer."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Generic, TypeVar

import click
from msgspec import Struct

from tepui.cli.connect import find_by_id
from tepui.cli.image_progress import ShowsProgress
from tepui.cli.listing import Agent, Cluster, address_of
from tepui.sdk import CallRefused, SdkError
from tepui.sdk.images import Image, ImageClient

NODES_MAX = 64  # asked at once; the others wait
NAMES_SHOWN_MAX = 3  # of the machines that have an image, where not all have it
DIGEST_SHOWN = len("sha256:") + 12  # on a terminal, as Docker shows them
MIB = 1 << 20

T = TypeVar("T")


class Node(Struct, frozen=True):
    """One machine."""

    label: str  # its hostname; where several have it, its address
    address: str


class Done(Struct, Generic[T], frozen=True):
    """What one machine has answered; `error` is empty unless it could not."""

    node: Node
    got: T | None
    error: str = ""


class PullRow(Struct, frozen=True, kw_only=True):
    """How a pull went on one machine."""

    node: str
    address: str
    state: str
    name: str
    digest: str
    size_bytes: int
    seconds: float
    error: str


class ImageRow(Struct, frozen=True, kw_only=True):
    """One image, and who has it."""

    name: str
    digest: str
    size_bytes: int
    containers: int  # that live on it, on all machines
    nodes: tuple[str, ...]


def nodes_of(cluster: Cluster, given: Sequence[str]) -> list[Node]:
    """The machines that are meant; all if none is named. Raises ClickException for an unknown one."""
    hosts = Counter(agent.agent_info.hostname for agent in cluster.agents)
    found: dict[str, Node] = {}
    for agent in _chosen(cluster, given):
        hostname, address = agent.agent_info.hostname, address_of(agent)
        found[address] = Node(hostname if hosts[hostname] == 1 else address, address)
    return sorted(found.values(), key=lambda node: node.label)


def _chosen(cluster: Cluster, given: Sequence[str]) -> Iterable[Agent]:
    if not given:
        yield from cluster.agents
    ids = [(agent.agent_info.id.value, agent) for agent in cluster.agents if agent.agent_info.id]
    for name in given:
        named = [
            agent
            for agent in cluster.agents
            if name in (agent.agent_info.hostname, address_of(agent))
        ]
        yield from named or [find_by_id("node", name, ids)]


def pull_all(
    nodes: Sequence[Node],
    name: str,
    docker_config: str | None,
    progress: ShowsProgress,
    *,
    cached: bool,
) -> list[PullRow]:
    """All machines have the image, or their rows say why not."""
    seconds: dict[str, float] = {}

    async def pull(node: Node, agent: ImageClient) -> Image:
        begun_s = time.monotonic()
        prefix = f"pulling {name}: "
        progress.tell(node.label, "waiting")
        try:
            async for step in agent.pull(name, docker_config=docker_config, cached=cached):
                if isinstance(step, Image):
                    progress.done(node.label, "pulled")
                    return step
                progress.tell(node.label, step.removeprefix(prefix))
            raise AssertionError("a pull ends with an image or an error")
        except SdkError:
            progress.done(node.label, "failed")
            raise
        finally:
            seconds[node.address] = time.monotonic() - begun_s

    return [_pull_row(one, name, seconds.get(one.node.address, 0)) for one in _on_all(nodes, pull)]


def _pull_row(done: Done[Image], name: str, seconds: float) -> PullRow:
    image = done.got
    return PullRow(
        node=done.node.label,
        address=done.node.address,
        state="failed" if image is None else "pulled",
        name=name if image is None else image.name,
        digest="" if image is None else image.digest,
        size_bytes=0 if image is None else image.size_bytes,
        seconds=round(seconds, 3),
        error=done.error,
    )


def list_all(nodes: Sequence[Node]) -> list[Done[tuple[Image, ...]]]:
    """The images of each machine."""

    async def get(node: Node, agent: ImageClient) -> tuple[Image, ...]:
        return await agent.images()

    return _on_all(nodes, get)


def image_rows(found: Iterable[Done[tuple[Image, ...]]]) -> list[ImageRow]:
    """A row for each image, by name; one for each meaning where machines have a name from different times."""
    by_key: dict[tuple[str, str], list[tuple[str, Image]]] = {}
    for one in found:
        for image in one.got or ():
            by_key.setdefault((image.name, image.digest), []).append((one.node.label, image))
    return [
        ImageRow(
            name=name,
            digest=digest,
            size_bytes=having[0][1].size_bytes,
            containers=sum(len(image.containers) for _, image in having),
            nodes=tuple(label for label, _ in having),
        )
        for (name, digest), having in sorted(by_key.items())
    ]


def remove_all(nodes: Sequence[Node], name: str) -> list[Done[bool]]:
    """No machine has the image, but for those that say why; `got` is whether one had it."""

    async def remove(node: Node, agent: ImageClient) -> bool:
        try:
            await agent.remove(name)
        except CallRefused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    return _on_all(nodes, remove)


def prune_all(nodes: Sequence[Node], kept: Collection[str]) -> list[Done[tuple[Image, ...]]]:
    """The machines have only images that are used or kept; what each had besides is in the answer."""

    async def prune(node: Node, agent: ImageClient) -> tuple[Image, ...]:
        before = await agent.images()
        await agent.prune(kept)
        left = {image.name for image in await agent.images()}
        return tuple(image for image in before if image.name not in left)

    return _on_all(nodes, prune)


def complain(done: Iterable[Done[T]]) -> int:
    """The exit code, 1 if a machine could not; stderr says which and why."""
    code = 0
    for one in done:
        if one.error:
            click.echo(f"tepui image: {one.node.label}: {one.error}", err=True)
            code = 1
    return code


def shown_size(size_bytes: int) -> str:
    """The size for a table: `7.4M`."""
    if size_bytes >= 1024 * MIB:
        return f"{size_bytes / (1024 * MIB):.1f}G"
    return f"{size_bytes / MIB:.1f}M" if size_bytes >= MIB else f"{size_bytes / 1024:.1f}K"


def shown_digest(digest: str) -> str:
    """The digest for a table: on a terminal its beginning."""
    return digest[:DIGEST_SHOWN] if sys.stdout.isatty() else digest


def shown_nodes(having: Sequence[str], asked: int) -> str:
    """How many machines have it, and which if not all do."""
    if len(having) == asked:
        return f"{asked} of {asked}"
    more = ", ..." if len(having) > NAMES_SHOWN_MAX else ""
    return f"{len(having)} of {asked}: {', '.join(having[:NAMES_SHOWN_MAX])}{more}"


def _on_all(
    nodes: Sequence[Node], work: Callable[[Node, ImageClient], Awaitable[T]]
) -> list[Done[T]]:
    """What the work comes to on each machine, in their order; all at once."""

    async def one(node: Node, turns: asyncio.Semaphore) -> Done[T]:
        async with turns:
            try:
                async with ImageClient(node.address) as agent:
                    return Done(node, await work(node, agent))
            except CallRefused as refused:
                return Done(node, None, refused.text or str(refused))
            except SdkError as error:
                return Done(node, None, str(error))

    async def all_of_them() -> list[Done[T]]:
        turns = asyncio.Semaphore(NODES_MAX)
        return await asyncio.gather(*(one(node, turns) for node in nodes))

    return asyncio.run(all_of_them())
