"""A flood of refused events takes as much memory as there is room for, and no more, however long it is."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from random import Random

import pytest

from c360_stream.operators.shared_intake import DEAD_LETTER_BYTES_MAX
from c360_stream.settings import Settings
from c360_stream.tools.bench.runs import Run, c360, run_to_end
from c360_stream.tools.bench.sample import NEXT_TO_NOTHING, Sample
from tests.contracts.clickhouse_front import ClickHouseFront

pytestmark = pytest.mark.slow
VALUE_BYTES = 65_536
FEWER, MORE = 2_600, 5_200
"""More than there is room for, and twice that."""
GROWTH_BYTES_MAX = 50 * 1024 * 1024
"""Under a third of what is read more: when a snapshot comes, and what the allocator keeps, differ from run to run."""


def flooded(home: Path, refused: int, *, recovery: bool) -> Run:
    """A run over next to nothing, and so many events in one partition that are refused.

    Its tables are a server's, as it were: the embedded database would merge its parts in the memory of the run.
    """
    settings = Settings.model_construct(log_dir=home / "log")
    counts = Sample(NEXT_TO_NOTHING).write(settings)
    random = Random(1)
    with (settings.log_dir / settings.input_topic("product") / "0.jsonl").open("ab") as file:
        for _ in range(refused):  # text that does not compress
            file.write(base64.b64encode(random.randbytes(VALUE_BYTES * 3 // 4)) + b"\n")
    with ClickHouseFront(home / "tables") as front:
        environment = {
            "C360_LOG_DIR": str(settings.log_dir),
            "C360_CLICKHOUSE_DSN": front.dsn(),
            "C360_SNAPSHOT_SECONDS": "1",
        }
        c360(["setup"], environment, home)
        run = run_to_end(environment, home, 1, counts.accepted, recovery=home / "recovery" if recovery else None)
    assert run.letters == refused + counts.refused
    return run


@pytest.mark.parametrize("recovery", [True, False])
def test_the_memory_of_a_flood_has_a_bound(tmp_path: Path, recovery: bool) -> None:
    assert FEWER * VALUE_BYTES > DEAD_LETTER_BYTES_MAX
    peaks = {}
    for refused in (FEWER, MORE):
        home = tmp_path / str(refused)
        home.mkdir()
        peaks[refused] = flooded(home, refused, recovery=recovery).peak_bytes
        shutil.rmtree(home)
    assert (MORE - FEWER) * VALUE_BYTES > 3 * GROWTH_BYTES_MAX
    assert peaks[MORE] < peaks[FEWER] + GROWTH_BYTES_MAX, peaks
