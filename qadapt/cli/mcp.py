"""Command ``mcp``: a server of the Model Context Protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from qadapt.cli.command import command
from qadapt.cli.options import Url
from qadapt.cli.output import Output
from qadapt.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "mcp",
        examples="qadapt mcp edge:./data\nqadapt mcp qdrant+http://localhost:6333 --allow-apply",
    )(mcp)


def mcp(
    out: Output,
    url: Url,
    allow_apply: Annotated[
        bool,
        typer.Option(
            "--allow-apply", help="Add a tool that applies plans; it asks the user before each."
        ),
    ] = False,
) -> None:
    """Serve the read-only commands to an AI assistant (MCP).

    An assistant starts this command and talks to it on standard input and output. The tools are
    inspect, doctor, plan, cost, advise and verify, and read only; with --allow-apply there is also
    one that changes the quantization, which asks the user first. The key of the database comes
    from the environment, as for all commands.
    """
    if out.json:
        raise InputError("--json has no effect here", hint="the protocol is JSON; omit --json")
    from qadapt.integrations.mcp import server

    server(url, allow_apply=allow_apply).run()
