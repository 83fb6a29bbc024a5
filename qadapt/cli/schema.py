"""Command ``schema``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from qadapt.cli import completion
from qadapt.cli.command import command
from qadapt.cli.options import word
from qadapt.cli.output import Output
from qadapt.errors import SpecError


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "schema", examples="qadapt schema\nqadapt schema Plan > plan.schema.json")(schema)


def schema(
    out: Output,
    name: Annotated[str | None, word("NAME", "Name of one document.", completion.schemas)] = None,
) -> None:
    """Print the JSON schemas of all documents.

    Without NAME, the names are listed (with --json, all schemas are printed).
    """
    from qadapt.cli.documents import schemas

    known = schemas()
    if name is None:
        out.document(known)
        out.print(*known)
        return
    found = next((key for key in known if key.lower() == name.lower()), None)
    if found is None:
        raise SpecError.unknown("document", name, known)
    if out.json:
        out.document(known[found])
    else:
        out.print(json.dumps(known[found], indent=2, ensure_ascii=False))
