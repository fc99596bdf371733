"""The `tepui` command: finds the subcommand, and says in one line what went wrong.

A subcommand's module is imported when it is used, so that `tepui --help` is quick.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from tepui import __version__

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
DEBUG_VARIABLE = "TEPUI_DEBUG"

# Name -> what it does. The module is `tepui.cli.<name>` and its `command` is the click command.
COMMANDS = {
    "up": "Start a whole cluster on this machine.",
    "run": "Run a command on the cluster and show its output.",
    "task": "List, show, kill tasks; read their logs.",
    "node": "List and show the machines.",
    "image": "Pull, list, remove and push container images.",
    "framework": "List, show and end frameworks.",
    "explain": "Say why something does not run.",
    "simulate": "Say what a cluster would do with a workload.",
    "master": "Run a master in the foreground.",
    "agent": "Run an agent in the foreground.",
    "replay": "Say what happened, from a master's journal.",
    "registry": "Show what outlives masters; move it to ZooKeeper.",
    "version": "Say which version this is.",
}


class LazyGroup(click.Group):
    """Imports a subcommand when it is asked for; the help needs none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; None when there is no such one."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"tepui.cli.{cmd_name}").command
        assert isinstance(command, click.Command), cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="tepui %(version)s")
def tepui() -> None:
    """Many machines as one computer.

    Try 'tepui up', and in another terminal 'tepui run -- echo hello'.
    """


def main() -> None:
    """Run the command line and end the process with its exit code."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _silence_stdout()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code of the command line; what went wrong is one line on stderr."""
    try:
        code = tepui.main(arguments, prog_name="tepui", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return EXIT_USAGE
    except click.UsageError as error:
        _complain(_usage_text(error))
        return EXIT_USAGE
    except click.ClickException as error:
        _complain(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _silence_stdout()
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE) == "1":
            raise
        _complain(str(error) or type(error).__name__)
        return 1


def _usage_text(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "tepui"
    text = error.format_message().rstrip(".")
    return f"{text} (see '{path} --help')"


def _complain(text: str) -> None:
    line = " ".join(text.split())
    click.echo(f"tepui: {line}", err=True)


def _silence_stdout() -> int:
    """Nobody reads our output any more: write the rest of it nowhere, without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


if __name__ == "__main__":
    main()
