"""Verbs about templates: list, show, render."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli.errors import NOT_FOUND, USAGE, CliError
from openbell.cli.options import ConfigFile, Output
from openbell.cli.render import Format, Printer, say

if TYPE_CHECKING:
    from openbell.config.template_file import Template

_COLUMNS = ("parameter", "type", "default", "help")

TemplateName = Annotated[str, typer.Argument(metavar="NAME", help="A template.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="Pipelines with parameters, ready to use.")
    group.command("list")(listing)
    group.command()(show)
    group.command()(render)
    app.add_typer(group, name="template")


def listing(output: Output = Format.TABLE) -> None:
    """List the templates that openbell and its plugins bring."""
    from openbell.plugin_host import load_plugins

    registry = load_plugins()
    rows = [
        {"template": spec.name, "summary": spec.summary, "resource": spec.resource}
        for spec in registry.templates.values()
    ]
    Printer(output).rows(rows, ("template", "summary"))


def show(name: TemplateName, output: Output = Format.TABLE) -> None:
    """Show what a template is for and its parameters."""
    template = _template(name)
    rows: list[dict[str, Any]] = [
        {
            "parameter": parameter,
            "type": section.type,
            "default": "required" if section.is_required else section.default,
            "help": section.help,
        }
        for parameter, section in template.params.items()
    ]
    if output is Format.TABLE:
        say(template.about)
        Printer(output).rows(rows, _COLUMNS)
    else:
        Printer(output).record({"template": name, "about": template.about, "params": rows})


def render(
    *,
    name: TemplateName,
    params: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="A parameter; YAML is understood."),
    ] = None,
    pipeline: Annotated[str, typer.Option("--name", help="The name of the pipeline.")] = "rendered",
    config: ConfigFile = None,
    output: Output = Format.YAML,
) -> None:
    """Write a template out as the pipeline that it makes, to look at or to change by hand.

    With a configuration its datasets are known, and what they say need not be given.
    """
    from openbell.app.templates import rendered
    from openbell.cli.configuration import bad_config
    from openbell.model.places import config_file
    from openbell.plugin_host import load_plugins
    from openbell.sdk.errors import SettingsError

    given = dict(_given(text) for text in params or ())
    try:
        found = rendered(
            load_plugins(),
            template=_template(name).name,
            pipeline=pipeline,
            arguments=given,
            config=config_file(os.environ, config),
        )
    except SettingsError as error:
        raise bad_config(error) from error
    shown = Format.YAML if output is Format.TABLE else output
    Printer(shown).record({"pipelines": {pipeline: found}})


def _template(name: str) -> Template:
    from openbell.config.invalid import nearest
    from openbell.config.template_file import read_template
    from openbell.plugin_host import load_plugins
    from openbell.sdk.errors import SettingsError

    templates = load_plugins().templates
    spec = templates.get(name)
    if spec is None:
        raise CliError(
            NOT_FOUND, f"template {name!r} does not exist", hint=nearest(name, templates)
        )
    try:
        return read_template(spec)
    except SettingsError as error:
        from openbell.cli.configuration import bad_config

        raise bad_config(error) from error


def _given(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CliError(USAGE, f"-p {text!r} is not understood", hint="write -p KEY=VALUE")
    return key, value
