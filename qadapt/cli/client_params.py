"""Command ``client-params``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qadapt.cli import rendering
from qadapt.cli.arguments import open_database
from qadapt.cli.command import command
from qadapt.cli.options import Collection, Url, VectorName, optional
from qadapt.cli.output import Output, facts, styled

if TYPE_CHECKING:
    from qadapt.model.client_params import ClientParams


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "client-params",
        examples="qadapt client-params edge:./data articles\n"
        "qadapt client-params qdrant+http://localhost:6333 articles --for rest\n"
        "qadapt client-params edge:./data articles --for langchain-qdrant",
    )(client_params)


def client_params(
    out: Output,
    url: Url,
    collection: Collection,
    form: Annotated[
        str | None,
        optional("--for", metavar="FORM", help="Print only the code of this form, such as rest."),
    ] = None,
    vector: VectorName = None,
    k: Annotated[int, typer.Option("--k", "-k", help="Number of results (k).")] = 10,
) -> None:
    """Show what clients must send, with code.

    Search parameters such as oversampling are sent with each search. Clients that do not use
    qadapt must send them too for the same recall.
    """
    with open_database(url) as db:
        subject = db[collection]
        found = subject.client_params(vector=vector, k=k)
        if form is not None and form not in found.code:
            from qadapt.integrations.store_arguments import store_code

            found = found.replace(code={form: store_code(subject, found, form)})
    chosen = found if form is None else found.replace(code={form: found.code[form]})
    out.document(chosen.to_dict())
    if form is not None:
        out.code(found.code[form])
        return
    out.print(styled(found.collection, "bold").append(f"  {rendering.vector(found.vector)}"))
    out.print(facts(params_facts(found, out)))
    for name, code in found.code.items():
        out.print("", styled(name, "bold"), "")
        out.code(code)


def params_facts(found: ClientParams, out: Output) -> list[tuple[str, str]]:
    """Lines about the parameters for other clients, for ``facts``."""
    pairs = [("  clients", out.mask(found.text))]
    if found.kept_text:
        pairs.append(("  kept in", found.kept_text))
    return pairs + [("  note", out.mask(note)) for note in found.notes]
