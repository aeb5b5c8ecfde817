"""Writes the reference of the command line from the commands themselves."""

import inspect
import re

import click


def command_reference() -> str:
    """Every command with its arguments and options, in the order of the life of a project."""
    from stoker.cli.main import cli

    context = click.Context(cli, info_name="stoker")
    sections = [_options(cli, context, heading="Options before the command")]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None and not command.hidden:
            sections.append(_section(command, click.Context(command, context, info_name=name)))
    return "\n".join(sections)


def _section(command: click.Command, context: click.Context) -> str:
    name = context.command_path
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", "", f"```text\n{usage}\n```", "", _prose(command.help), ""]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            inner = command.get_command(context, below)
            if inner is not None:
                text = _section(inner, click.Context(inner, context, info_name=below))
                parts.append(text.replace("## ", "### ", 1))
    return "\n".join([*parts, _options(command, context)])


def _options(command: click.Command, context: click.Context, heading: str = "") -> str:
    records = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and parameter.name != "help"
        if (record := parameter.get_help_record(context))
    ]
    if not records:
        return ""
    # Click keeps the help option as it was asked for first: by a page, or by a run of the command.
    records = [(names.removeprefix("-h, "), text) for names, text in records]
    rows = [f"| `{_cell(names)}` | {_cell(_prose(text))} |" for names, text in records]
    title = [f"## {heading}", ""] if heading else []
    return "\n".join([*title, "| option | |", "| --- | --- |", *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _prose(text: str | None) -> str:
    """Help as Markdown: without click's own marks, one paragraph a paragraph."""
    cleaned = inspect.cleandoc(text or "").replace("\b\n", "")
    return re.sub(r"<(\w+)>", r"`\1`", cleaned)
