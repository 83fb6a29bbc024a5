"""The typer application: all commands, error handling and exit codes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

import qadapt
from qadapt.cli import (
    alias,
    change,
    client_params,
    command,
    cost,
    demo,
    doctor,
    evaluate,
    files,
    history,
    indexing,
    inspection,
    mcp,
    migrate,
    report,
    schema,
    searching,
    watch,
)
from qadapt.cli.output import INTERRUPTED, Output

app = typer.Typer(
    name="qadapt",
    help="Configure, verify and measure vector quantization in any vector database.",
    epilog="Use `qadapt COMMAND --help` for options and examples.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
for _module in (
    inspection,
    schema,
    change,
    history,
    searching,
    client_params,
    evaluate,
    cost,
    doctor,
    report,
    migrate,
    files,
    indexing,
    alias,
    mcp,
    watch,
    demo,
):
    _module.register(app)

# Base class of typer's usage errors. Newer versions of typer contain a copy of click, older ones
# import it, so the class cannot be imported by name.
_UsageError: type[Exception] = next(
    cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException"
)


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    json: Annotated[bool, typer.Option("--json", hidden=True)] = False,
) -> None:
    out = Output(json=json)
    if version:
        out.document({"qadapt": qadapt.__version__})
        out.print(f"qadapt {qadapt.__version__}")
        raise typer.Exit(0)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = command.after_the_command(sys.argv[1:] if args is None else args)
    command.typed[:] = words
    out = command.output_of(words)
    try:
        return command.run_guarded(out, lambda: _run(words, out))
    except KeyboardInterrupt:  # a second Ctrl-C while the first one was reported
        return INTERRUPTED


def _run(words: list[str], out: Output) -> int:
    try:
        code = _commands()(words, prog_name="qadapt", standalone_mode=False)
    except _UsageError as error:
        # Only a usage error has a context, which names the command.
        ctx = getattr(error, "ctx", None)
        path = ctx.command_path if ctx is not None else "qadapt"
        return out.usage(_sentence(error), f"for help, run: {path} --help")
    except SystemExit as error:  # raised by typer's completion
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return code if isinstance(code, int) else 0


@functools.cache
def _commands() -> Callable[..., Any]:
    """The parsers of all commands, which typer otherwise builds for each call."""
    return get_command(app)


def _sentence(error: BaseException) -> str:
    """Message of a typer error in qadapt's style: lower case, no full stop."""
    text = str(error.format_message() if hasattr(error, "format_message") else error).rstrip(".")
    return text[:1].lower() + text[1:]
