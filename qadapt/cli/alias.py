"""Command ``alias``: list, switch and drop aliases."""

from __future__ import annotations

from typing import Annotated

import typer

from qadapt.cli.arguments import open_database
from qadapt.cli.command import command
from qadapt.cli.options import Url, word
from qadapt.cli.output import Output, facts
from qadapt.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "alias",
        examples="qadapt alias qdrant+http://localhost:6333 articles articles_v2\n"
        "qadapt alias qdrant+http://localhost:6333 articles --drop",
    )(alias)


def alias(
    out: Output,
    url: Url,
    name: Annotated[str | None, word("ALIAS", "Alias name.")] = None,
    collection: Annotated[str | None, word("COLLECTION", "Target collection.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Delete the alias.")] = False,
) -> None:
    """List, switch or drop aliases."""
    with open_database(url) as database:
        if name is None and (collection or drop):
            raise InputError("ALIAS missing", hint="qadapt alias URL ALIAS COLLECTION")
        if drop and collection is not None:
            raise InputError(
                "--drop and COLLECTION cannot be used together",
                hint="leave out COLLECTION to delete the alias",
            )
        if name is not None and drop:
            database.drop_alias(name)
        elif name is not None and collection is not None:
            database.switch_alias(name, collection)
        known = dict(database.aliases())
    out.document({"aliases": known})
    chosen = {key: each for key, each in known.items() if name in (None, key)}
    if not chosen:
        out.print(f"no alias {name!r}" if name and not drop else "no aliases" if not name else
                  f"dropped alias {name!r}")  # fmt: skip
        return
    out.print(facts(list(chosen.items())))
