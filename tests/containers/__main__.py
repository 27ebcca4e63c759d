"""Prove the image and the compose file in a container engine: `python -m tests.containers`, or `make containers`.

The engine is the one that `docker` talks to, or where there is none, one that is made of Debian's packages in the work
folder. Nothing of others is touched: projects, images, volumes and networks have names of their own.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from tests.containers.engine import CommandError, Engine, EngineUnavailableError, InstalledEngine
from tests.containers.images import front_requirements, kafka_jars, python_image
from tests.containers.own_engine import OwnEngine
from tests.containers.proof import Proof
from tests.containers.stack import ProofError, Stack
from tests.deploy.compose import ROOT
from tests.integration.kafka_broker import KafkaUnavailableError

WORK = Path("/tmp/c360-containers")


def main() -> int:
    """Exit code 0 proven, 1 not so, 2 something is missing on this machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.containers", description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help=f"folder for what is kept between runs; default {WORK}")
    parser.add_argument(
        "--engine",
        choices=("any", "installed", "own"),
        default="any",
        help="the one that is installed, one made of Debian's packages, or any: the first if there is one",
    )
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {what}", flush=True)

    try:
        work: Path = options.work.resolve()
        with _alone(work):
            engine = _engine(options.engine, work)
            say(engine.name)
            _prove(engine, work, say)
    except KeyboardInterrupt:
        print("stopped; everything was taken away", file=sys.stderr)
        return 1
    except (EngineUnavailableError, KafkaUnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (CommandError, ProofError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    say("proven")
    return 0


def _prove(engine: Engine, work: Path, say: Callable[[str], None]) -> None:
    stack = Stack(engine, work, jars=kafka_jars(work), requirements=front_requirements(work))
    with engine.running():
        # What a run has left that was killed: an engine in the machine's network would start it there again.
        stack.remove()
    with engine.building():
        python_image(engine, work)
        say("an image for the images to begin with")
        stack.compose("build")
        say("the image, and stand-ins for those of others")
    with engine.running():
        stack.bound_files(stack.files_max())
        try:
            for step in Proof(stack).steps():
                say(step)
        except BaseException:
            with suppress(CommandError, ProofError):  # why it failed counts, not what follows from that
                stack.remove()
            raise


def _engine(wanted: str, work: Path) -> Engine:
    if wanted != "own" and InstalledEngine.answers():
        return InstalledEngine()
    if wanted == "installed":
        raise EngineUnavailableError("`docker version` fails: start the engine that it talks to")
    return OwnEngine(work, ROOT)


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Make the work folder, and keep others out of it."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = (work / "lock").open("w")
    except OSError as error:
        raise EngineUnavailableError(f"{error.filename}: {error.strerror}; give another --work") from error
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineUnavailableError(f"another proof is at work in {work}: wait for it, or give --work") from None
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
