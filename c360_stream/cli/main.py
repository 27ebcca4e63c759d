"""The command line `c360`: options, exit codes and one-line errors; `commands/` does the work.

Exit codes: 0 done, 1 failed at run time, 2 wrong use or configuration, 130 interrupted. `c360 run` ends with 0 when
SIGTERM or SIGINT asks it to stop, and with 128 + the signal's number at a second one. Commands are imported when they
are called, so that `c360 --help` is quick and a command needs only the libraries that it uses.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from c360_stream import __version__
from c360_stream.errors import C360Error
from c360_stream.logs.lines import printable, tell_failure

if TYPE_CHECKING:
    from c360_stream.settings import Settings

INTERRUPTED = 130
PROCESSES_MAX = 64
HEARTBEAT_SECONDS, HEARTBEAT_SECONDS_MAX = 10, 3600
MEMORY_MB_MAX = 1_000_000


@dataclass
class _Session:
    """What one call of the command line keeps; `debug` is set by `--debug`, wherever it stands."""

    debug: bool = False
    ends_hard: bool = False
    """Whether a failure ends the process without an orderly exit."""


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
        session = _Session()
        try:
            code = super().main(args, prog_name, complete_var, False, obj=session, **extra)
        except Exception as error:
            code = _report(error, session)
            if session.ends_hard:
                os._exit(code)
        sys.exit(code)


def _report(error: Exception, session: _Session) -> int:
    """Say on stderr what went wrong; return the exit code."""
    code, message = _explain(error)
    if tell_failure(printable(message), code, error if session.debug else None):
        return code
    if session.debug:
        traceback.print_exception(error)
    click.echo(f"c360: error: {printable(message)}", err=True)
    return code


def _explain(error: Exception) -> tuple[int, str]:
    """Exit code, and what went wrong and how to mend it."""
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
            return 1, f"{where}{error.strerror or error}; mend that, or see where with --debug"
        case _:
            return 1, f"internal error: {type(error).__name__}: {error}; run again with --debug"


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(_Session).debug = True


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, help="Show an error's traceback."
)


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  c360 demo",
)
@click.version_option(__version__, prog_name="c360", message="%(prog)s %(version)s")
@debug_option
@click.pass_context
def cli(context: click.Context) -> None:
    """Event-streaming churn detection for account-based businesses.

    Settings come from the environment (C360_*), then from c360.toml, then defaults; `c360 doctor` shows them.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _command(*examples: str, **settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """Make a subcommand with `--debug` and examples below its help."""
    epilog = "\n".join(["\b", "Example:", *(f"  {example}" for example in examples)])

    def decorate(function: Callable[..., None]) -> click.Command:
        return cli.command(epilog=epilog, **settings)(debug_option(function))

    return decorate


def _directory(*, exists: bool = False) -> click.Path:
    return click.Path(file_okay=False, exists=exists, path_type=Path)


def _log_dir(*, exists: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--log-dir",
        type=_directory(exists=exists),
        metavar="DIR",
        help="Log directory to use, also if Kafka is configured.  [default: C360_LOG_DIR]",
    )


def _settings(log_dir: Path | None, **overrides: Any) -> Settings:
    """Read the settings; a log directory that is asked for on the command line overrules Kafka."""
    from c360_stream.settings import load_settings

    if log_dir is not None:
        overrides.update(log_dir=log_dir, kafka_brokers="")
    return load_settings(**overrides)


def _moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """A date (its UTC midnight) or an RFC 3339 time with an offset, in UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if len(value) == len("2025-06-30"):
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is None:
            raise click.BadParameter(f"{value!r} has no offset: write {value}Z for UTC.")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no date such as 2025-06-30 or 2025-06-30T00:00:00Z.") from None


_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
_FILE = click.Path(dir_okay=False, exists=True, path_type=Path)
_SCENARIO_HELP = "steady, price_increase, outage, seasonal or silent_decline."


@_command("c360 demo", "c360 demo --accounts 500 --scenario price_increase")
@click.option("--out", type=_directory(), default="demo-out", show_default=True, help="Where everything goes.")
@click.option("--accounts", type=int, default=600, show_default=True, help="Accounts of the company.")
@click.option("--days", type=int, default=540, show_default=True, help="Days of history.")
@click.option("--seed", type=int, default=7, show_default=True, help="Same seed, same company.")
@click.option("--scenario", default="steady", show_default=True, help=_SCENARIO_HELP)
def demo(out: Path, accounts: int, days: int, seed: int, scenario: str) -> None:
    """Show the whole system on a simulated company.

    Nothing to install or configure: the log directory and the embedded tables go to --out.
    """
    from c360_stream.cli.demo import demonstration as command

    command.demo(out, accounts, days, seed, scenario)


@_command(
    "c360 simulate --accounts 500 --days 365 --seed 7 --out c360-log",
    "c360 simulate --accounts 500 --days 365 --seed 7 --kafka localhost:9092",
    "c360 simulate --accounts 500 --days 365 --seed 7 --kafka localhost:9092 --until-now",
)
@click.option("--accounts", type=int, required=True, help="Accounts of the company.")
@click.option("--days", type=int, required=True, help="Days to simulate, or days before today.")
@click.option("--seed", type=int, required=True, help="Same seed, same bytes.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="First day, UTC.")
@click.option("--scenario", default="steady", show_default=True, help=_SCENARIO_HELP)
@click.option("--out", type=_directory(), metavar="LOGDIR", help="Log directory to write.")
@click.option("--kafka", metavar="BROKERS", help="Kafka to write to instead: host:port,...")
@click.option("--until-now", is_flag=True, help="With --kafka: the days before today, and today up to now.")
@click.option("--live", is_flag=True, help="The same, and then each event when its time comes, until stopped.")
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the true probabilities go.  [default: truth.jsonl in LOGDIR or, with --kafka, here; up to now, none]",
)
@click.pass_context
def simulate(context: click.Context, /, start: datetime | None, until_now: bool, live: bool, **options: Any) -> None:
    """Write realistic events to a log directory or Kafka.

    Product, billing and support events of a company that does not exist, and beside them truth.jsonl: the
    probabilities that its cancellations were drawn from. Interrupted, it is repeated with the same command: a log
    directory shows nothing before it is whole and is begun anew, topics keep what was written and get the rest.

    With --until-now the company has lived for --days before today, with --live it then lives on in real time. Started
    again, both go on with the company that the topics hold, from where they stopped. Write history before the first
    run: one that tails empty topics would take it for late. SIGTERM and Ctrl-C stop both with exit code 0.
    """
    if until_now or live:
        from c360_stream.runtime.signals import exit_stopped, listening

        if until_now and live:
            raise click.UsageError("--until-now and --live exclude each other.", context)
        if start is not None:
            raise click.UsageError("--until-now and --live begin --days before today: leave out --start.", context)
        if options.pop("out") is not None or options["kafka"] is None:
            raise click.UsageError("--until-now and --live write to Kafka: give --kafka BROKERS.", context)
        with listening():
            from c360_stream.tools.simulate.live_command import simulate_live

            simulate_live(until_now=until_now, **options)
            exit_stopped()
    from c360_stream.tools.simulate import command

    command.simulate_company(start=start.date() if start else None, **options)


@_command(
    "c360 run",
    "c360 run --log-dir c360-log --until-end --recovery recovery",
    "c360 run --peers host1:9300,host2:9300 --process 0 --recovery /shared/recovery",
)
@_log_dir()
@click.option("--until-end", is_flag=True, help="Stop at the end of the input: a replay or back-fill.")
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Processes of the cluster, all on this machine.",
)
@click.option(
    "--peers",
    metavar="HOST:PORT,...",
    help="Addresses of all processes of a cluster on several hosts, the same for each. Private network only.",
)
@click.option("--process", type=int, metavar="N", help="With --peers: which of them this is, from 0.")
@click.option(
    "--recovery",
    type=_directory(),
    metavar="DIR",
    help="Keep snapshots here and resume from them. All processes of a cluster share it.",
)
@click.option(
    "--republish",
    is_flag=True,
    help="With an empty --recovery: publish again what was published before, if its recovery directory is lost.",
)
@click.pass_context
def run(context: click.Context, /, log_dir: Path | None, until_end: bool, peers: str | None, **options: Any) -> None:
    """Run the churn flow.

    Events in, risk scores and drift alarms out. Tails the input unless --until-end is given.

    SIGTERM and Ctrl-C stop it cleanly within 5 seconds; a second one ends it at once. Exit codes: 0 the input has
    ended or the run was asked to stop, 1 it failed (with --recovery, run it again to resume), 2 wrong use or
    configuration, 128 + the signal's number after a second signal.
    """
    from c360_stream.runtime.signals import exit_stopped, listening

    with listening() as listener:
        from c360_stream.runtime import run as command
        from c360_stream.runtime.cluster import ALONE, PEERS_VARIABLE, place_among

        process = options.pop("process")
        if peers is None and process is not None:
            raise click.UsageError("--process goes with --peers.", context)
        if peers is not None and options["processes"] > 1:
            raise click.UsageError("--peers and --processes exclude each other.", context)
        if options["republish"] and options["recovery"] is None:
            raise click.UsageError("--republish goes with --recovery.", context)
        settings = _settings(log_dir, live=False if until_end else None)
        place = ALONE if peers is None else place_among(peers.split(","), process)
        # In a cluster the engine's threads would turn an orderly exit into an abort.
        context.ensure_object(_Session).ends_hard = peers is not None or PEERS_VARIABLE in os.environ
        command.run(settings, place=place, **options)
        if listener.heard:
            exit_stopped()


@_command("c360 setup")
@_log_dir(exists=False)
def setup(log_dir: Path | None) -> None:
    """Create the topics and the tables.

    Applies the ClickHouse migrations that are not applied yet. Safe to repeat.
    """
    from c360_stream.cli.setup import creation as command

    command.setup(_settings(log_dir))


@_command("c360 doctor", "c360 doctor --json")
@_log_dir(exists=False)
@_json_option
@click.pass_context
def doctor(context: click.Context, log_dir: Path | None, as_json: bool) -> None:
    """Check the setup and say how to mend it.

    Looks at the configuration, the topics, the tables and their schema version; changes nothing. Says its verdict
    first, then problems, warnings, what is in order, and the settings, secrets masked.
    """
    from c360_stream.cli.doctor import checks as command

    if not command.doctor(_settings(log_dir), as_json=as_json):
        context.exit(1)


@_command("c360 sort c360-log --out sorted-log")
@click.argument("log_dir", type=_directory(exists=True))
@click.option("--out", type=_directory(), required=True, metavar="DIR", help="Where the sorted files go: empty or new.")
@click.option(
    "--memory-mb",
    type=click.IntRange(1, MEMORY_MB_MAX),
    default=256,
    show_default=True,
    help="About how much to hold in memory: more is sorted in pieces below --out.",
)
def sort(log_dir: Path, out: Path, memory_mb: int) -> None:
    """Sort a log directory by event time.

    For one that a replay refuses, say because it is newest first. Writes every partition of the three input topics
    below LOG_DIR into --out, in order; events of the same time keep theirs, and a line that is no event stays behind
    the line before it. LOG_DIR stays as it is.
    """
    from c360_stream.cli.sort.external_sort import sort_log

    sort_log(_settings(log_dir), out, memory_mb * 1_000_000)


@_command("c360 heartbeat", "c360 heartbeat --once")
@click.option(
    "--every",
    type=click.IntRange(1, HEARTBEAT_SECONDS_MAX),
    metavar="SECONDS",
    help=f"From one round to the next.  [default: {HEARTBEAT_SECONDS}]",
)
@click.option("--once", is_flag=True, help="Send one round and stop.")
@click.pass_context
def heartbeat(context: click.Context, every: int | None, once: bool) -> None:
    """Send heartbeats through the whole flow.

    One into every partition of the input topics, again and again: c360_heartbeat_timestamp_seconds of the run says when
    the newest was sent that has come out. Kafka only. SIGTERM and Ctrl-C stop it, with exit code 0.
    """
    from c360_stream.cli.heartbeat import rounds as command

    if once and every is not None:
        raise click.UsageError("--every and --once exclude each other.", context)
    if once:
        command.heartbeat(_settings(None), every_seconds=None)
        return
    from c360_stream.runtime.signals import listening

    with listening():
        command.heartbeat(_settings(None), every_seconds=every or HEARTBEAT_SECONDS)


@_command("c360 top", "c360 top --once --rows 5", "c360 top --json")
@_log_dir()
@click.option("--once", is_flag=True, help="Print one board and stop.")
@click.option("--rows", type=click.IntRange(1, 200), default=15, show_default=True, help="Accounts to show.")
@_json_option
def top(log_dir: Path | None, once: bool, rows: int, as_json: bool) -> None:
    """Watch risk, tier changes, alarms and lag.

    Accounts stand by tier, most MRR at risk first: a tier outlasts the risk that led to it for some days. --json prints
    one board and stops.
    """
    from c360_stream.cli.top import live as command

    command.top(_settings(log_dir), once=once, rows=rows, as_json=as_json)


@_command("c360 models", "c360 models --json")
@_log_dir()
@_json_option
def models(log_dir: Path | None, as_json: bool) -> None:
    """List the models and how they stand.

    What each is and how it learns, which scores and which run in shadow, and what the outcomes say of them.
    """
    from c360_stream.cli.models import standings as command

    command.models(_settings(log_dir), as_json=as_json)


@_command("c360 interventions", "c360 interventions --json")
@_log_dir()
@_json_option
def interventions(log_dir: Path | None, as_json: bool) -> None:
    """Compare what became of contacted accounts.

    Retention by playbook, against accounts that were not contacted and of the playbooks among each other.
    """
    from c360_stream.cli.interventions import comparison as command

    command.interventions(_settings(log_dir), as_json=as_json)


@_command("c360 verify acme --as-of 2025-06-30", "c360 verify acme --json")
@click.argument("account")
@click.option("--as-of", callback=_moment, metavar="T", help="Date or RFC 3339 time.  [default: the newest]")
@_log_dir()
@_json_option
@click.pass_context
def verify(context: click.Context, account: str, as_of: datetime | None, log_dir: Path | None, as_json: bool) -> None:
    """Rebuild a past score of ACCOUNT and compare.

    Reads the account's events from the log again and says whether they give the score that was stored.
    """
    from c360_stream.cli.verify import rebuild as command

    if not command.verify(_settings(log_dir), account, as_of, as_json=as_json):
        context.exit(1)


@_command(
    "c360 redrive --dry-run",
    "c360 redrive --topic c360.billing.events.v1 --stage decode --since 2025-06-30",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--since", callback=_moment, metavar="T", help="Only those refused from this date or RFC 3339 time on.")
@click.option("--topic", default="", help="Only those that came from this input topic.")
@click.option("--stage", default="", help="Only those that this step refused: size or decode.")
@click.option("--exception", default="", metavar="CLASS", help="Only those with this exception class.")
def redrive(**options: Any) -> None:
    """Send dead letters to their topic again.

    For after a producer or a setting was mended; Kafka only. Key, value and headers are the original ones. The same
    options again go on where they were: each dead letter is sent once, even if it is killed in between.
    """
    from c360_stream.cli.redrive import transfer as command

    command.redrive(_settings(None), **options)


@_command(
    "c360 evaluate",
    "c360 evaluate --scenario price_increase --accounts 1500 --days 730",
    "c360 evaluate --log-dir c360-log --change 2025-03-01",
    "c360 evaluate --sweep bench/evaluate/full.toml --processes 2",
)
@click.option("--log-dir", type=_directory(exists=True), metavar="DIR", help="Log directory to evaluate.")
@click.option("--scenario", help=f"Or a simulated world: {_SCENARIO_HELP}  [default: steady]")
@click.option("--seed", type=int, help="Same seed, same world.  [default: 7]")
@click.option("--accounts", type=int, help="Accounts of the simulated world.  [default: 600]")
@click.option("--days", type=int, help="Its days.  [default: 540]")
@click.option("--sweep", type=_FILE, metavar="FILE", help="TOML file of worlds and of runs to put side by side.")
@click.option("--change", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Day of a known change, UTC.")
@click.option(
    "--truth", type=_FILE, metavar="FILE", help="True risks of the log.  [default: truth.jsonl in it, if any]"
)
@click.option("--out", type=_directory(), default="evaluate-out", show_default=True, help="Where the results go.")
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Worlds to work on at a time.",
)
def evaluate(
    *,
    log_dir: Path | None,
    sweep: Path | None,
    change: datetime | None,
    truth: Path | None,
    out: Path,
    processes: int,
    **simulated: Any,
) -> None:
    """Measure how good the scores are.

    Replays a log, or a simulated company's, and compares with LightGBM refitted every 28 days and, where the true
    risks are known, with the best there could be. Writes report.html, to look at, and evaluate.json, all figures.
    """
    from c360_stream.tools import evaluate as command

    command.evaluate(
        out=out,
        sweep_file=sweep,
        log_dir=log_dir,
        truth=truth,
        change=change.date() if change else None,
        processes=processes,
        simulated={name: value for name, value in simulated.items() if value is not None},
    )


@_command("c360 bench", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Run the benchmarks; one JSON object a result."""
    from c360_stream.tools import bench as command

    command.bench(arguments)


def main() -> None:
    """Entry point of `c360`."""
    cli(prog_name="c360")
