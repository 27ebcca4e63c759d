"""The pictures of the performance page are drawn from results, the same each time, and only where there are some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.pictures import PICTURES, RESULTS, draw, read


def line(name: str, unit: str = "seconds", **parameters: Any) -> str:
    figures = {"value": 3.0, "floor": 2.0, "ratio_to_floor": 1.5}
    return json.dumps({"name": name, "unit": unit, **figures, "detail": {}, "parameters": parameters})


def test_every_picture_is_drawn_from_a_file_of_results(tmp_path: Path) -> None:
    lines = [
        line("replay", "events per second", accounts=10),
        line("scaling_2", processes=2),
        *(line("memory", "bytes an account", accounts=n) for n in (10, 100)),
        *(line("snapshot_first", accounts=n) for n in (10, 100)),
        line("resume_first_score", accounts=10),
        *(line(f"latency_p{share}", "milliseconds") for share in (50, 99)),
    ]
    results = tmp_path / "results.jsonl"
    results.write_text("\n".join(lines))
    written = draw(read(results), tmp_path / "one")
    assert [path.stem for path in written] == list(PICTURES)
    again = draw(read(results), tmp_path / "two")
    for first, second in zip(written, again, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert ElementTree.parse(first).getroot().tag.endswith("svg")


def test_a_picture_without_results_is_left_out_and_the_last_of_a_name_counts(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("\n".join([line("decode", "events per CPU second", run=1), line("decode", "events", run=2)]))
    [found] = read(results)
    assert found["parameters"]["run"] == 2
    assert draw([found], tmp_path) == []


def test_the_committed_pictures_are_those_of_the_committed_results(tmp_path: Path) -> None:
    drawn = {path.stem for path in draw(read(RESULTS), tmp_path)}
    assert drawn == {path.stem for path in (RESULTS.parent / "performance").glob("*.svg")}
