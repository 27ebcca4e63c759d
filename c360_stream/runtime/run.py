"""`c360 run`: the churn flow in this process, or as one or all processes of a cluster."""

from __future__ import annotations

import functools
import gc
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext
from datetime import timedelta
from pathlib import Path

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from c360_stream import metrics
from c360_stream.errors import C360Error, ConfigurationError
from c360_stream.logs.crash_output import enable_faulthandler, log_crash_output, native_output
from c360_stream.logs.events import CLUSTER_JOINED, METRICS_SERVED, SETTING_UNKNOWN, STATE_NEW
from c360_stream.models.declared import factory
from c360_stream.operators.health import Health
from c360_stream.operators.life import RunLife, log_from
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.shutdown import Shutdown, StopRequested
from c360_stream.runtime.cluster import ALONE, ClusterMember, inherited_member, run_cluster
from c360_stream.runtime.health_server import HealthServer
from c360_stream.runtime.log_order import refuse_disorder
from c360_stream.runtime.recovery import begun, explain, inspect, native_file, recovery_store
from c360_stream.runtime.signals import Listener, listening
from c360_stream.runtime.startup_peers import StartupPeerWatch
from c360_stream.runtime.watchdog import (
    CollectorWatch,
    PartitionWatch,
    ProgressWatch,
    Watch,
    Watchdog,
    end_process,
    input_counts,
    outage,
)
from c360_stream.settings import Settings
from c360_stream.settings.checks import unknown_settings

_CANNOT_LISTEN = re.compile(r"failed to initialize networking: (.*?)(?: \(os error \d+\))?$", re.MULTILINE)


def run(
    settings: Settings,
    *,
    processes: int = 1,
    recovery: Path | None = None,
    member: ClusterMember = ALONE,
    republish: bool = False,
    listener: Listener | None = None,
) -> bool:
    """Run the flow until its input ends, or until it is asked to stop.

    Parameters
    ----------
    settings
        Settings; `live` false active at the end of the input.
    processes
        Number of processes on this machine.
    recovery
        Directory of the recovery store; made if it is absent. None: a crash starts from the beginning.
    member
        Which process this is of a cluster whose processes are started one by one.
    republish
        Whether a new recovery store may publish what has been published before it.
    listener
        What listens for signals already. None: this does, while the flow runs.

    Returns
    -------
    Whether the input has ended; false if the run was asked to stop.

    Raises
    ------
    ConfigurationError, TransportError, StateError
        What went wrong, in one line.
    """
    enable_faulthandler()
    inherited = inherited_member()
    for declaration in settings.declared_models:
        factory(declaration)
    log_from(settings, process=None if processes > 1 and inherited is None else (inherited or member).process)
    with nullcontext(listener) if listener is not None else listening() as active:
        if inherited is not None:  # the parent has the recovery store
            return _run_here(settings, recovery, inherited, active)
        for name in unknown_settings():
            SETTING_UNKNOWN.log(setting=name)
        if not settings.live and not settings.uses_kafka:
            refuse_disorder(settings)
        in_cluster = len(member.peers) > 1
        with recovery_store(
            recovery, settings, process=member.process, cluster=in_cluster, republish=republish
        ) as lock:
            if processes > 1:
                run_cluster(processes, recovery, lock, active)
                return not active.stop_requested
            if in_cluster:
                CLUSTER_JOINED.log(others=len(member.peers) - 1)
            return _run_here(settings, recovery, member, active)


