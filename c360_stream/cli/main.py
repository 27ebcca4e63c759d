"""The command line `c360`: the group of commands, exit codes and one-line errors.

Exit codes: 0 done, 1 failed at run time, 2 wrong use or configuration, 130 interrupted. `c360 run` ends with 0 when
SIGTERM or SIGINT asks it to stop, and with 128 + the signal's number at a second one. Each command is declared by a
module or package of its own, as `command`. It is imported when the command is called, and its implementation after
that: so all help is quick, and a command needs only the libraries that it uses.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from c360_stream import __version__
from c360_stream.cli.options import Session, debug_option
from c360_stream.errors import C360Error
from c360_stream.logs.lines import log_failure, printable

COMMANDS = {
    "bench": "Run the benchmarks; one JSON object per result.",
    "declare": "Check what the configuration file declares.",
    "demo": "Show the whole system on a simulated company.",
    "doctor": "Check the setup and show how to fix it.",
    "evaluate": "Measure how good the scores are.",
    "heartbeat": "Send heartbeats through the whole flow.",
    "interventions": "Compare what became of contacted accounts.",
    "models": "List the models and how they stand.",
    "redrive": "Send dead letters to their topic again.",
    "run": "Run the churn flow.",
    "setup": "Create the topics and the tables.",
    "simulate": "Write realistic events to a log directory or Kafka.",
    "sort": "Sort a log directory by event time.",
    "top": "Watch risk, tier changes, alarms and lag.",
    "verify": "Rebuild a past score of ACCOUNT and compare.",
}
"""The commands, each with the first line of its help: the list shows it."""
INTERRUPTED = 130


class CommandGroup(click.Group):
    """A group whose every failure is one line on stderr and an exit code.

    Click itself ends a command whose reader went away (`c360 top | head`) quietly, with exit code 1.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit the process; see `click.Command.main`."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        session = Session()
        try:
            code = super().main(args, prog_name, complete_var, False, obj=session, **extra)
        except Exception as error:
            code = _report(error, session)
            if session.ends_hard:
                os._exit(code)
        sys.exit(code)


def _report(error: Exception, session: Session) -> int:
    """Report an error on stderr; return the exit code."""
    code, message = _explain(error)
    if log_failure(printable(message), code, error if session.debug else None):
        return code
    if session.debug:
        traceback.print_exception(error)
    click.echo(f"c360: error: {printable(message)}", err=True)
    return code


def _explain(error: Exception) -> tuple[int, str]:
    """Exit code, and the error with its hint."""
    match error:
        case C360Error():
            return error.exit_code, str(error)
        case click.Abort():
            return INTERRUPTED, "interrupted; run the command again"
        case click.ClickException():
            what = error.format_message().rstrip(".")
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "c360"
            return error.exit_code, f"{what[:1].lower()}{what[1:]}; see '{command} --help'"
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return 1, f"{where}{error.strerror or error}; fix that, or see where with --debug"
        case _:
            return 1, f"internal error: {type(error).__name__}: {error}; run again with --debug"


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  c360 demo",
)
@click.version_option(__version__, prog_name="c360", message="%(prog)s %(version)s")
@debug_option()
@click.pass_context
def cli(context: click.Context) -> None:
    """Event-streaming churn detection for account-based businesses.

    Settings come from the environment (C360_*), then from c360.toml, then defaults; `c360 doctor` shows them.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


class LazyCommand(click.Command):
    """A command of the list that is imported when it is called."""

    def load(self) -> click.Command:
        """Import the module that declares it."""
        command: click.Command = import_module(f"c360_stream.cli.{self.name}").command
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Begin a call of the declared command; see `click.Command.make_context`."""
        return self.load().make_context(info_name, args, parent, **extra)


for _name, _summary in COMMANDS.items():
    cli.add_command(LazyCommand(_name, help=_summary))


def main() -> None:
    """Entry point of `c360`."""
    cli(prog_name="c360")
