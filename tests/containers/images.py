"""What the images of a proof are made from, kept in the work folder; compose builds them: see stand-ins.yml."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.containers.engine import CommandError, Engine, EngineUnavailableError, call, docker, last_lines
from tests.containers.own_engine import debian_system
from tests.deploy.compose import ROOT
from tests.integration.kafka_broker import KAFKA_VERSION, jars

PYTHON_IMAGE = "c360-containers/python"
DEBIAN_IMAGE = "c360-containers/debian"
DEBIAN_SUITE = "bookworm"
"""Of Docker's image that the Dockerfile begins with; Python 3.11 as well."""
# pip is installed as in Docker's image: by itself, where Debian's packages do not look.
AS_PYTHON_IMAGE = (
    "for name in python python3 python3.11; do ln -sf /usr/bin/python3.11 $1/usr/local/bin/$name; done; "
    "rm -f $1/usr/lib/python3.11/EXTERNALLY-MANAGED"
)
# chDB with what it imports.
FRONT_PACKAGES = ("chdb", "chdb-core", "numpy", "pandas", "pyarrow", "python-dateutil", "tzdata")
IMAGES = Path(__file__).with_name("images")


def python_image(engine: Engine, work: Path) -> None:
    """Make the image that the others begin with.

    From packages of Debian, where `mmdebstrap` can make a file system of them; else from what the Dockerfile names,
    which the engine then has to have or to fetch.

    Raises
    ------
    EngineUnavailableError
        If there is neither.
    CommandError
        If a build fails.
    """
    base = DEBIAN_IMAGE if shutil.which("mmdebstrap") else dockerfile_base()
    if base == DEBIAN_IMAGE:
        _debian_image(engine, work)
    elif engine.execute(["docker", "image", "inspect", base]).returncode and (
        engine.execute(["docker", "pull", base]).returncode
    ):
        raise EngineUnavailableError(f"no mmdebstrap to make a stand-in for {base}, which cannot be pulled either")
    machine = work / "machine"
    machine.mkdir(exist_ok=True)
    for name, source in {
        "ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt",
        "pip.conf": "/etc/pip.conf",
    }.items():
        (machine / name).write_bytes(Path(source).read_bytes() if Path(source).is_file() else b"")
    arguments = ["--build-arg", f"DEBIAN={base}", "--build-context", f"machine={machine}", "--network", "host"]
    docker(engine, "build", "--tag", PYTHON_IMAGE, *arguments, str(IMAGES / "python"))


def dockerfile_base() -> str:
    """The image that the Dockerfile begins with."""
    found = re.search(r"(?m)^FROM (\S+) AS builder$", (ROOT / "Dockerfile").read_text())
    assert found, "Dockerfile: no stage `builder`"
    return found[1]


def kafka_jars(work: Path) -> Path:
    """A folder of the broker's jars and of those of its command line tools.

    Raises
    ------
    KafkaUnavailableError, CommandError
        If they cannot be fetched.
    """
    folder = work / f"kafka-{KAFKA_VERSION}"
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"new-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(jars(), unfinished)
    artifact = f"-Dartifact=org.apache.kafka:kafka-tools:{KAFKA_VERSION}"
    done = call(["mvn", "-B", "-q", "dependency:copy", artifact, f"-DoutputDirectory={unfinished}"])
    if done.returncode:
        raise CommandError(f"mvn could not fetch Kafka's tools:\n{last_lines(done)}")
    unfinished.rename(folder)
    return folder


def front_requirements(work: Path) -> Path:
    """A folder with the locked requirements of the ClickHouse server's stand-in."""
    lock = (ROOT / "requirements.lock").read_text()
    names = "|".join(map(re.escape, FRONT_PACKAGES))
    entries = re.findall(rf"(?m)^(?:{names})==.*(?:\n    .*)*", lock)
    assert len(entries) == len(FRONT_PACKAGES), f"requirements.lock: not all of {FRONT_PACKAGES}"
    folder = work / "requirements"
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text("\n".join([*entries, ""]))
    return folder


def _debian_image(engine: Engine, work: Path) -> None:
    if not engine.execute(["docker", "image", "inspect", DEBIAN_IMAGE]).returncode:
        return
    archive = work / "debian.tar"
    if not archive.exists():
        packages = ("python3", "python3-venv", "ca-certificates")
        debian_system(DEBIAN_SUITE, packages, archive, f"--customize-hook={AS_PYTHON_IMAGE}")
    docker(engine, "import", "-", DEBIAN_IMAGE, input_file=archive)