def _run_here(settings: Settings, recovery: Path | None, member: ClusterMember, listener: Listener) -> bool:
    from flows.churn import build

    in_cluster = len(member.peers) > 1
    run = RunContext(Health(settings.stall_seconds_max))
    flow = build(
        settings,
        run=run,
        keep_state=recovery is not None,
        recovery=recovery,
        exactly_once=recovery is not None,
        may_rest=not in_cluster,
        begun=begun(recovery),
    )
    # State is long-lived and has no cycles: looking through it while it grows cost a fifth of a resume.
    gc.disable()
    # Whatever its value, even 0, the engine would serve a web page on all addresses, without authentication.
    os.environ.pop("BYTEWAX_DATAFLOW_API_ENABLED", None)
    life = RunLife(settings, run)
    life.started(processes=max(1, len(member.peers)), recovery=recovery)
    if recovery is None and not member.process:
        STATE_NEW.log(recovery=None)
    _show_limits(settings, member)

    kept_in = native_file(recovery, member.process)
    if kept_in is not None:
        log_crash_output(kept_in, member.process)
    with ExitStack() as held:
        beyond = 0 if settings.metrics_port_fixed else member.process
        server = held.enter_context(closing(HealthServer(settings.metrics_address, run.health, process=beyond)))
        METRICS_SERVED.log(address=server.address)
        native = held.enter_context(native_output(kept_in))
        held.enter_context(closing(_watchdog(settings, member, run)))
        held.callback(run.health.stopped)
        listener.begun(run.shutdown.request)
        try:
            with listener.engine_of_cluster() if in_cluster else nullcontext():
                cli_main(
                    flow,
                    process_id=member.process if in_cluster else None,
                    addresses=list(member.peers) if in_cluster else None,
                    epoch_interval=timedelta(seconds=settings.snapshot_seconds),
                    recovery_config=RecoveryConfig(recovery) if recovery else None,
                )
            run.outboxes.finish()
        except StopRequested:
            if (failure := run.shutdown.first_failure) is not None:  # of another step, which ended this one's wait
                raise failure from None
        except BaseException as error:  # the engine's panics are no Exception
            _raise_failure(error, native(), recovery, run.shutdown, in_cluster=in_cluster)
    life.ended("stopped" if run.shutdown.requested else "input_ended")
    return not run.shutdown.requested


def _watchdog(settings: Settings, member: ClusterMember, run: RunContext) -> Watchdog:
    watches: list[Watch] = [CollectorWatch(run.health)]
    if len(member.peers) > 1:
        watches.append(StartupPeerWatch(member.peers, member.process, end_process, run))
        ask = functools.partial(outage, settings, run.outages)
        watches.append(ProgressWatch(settings.stall_seconds_max, ask, end_process, run.health))
    if settings.uses_kafka and settings.live:
        watches.append(PartitionWatch(lambda: input_counts(settings, run.outages)))
    return Watchdog(*watches)


def _show_limits(settings: Settings, member: ClusterMember) -> None:
    """Show what alerts compare with."""
    metrics.CLUSTER_PROCESSES.set(max(1, len(member.peers)))
    metrics.ALLOWED_LATENESS_SECONDS.set(settings.allowed_lateness_seconds)
    metrics.EARLY_EVENTS_MAX.set(settings.early_events_max // settings.shards)
    metrics.MODEL_AUC_MIN.set(settings.auc_min)


def _raise_failure(
    error: BaseException, native: str, recovery: Path | None, shutdown: Shutdown, *, in_cluster: bool
) -> None:
    """Raise what made the engine fail, unless it was a stop."""
    failure: Exception | None = error if isinstance(error, C360Error) else shutdown.first_failure
    if failure is None and recovery is not None:
        failure = explain(recovery, "\n".join([*_messages(error), native]))
    if failure is not None:
        raise failure from None
    if shutdown.gave_up_waiting or (in_cluster and shutdown.requested):
        return  # the step that gave up its wait, or another process that did, or has stopped before this one
    if cannot_listen := _CANNOT_LISTEN.search(str(error)):
        raise ConfigurationError(
            f"cannot listen at this process's address of the cluster: {cannot_listen[1]}", "fix --peers or --process"
        ) from None
    if recovery is not None and (failure := inspect(recovery, thoroughly=True)):
        raise failure from None
    if in_cluster:
        raise C360Error(
            "lost a process of the cluster", "see the messages of the others; run again to resume"
        ) from error
    if isinstance(error, Exception):
        raise error
    raise RuntimeError(str(error)) from error


def _messages(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__
