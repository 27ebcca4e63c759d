"""`c360 declare check`: reads the declarations and makes what they name."""

from __future__ import annotations

import click

from c360_stream.cli.json_output import print_json
from c360_stream.logs.lines import printable
from c360_stream.models.declared import factory
from c360_stream.settings import Settings
from c360_stream.settings.config_file import read_config


def check(settings: Settings, *, as_json: bool = False) -> None:
    """Print what is declared, as lines or as one JSON object.

    Raises
    ------
    ConfigurationError
        If something declared is wrong.
    """
    files = [str(each.absolute()) for each in read_config().files]
    models = [
        {"name": each.name, "make": each.make, "makes": type(factory(each)()).__name__}
        for each in settings.declared_models
    ]
    if as_json:
        print_json({"files": files, "models": models})
        return
    for file in files:
        click.echo(f"read {printable(file)}")
    for model in models:
        click.echo(f"[[model]] {model['name']}: {model['make']} makes a {model['makes']}")
    click.echo("in order" if models else "nothing is declared")
