"""Commands ``verify`` and ``search``."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import rendering
from qadapt.cli.arguments import (
    load_encoder,
    open_collection,
    open_database,
    partial_results,
    read_filter,
    read_filters,
    read_gate,
    read_queries,
    until_interrupted,
)
from qadapt.cli.client_params import params_facts
from qadapt.cli.command import command
from qadapt.cli.options import (
    By,
    ByLimit,
    Collection,
    Disable,
    EmbeddingsKind,
    EncoderName,
    Filters,
    QueriesAsked,
    Url,
    VectorName,
    gate_option,
    optional,
)
from qadapt.cli.output import MISSED, Output, facts, styled, table
from qadapt.cli.render_evaluation import show_memory
from qadapt.errors import InputError

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.evaluation.documents import Verification
    from qadapt.evaluation.results import Result
    from qadapt.model import Guard, Hits, SearchProvenance

SHOWN = 5  # number of queries shown without -v


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "verify",
        examples="qadapt verify edge:./data articles\n"
        "qadapt verify edge:./data articles --queries q.npy --gate 'recall@10>=0.95'",
    )(verify)
    command(
        app,
        "search",
        examples="qadapt search edge:./data articles --queries q.npy --rescore 4\n"
        """qadapt search edge:./data docs --queries q.npy --filter '{"topic": "art"}'\n"""
        "qadapt search edge:./data docs --text 'fast light' --encoder ./my-model",
    )(search)


# -- verify ------------------------------------------------------------------------------------


def verify(
    out: Output,
    url: Url,
    collection: Collection,
    vector: VectorName = None,
    k: Annotated[
        int | None, typer.Option("--k", "-k", help="Number of results (k).  [default: 10]")
    ] = None,
    queries: QueriesAsked = "200",
    kind: EmbeddingsKind = None,
    encoder: EncoderName = None,
    filter_texts: Filters = None,
    by: By = None,
    by_limit: ByLimit = 10,
    truth: Annotated[
        str | None,
        optional(
            "--truth", metavar="FILE",
            help="Vectors for the ground truth, if the collection does not hold them: .npy "
            "(ids in FILE.npy.ids), .fvecs or .parquet.",
        ),
    ] = None,
    gate: Annotated[
        str | None, gate_option("Exit with code 3 if current recall is below this value.")
    ] = None,
) -> int:  # fmt: skip
    """Verify the configuration and measure recall.

    Exits with code 3 if the configuration is not active on the engine or the gate is missed.
    """
    bar, at = read_gate(gate, k)
    chosen = read_filters(filter_texts)
    known = load_encoder(encoder, queries)
    with open_collection(out, url) as (db, on):
        found = until_interrupted(partial(
            db[collection].verify, k=at, queries=read_queries(queries), kind=kind,
            encoder=known, vector=vector, filter=chosen, by=by, by_limit=by_limit, truth=truth,
            progress=on, command=out.again(),
        ))  # fmt: skip
    current = found.recall.value
    met = None if bar is None else found.proof.level != "none" and current >= bar.recall
    reported = None if bar is None else {
        "gate": str(bar), "recall": current, "met": met, "proof": found.proof.to_dict(),
        "ground_truth": found.truth.ground_truth,
    }  # fmt: skip
    out.document({**found.to_dict(), "gate": reported})
    _show_verification(out, found)
    if bar is not None:
        _show_gate(out, bar, found, met is True)
    show_memory(out, found)
    if found.partial:
        return partial_results(out, resume=False)
    return 0 if found.matches_configuration and met is not False else MISSED


def _show_verification(out: Output, found: Verification) -> None:
    from qadapt.evaluation.settings import Setting

    head = styled(found.collection, "bold")
    out.print(head.append(f"  {rendering.vector(found.vector)}", style="dim"))
    word, style = rendering.state(found.status)
    pairs: list[tuple[str, Text | str]] = [
        ("  configured", found.configured),
        ("  verified", styled(word, style)),
    ]
    if found.status.reason:
        pairs.append(("  reason", out.mask(found.status.reason)))
    if found.status.advice:
        pairs.append(("  advice", styled(out.mask(found.status.advice), "yellow")))
    matches_configuration = (
        styled("✓ yes", "green") if found.matches_configuration else styled("✗ no", "bold red")
    )
    pairs.append(("  matches configuration", matches_configuration))
    if out.verbose:
        pairs += [
            (f"  {item.signal}", rendering.value(item.value)) for item in found.status.evidence
        ]
    out.print(facts(pairs), "")
    rows = []
    for item in found.results:
        searched, recall = Setting.of(item.setting), item.recall
        if recall is not None:
            rows.append(
                [
                    f"  {searched.search_label}",
                    *([item.filter, f"{found.matching(item):,}"] if found.truths else []),
                    rendering.recall(recall.value),
                    f"{rendering.recall(recall.low)} to {rendering.recall(recall.high)}",
                    rendering.no_params(item),
                    f"{item.latency[0].mean:.2f}",
                    _rescore(searched.rescore),
                ]
            )
    columns: list[Any] = ["  Search"]
    if found.truths:
        columns += ["Filter", ("Rows", "right")]
    columns += [(f"Recall@{found.k}", "right"), "95 % interval"]
    columns += [("No params", "right")]
    columns += [("ms/query", "right"), "Rescore"]
    out.print(table(columns, rows))
    out.print(styled(NO_PARAMS, "dim"), indent=2)
    if found.client_params is not None and found.client_params.needed:
        out.print(facts(params_facts(found.client_params, out)))
    out.print("")
    matching = "the rows that match" if found.truths else "all rows"
    made = f"ground truth: {found.truth.ground_truth}, {matching}"
    out.print(styled(f"{found.source}; {made}", "dim"), indent=2)
    for note in found.notes:
        out.print(styled(out.mask(note), "yellow"), indent=2)


def under(result: Result) -> str:
    """The filter of a result, for a sentence; empty for all rows."""
    return f" with {result.filter}" if result.filter else ""


NO_PARAMS = "No params: recall of a client that sends no search parameters"


def _rescore(value: Any) -> str:
    return "default" if value is None else rendering.rescore(value)


def _show_gate(out: Output, gate: Guard, found: Verification, met: bool) -> None:
    verdict = styled("✓ gate met", "green") if met else styled("✗ gate missed", "bold red")
    but = f"; {found.proof.reason}" if found.proof.reason else ""
    out.print(
        "",
        verdict.append(
            f"  {gate}, measured {found.recall.value:.4f}{under(found.result('live'))}{but}",
            style="default",
        ),
    )


# -- search ------------------------------------------------------------------------------------


def search(
    out: Output,
    url: Url,
    collection: Collection,
    queries: Annotated[
        str | None, optional("--queries", metavar="Q.npy", help="Query vectors, float32 (nq, d).")
    ] = None,
    text: Annotated[
        list[str] | None,
        optional(
            "--text",
            help="Text query, encoded with --encoder or the saved model. Can be repeated.",
        ),
    ] = None,
    encoder: EncoderName = None,
    k: Annotated[int, typer.Option("--k", "-k", help="Number of results (k).")] = 10,
    rescore: Annotated[
        str | None,
        optional(
            "--rescore",
            metavar="4|candidates=200|off|4@codes",
            help="Oversampling factor, or number of candidates. Default: that of the collection.",
        ),
    ] = None,
    filter_text: Annotated[
        str | None,
        optional("--filter", metavar="JSON", help='Filter, such as \'{"topic": "art"}\'.'),
    ] = None,
    vector: VectorName = None,
    payload: Annotated[bool, typer.Option("--payload", help="Return payloads.")] = False,
    disable: Disable = None,
) -> None:
    """Search a collection."""
    from qadapt.model import Rescore

    wanted = Rescore.of(rescore)
    condition = None if filter_text is None else read_filter(filter_text)
    vectors = _queries(queries, text, encoder)
    with open_database(url, disable) as db:
        if vectors is None:
            from qadapt.api.text_index import query_encoder

            vectors = query_encoder(db[collection]).encode_queries(text or ())
        hits = db[collection].search(
            vectors, k=k, rescore=wanted, filter=condition, vector=vector, with_payload=payload
        )
    out.document(hits.to_dict())
    _show_hits(out, hits)


def _queries(path: str | None, texts: list[str] | None, encoder: str | None) -> Any:
    """Query vectors from a file, or from texts with the encoder; None if the model that is saved
    with the collection encodes them."""
    from qadapt.encoder import load
    from qadapt.evaluation.ground_truth import load_queries

    if path is not None and not texts and encoder is None:
        return load_queries(path)
    if path is None and texts and encoder is not None:
        return load(encoder).encode_queries(texts)
    if path is None and texts:
        return None
    raise InputError(
        "pass either --queries, or --text",
        hint="qadapt search URL COLLECTION --text 'how fast is light' --encoder NAME",
    )


def _show_hits(out: Output, hits: Hits) -> None:
    total = len(hits.ids)
    shown = min(total, SHOWN) if out.out.is_terminal and not out.verbose else total
    rows = []
    for query in range(shown):
        for rank, key in enumerate(hits.ids[query].tolist()):
            if key is None:
                continue
            row = [str(query), str(rank + 1), f"{hits.scores[query, rank]:.5f}", str(key)]
            if hits.payloads is not None:
                row.append(json.dumps(hits.payloads[query][rank], ensure_ascii=False, default=str))
            rows.append(row)
    columns: list[Any] = [("Query", "right"), ("Rank", "right"), ("Score", "right"), "Id"]
    if hits.payloads is not None:
        columns.append("Payload")
    out.print(table(columns, rows) if rows else "no hits")
    if shown < total:
        out.print(
            styled(f"... {total - shown:,} more queries; use -v or --json to show them", "dim")
        )
    out.note(provenance_text(hits.how))
    for note in hits.how.notes:
        out.note(f"  {note}")


_NAMES = {"store": "the database", "qadapt": "qadapt", "store exact": "the database, exact search"}
_CHOSEN = {
    "call": "set in this search",
    "collection": "default of the collection",
    "store default": "default of the database",
}


def provenance_text(how: SearchProvenance) -> str:
    """``searched by the store; rescored by ...`` in one line."""
    parts = [f"searched by {_NAMES.get(how.searcher, how.searcher)}"]
    if how.rescorer == "none" and how.scores == "exact":
        parts.append("nothing to rescore")
    elif how.rescorer == "none":
        parts.append(f"not rescored ({_CHOSEN.get(how.rescore_from, how.rescore_from)})")
    else:
        over = f"over {how.candidates:,} candidates " if how.candidates else ""
        parts.append(
            f"rescored by {_NAMES.get(how.rescorer, how.rescorer)} {over}"
            f"on {how.rescored_on} ({_CHOSEN.get(how.rescore_from, how.rescore_from)})"
        )
    return "; ".join([*parts, f"scores are {how.scores}"])
