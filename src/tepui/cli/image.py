"""`tepui image`: the images on the machines of the cluster, and into registries."""

from __future__ import annotations

import click

from tepui.cli.options import json_option, master_option

node_option = click.option(
    "--node",
    "nodes",
    metavar="NODE",
    multiple=True,
    help="Only there: by hostname, address or id; may be given several times.  [default: all]",
)
config_option = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Docker's config.json with credentials for the registry.",
)


@click.group("image")
def command() -> None:
    """Pull, list, remove images on the machines; push them to registries."""


@command.command("pull")
@click.argument("name")
@click.option("--cached", is_flag=True, help="An image of that name is enough, however old.")
@config_option
@node_option
@master_option
@json_option
def pull(
    *,
    name: str,
    cached: bool,
    config: str | None,
    nodes: tuple[str, ...],
    master: str,
    as_json: bool,
) -> int:
    """Have the machines pull an image, so that tasks start on it at once.

    The exit code is 1 when a machine could not.
    """
    from tepui.cli.connect import get_cluster
    from tepui.cli.image_nodes import nodes_of, pull_all, shown_digest, shown_size
    from tepui.cli.image_progress import progress_for
    from tepui.cli.tables import print_json, print_table

    chosen = nodes_of(get_cluster(master), nodes)
    with progress_for(quiet=as_json) as progress:
        rows = pull_all(chosen, name, _text_of(config), progress, cached=cached)
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("NODE", "STATE", "DIGEST", ">SIZE", ">TIME", "MESSAGE"),
            [
                (
                    row.node,
                    row.state,
                    shown_digest(row.digest),
                    shown_size(row.size_bytes) if row.digest else "",
                    f"{row.seconds:.1f}s",
                    row.error,
                )
                for row in rows
            ],
            empty="no agent has registered",
        )
    return int(not rows or any(row.error for row in rows))


@command.command("ls")
@node_option
@master_option
@json_option
def ls(*, nodes: tuple[str, ...], master: str, as_json: bool) -> int:
    """List the images that the machines have."""
    from tepui.cli.connect import get_cluster
    from tepui.cli.image_nodes import (
        complain,
        image_rows,
        list_all,
        nodes_of,
        shown_digest,
        shown_nodes,
        shown_size,
    )
    from tepui.cli.tables import print_json, print_table

    chosen = nodes_of(get_cluster(master), nodes)
    found = list_all(chosen)
    rows = image_rows(found)
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("NAME", "DIGEST", ">SIZE", ">CONTAINERS", "NODES"),
            [
                (
                    row.name,
                    shown_digest(row.digest),
                    shown_size(row.size_bytes),
                    str(row.containers),
                    shown_nodes(row.nodes, len(chosen)),
                )
                for row in rows
            ],
            empty="no images",
        )
    return complain(found)


@command.command("rm")
@click.argument("name")
@node_option
@master_option
@json_option
def rm(*, name: str, nodes: tuple[str, ...], master: str, as_json: bool) -> int:
    """Remove an image from the machines; from one where a task lives on it it is not."""
    from tepui.cli.connect import get_cluster
    from tepui.cli.image_nodes import complain, nodes_of, remove_all
    from tepui.cli.tables import print_json

    done = remove_all(nodes_of(get_cluster(master), nodes), name)
    removed = [one.node for one in done if one.got]
    if as_json:
        print_json([{"name": name, "node": one.label, "address": one.address} for one in removed])
    elif removed:
        click.echo(f"removed {name} from {', '.join(one.label for one in removed)}")
    if not removed and not any(one.error for one in done):
        raise click.ClickException(f"no machine has an image '{name}'")
    return complain(done)


@command.command("prune")
@click.option("--keep", "kept", metavar="NAME", multiple=True, help="Leave this image.")
@node_option
@master_option
@json_option
def prune(*, kept: tuple[str, ...], nodes: tuple[str, ...], master: str, as_json: bool) -> int:
    """Remove all images that no task lives on."""
    from tepui.cli.connect import get_cluster
    from tepui.cli.image_nodes import complain, nodes_of, prune_all, shown_size
    from tepui.cli.tables import print_json, print_table

    done = prune_all(nodes_of(get_cluster(master), nodes), kept)
    rows = [
        {"node": one.node.label, "name": image.name, "size_bytes": image.size_bytes}
        for one in done
        for image in one.got or ()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("NODE", "REMOVED", ">SIZE"),
            [
                (one.node.label, image.name, shown_size(image.size_bytes))
                for one in done
                for image in one.got or ()
            ],
            empty="nothing was to be removed",
        )
    return complain(done)


@command.command("push")
@click.argument("source")
@click.argument("name")
@config_option
@click.option(
    "--insecure-registry",
    "insecure",
    metavar="HOST:PORT",
    multiple=True,
    help="That registry has no TLS, or a certificate that nobody knows.",
)
@click.option("--entrypoint", metavar="LINE", help="Of a directory: the program and arguments.")
@click.option("--cmd", metavar="LINE", help="Of a directory: further arguments by default.")
@click.option("--env", metavar="K=V", multiple=True, help="Of a directory: a variable.")
@click.option("--workdir", metavar="DIR", help="Of a directory: where the program is started.")
@click.option("--user", metavar="USER[:GROUP]", help="Of a directory: whom the program runs as.")
@json_option
def push(
    *,
    source: str,
    name: str,
    config: str | None,
    insecure: tuple[str, ...],
    entrypoint: str | None,
    cmd: str | None,
    env: tuple[str, ...],
    workdir: str | None,
    user: str | None,
    as_json: bool,
) -> None:
    """Push an image to a registry. No cluster is needed.

    SOURCE is an OCI layout (a directory or an archive) or what 'docker save' wrote; where there are
    several images, with ':' and the name of one of them behind. Any other directory is taken for a
    root file system, and becomes an image of one layer.
    """
    from tepui.cli.image_progress import progress_for
    from tepui.cli.image_push import config_of, default_config, push_image, source_of
    from tepui.cli.tables import print_json

    made = config_of(entrypoint, cmd, env, workdir, user)
    wanted = source_of(source, made)
    credentials = _text_of(config or default_config())
    with progress_for(quiet=as_json) as progress:
        digest = push_image(wanted, name, credentials, insecure, progress)
    if as_json:
        print_json({"name": name, "digest": digest})
    else:
        click.echo(f"pushed {name}@{digest}")


def _text_of(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise click.ClickException(f"'{path}' cannot be read: {error}") from None
