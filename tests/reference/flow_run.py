"""Runs of the flow in processes of their own, that can be killed, resumed and asked for their tables."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.reference.check import RISK_TOPIC, Tables, read_tables
from tests.reference.log import topic_name
from tests.reference.oracle import TOPICS

DEADLINE_SECONDS = 120.0
# The smallest worlds must reach the learnt model and see outcomes: the defaults are for real companies.
# Of so few accounts sixteen shards would have one or two each, and twice the work at every tick.
SETTINGS = {
    "C360_SHARDS": "6",
    "C360_METRICS_ADDRESS": "127.0.0.1:0",
    "C360_SNAPSHOT_SECONDS": "1",
    "C360_HORIZON_DAYS": "30",
    "C360_WARMUP_OUTCOMES": "60",
    "C360_WARMUP_CHURNED": "5",
    # Without LightGBM, which would cost each of some hundred runs a second: test_contenders has it.
    "C360_CHALLENGERS": '["online-logistic-fast", "online-logistic-hazard"]',
}


@dataclass
class FlowRun:
    """`c360 run` over a copy of a log directory, with its own tables.

    Parameters
    ----------
    source
        Log directory with the input topics. It is not written to.
    home
        Empty directory for everything that the run reads and writes.
    processes, recovery, until_end
        As on the command line; `recovery` keeps a recovery store under `home`.
    settings
        `C360_*` variables on top of `SETTINGS`.
    prefix
        Command that is given the run's command to execute.
    """

    source: Path
    home: Path
    processes: int = 1
    recovery: bool = False
    until_end: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.log_dir = self.home / "log"
        for topic in TOPICS:
            shutil.copytree(self.source / topic_name(topic), self.log_dir / topic_name(topic), copy_function=os.link)

    @property
    def dsn(self) -> str:
        """Where the tables are."""
        return f"chdb://{self.home.resolve() / 'tables' / 'c360'}"

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start the run, with more options, in a session of its own; its output goes to `home/output.txt`."""
        command = [*self.prefix, sys.executable, "-m", "c360_stream", "run"]
        # On the command line a log directory would overrule Kafka.
        command += [] if "C360_KAFKA_BROKERS" in self.settings else ["--log-dir", str(self.log_dir)]
        command += ["--until-end"] if self.until_end else []
        command += ["--processes", str(self.processes)] if self.processes > 1 else []
        command += ["--recovery", str(self.home / "recovery")] if self.recovery else []
        command += options
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
        env = {**inherited, **SETTINGS, "C360_CLICKHOUSE_DSN": self.dsn, **self.settings}
        with (self.home / "output.txt").open("a") as output:
            return subprocess.Popen(
                command,
                env=env,
                cwd=self.home,
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """What the run has printed, over all its starts."""
        return (self.home / "output.txt").read_text()

    def finish(self) -> None:
        """Run, or resume, to the end of the input.

        Raises
        ------
        AssertionError
            If it fails, or does not end before the deadline.
        """
        process = self.start()
        try:
            code = process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            kill(process)
            raise AssertionError(f"no end after {DEADLINE_SECONDS} s: {self.output()[-3000:]}") from None
        assert code == 0, f"exit code {code}: {self.output()[-3000:]}"

    def kill_when(self, condition: Callable[[], bool]) -> bool:
        """Start, and kill -9 every process of the run once the condition holds; False if it ended before."""
        process = self.start()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            if process.poll() is not None:
                assert process.returncode == 0, self.output()[-3000:]
                return False
            if time.monotonic() > deadline:
                kill(process)
                raise AssertionError(f"nothing to kill for: {self.output()[-3000:]}")
            time.sleep(0.005)
        kill(process)
        return True

    def risk_bytes(self) -> int:
        """Bytes in the risk topic: grows as the run gets on."""
        files = (self.log_dir / RISK_TOPIC).glob("*.jsonl")
        return sum(file.stat().st_size for file in files)

    def has_written(self, risk_bytes: float) -> bool:
        """Whether the run has got on so far: more bytes than these in the risk topic."""
        return self.risk_bytes() > risk_bytes

    def tables(self) -> Tables:
        """The tables, read after the run."""
        return read_tables(self.dsn)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill -9 a run and every process that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
