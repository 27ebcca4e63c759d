"""The configuration file: what it declares, what it includes, and errors that name file, entry and key."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from c360_stream.cli.main import cli
from c360_stream.errors import ConfigurationError
from c360_stream.models.names import ModelDeclaration
from c360_stream.pipeline import learning_config
from c360_stream.settings import load_settings
from c360_stream.settings.checks import unknown_settings

OWN = '[[model]]\nname = "my-forest"\nmake = "tests.own_models.models:forest_of_trees"\n'


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("C360_")]:
        monkeypatch.delenv(name)


def test_a_declared_model_contends_and_may_be_the_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c360.toml").write_text(f"shards = 3\n{OWN}")
    settings = load_settings()
    assert settings.shards == 3
    own = ModelDeclaration("my-forest", "tests.own_models.models:forest_of_trees", str(tmp_path))
    assert settings.declared_models == (own,)
    assert "my-forest" in learning_config(settings).contenders
    monkeypatch.setenv("C360_CHAMPION", "my-forest")
    assert learning_config(load_settings()).first == "my-forest"
    monkeypatch.setenv("C360_CHAMPION", "my-forrest")
    with pytest.raises(ConfigurationError, match=r"there is no model my-forrest: did you mean my-forest\?"):
        load_settings()
    assert unknown_settings() == []


def test_files_include_others_and_win_over_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    Path("conf/mine.toml").write_text(f'include = ["more.toml"]\nshards = 3\n{OWN}')
    Path("conf/more.toml").write_text(f"shards = 4\nhorizon_days = 30\n{OWN.replace('my-forest', 'another')}")
    monkeypatch.setenv("C360_CONFIG", "conf/mine.toml")
    settings = load_settings()
    assert (settings.shards, settings.horizon_days) == (3, 30)
    assert [each.name for each in settings.declared_models] == ["my-forest", "another"]
    assert {each.folder for each in settings.declared_models} == {str(tmp_path / "conf")}
    assert unknown_settings() == []
    Path("conf/more.toml").write_text('include = ["mine.toml"]\n')
    with pytest.raises(ConfigurationError, match=r"more\.toml: key include: an included file cannot include others"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN + 'mak = "x:y"\n', r"c360\.toml: \[\[model\]\] my-forest: key mak: unknown; did you mean make\?"),
        ('[[model]]\nname = "f"\n', r"\[\[model\]\] f: key make: is missing"),
        ('[[model]]\nmake = "a:b"\n', r"\[\[model\]\] 1: key name: is missing"),
        ('[[model]]\nname = 3\nmake = "a:b"\n', r"\[\[model\]\] 1: key name: is no text"),
        ('[[model]]\nname = "My Forest"\nmake = "a:b"\n', "key name: 'My Forest' is not lower-case words"),
        ('[[model]]\nname = "lightgbm"\nmake = "a:b"\n', "key name: a model of c360 has this name"),
        ('[[model]]\nname = "auto"\nmake = "a:b"\n', "key name: a model of c360 has this name"),
        ('[[model]]\nname = "own-retrained"\nmake = "a:b"\n', "key name: a model of c360 has this name"),
        ('[[model]]\nname = "f"\nmake = "a.b"\n', r"key make: 'a\.b' is not package\.module:function"),
        (OWN + OWN, r"two \[\[model\]\] entries are named my-forest"),
        ('[model]\nname = "f"\n', "key model: not a list of tables"),
        ('include = "more.toml"\n', "key include: not a list of file names"),
        ('include = ["nowhere.toml"]\n', r"nowhere\.toml in .*: No such file"),
    ],
)
def test_errors_name_file_entry_and_key(text: str, message: str) -> None:
    Path("c360.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message) as refused:
        load_settings()
    assert "\n" not in str(refused.value)


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_CONFIG", "mine.toml")
    with pytest.raises(ConfigurationError, match=r"mine\.toml in .*: No such file"):
        load_settings()


def test_declare_check_says_what_is_declared(tmp_path: Path) -> None:
    def checked(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["declare", "check", *options], prog_name="c360")
        return done.exit_code, done.output

    assert checked() == (0, "nothing is declared\n")
    Path("c360.toml").write_text(OWN)
    code, page = checked()
    assert code == 0
    assert "[[model]] my-forest: tests.own_models.models:forest_of_trees makes a ARFClassifier" in page
    found = json.loads(checked("--json")[1])
    assert found["files"] == [str(tmp_path / "c360.toml")]
    assert found["models"][0]["makes"] == "ARFClassifier"
    Path("c360.toml").write_text(OWN.replace("forest_of_trees", "breaks"))
    code, page = checked()
    assert code == 2
    assert "[[model]] my-forest, key make: 'tests.own_models.models:breaks' failed: ZeroDivisionError" in page


def test_a_package_beside_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine_beside.py").write_text("from tests.own_models.models import silence\n")
    Path("c360.toml").write_text('[[model]]\nname = "own"\nmake = "mine_beside:silence"\n')
    done = CliRunner().invoke(cli, ["declare", "check"], prog_name="c360")
    assert (done.exit_code, "makes a Silence" in done.output) == (0, True), done.output


def test_doctor_and_models_list_it() -> None:
    Path("c360.toml").write_text(OWN)
    done = CliRunner().invoke(cli, ["doctor"], prog_name="c360")
    assert "[[model]] my-forest: contends: tests.own_models.models:forest_of_trees makes a ARFClassifier" in done.output
    done = CliRunner().invoke(cli, ["models", "--json"], prog_name="c360")
    row = json.loads(done.stdout)["models"][-1]
    assert (row["model_name"], row["part"], row["learns"]) == ("my-forest", "challenger", "matured")
