"""Measuring on the user's own data: eval, simulate, advise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import complete
from qadapt.cli.frame import command
from qadapt.cli.given import (
    check_accept,
    given_queries,
    load_encoder,
    measuring,
    milliseconds,
    read_gate,
    size,
    write_text,
)
from qadapt.cli.measured import show_advice, show_evaluation, show_gate, show_simulation
from qadapt.cli.options import (
    AcceptWord,
    Collection,
    Disable,
    EncoderName,
    QueriesAsked,
    RamPrice,
    Url,
    VectorName,
    gate_option,
    optional,
    word,
)
from qadapt.cli.output import MISSED, Output
from qadapt.errors import InputError, SpecError

if TYPE_CHECKING:
    from qadapt.evaluation.recall import Proof
    from qadapt.evaluation.results import Evaluation, Simulation
    from qadapt.model import Guard

Settings = Annotated[
    list[str] | None,
    word(
        "[SETTING]...",
        "Such as binary:rescore=4, perhaps with search options: 'binary hnsw_ef=128'.",
        complete.quantizations,
    ),
]
K = Annotated[int | None, typer.Option("--k", "-k", help="Of how many results.  [default: 10]")]
Gate = Annotated[
    str | None,
    gate_option(
        "Exit with 3 when a setting that was asked for (the live one, if none was) is under this."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Of what is drawn.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="No exact truth of an earlier call.")]
Memory = Annotated[str, typer.Option("--memory", metavar="SIZE", help="For the exact truth.")]
CopyRows = Annotated[
    int, typer.Option("--copy-rows", help="Settings are tried on a copy of at most so many rows.")
]
SampleRows = Annotated[
    int, typer.Option("--sample-rows", help="So many rows stand for all in a simulation.")
]
BuildTimeout = Annotated[
    float, typer.Option("--build-timeout", help="Seconds that one setting may take.")
]
Saved = Annotated[
    Path | None,
    optional("--output", "-o", metavar="FILE.json", help="Keep the result, for `qadapt report`."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "eval",
        examples="qadapt eval edge:./data articles\n"
        "qadapt eval edge:./data articles binary:rescore=4 rotational:bits=4 --queries q.npy\n"
        "qadapt eval edge:./data articles 'live:rescore=8 hnsw_ef=256' --gate 'recall@10>=0.95'",
    )(evaluate)
    command(
        app,
        "simulate",
        examples="qadapt simulate edge:./data articles binary binary:rescore=4 scalar",
    )(simulate)
    command(
        app,
        "advise",
        examples="qadapt advise edge:./data articles --recall 0.98\n"
        "qadapt advise edge:./data articles --max-ram 8GB --max-latency 20ms -o spec.yaml",
    )(advise)


# -- eval --------------------------------------------------------------------------------------


def evaluate(
    out: Output,
    url: Url,
    collection: Collection,
    settings: Settings = None,
    vector: VectorName = None,
    k: K = None,
    queries: QueriesAsked = "200",
    encoder: EncoderName = None,
    labels: Annotated[
        str | None,
        optional("--labels", metavar="QRELS",
                 help="Relevance labels: BEIR's TSV, TREC's qrels, JSON."),
    ] = None,
    label_field: Annotated[
        str | None,
        optional("--label-field", metavar="FIELD",
                 help="The payload field with the labels' document id; else the row's id."),
    ] = None,
    query_ids: Annotated[
        Path | None,
        optional("--query-ids", metavar="FILE",
                 help="The labels' query ids, one a line, for queries in a .npy file."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live/--no-live", help="The collection as it is, too.")
    ] = True,
    rows: Annotated[
        int | None,
        optional("--rows",
                 help="Exact truth over a sample of so many rows: recall is then bounded."),
    ] = None,
    copy_rows: CopyRows = 20_000,
    concurrency: Annotated[
        str, typer.Option("--concurrency", metavar="1,4", help="Queries in flight; 0: no timing.")
    ] = "1,4",
    seconds: Annotated[float, typer.Option("--seconds", help="Of timing, each.")] = 2.0,
    memory: Memory = "512MiB",
    build_timeout: BuildTimeout = 600.0,
    accept: AcceptWord = "differs",
    seed: Seed = 0,
    fresh: Fresh = False,
    gate: Gate = None,
    output: Saved = None,
    disable: Disable = None,
) -> int:  # fmt: skip
    """Recall, nDCG, latency and bytes on your own data.

    As the collection is, and with other settings on a copied sample.

    Other settings are tried on a copied sample, which is removed afterwards, whatever happens.
    Exits with 3 when a gate was missed.
    """
    bar, at = read_gate(gate, k)
    allowed = check_accept(accept)
    known = load_encoder(encoder, queries)
    names = None if query_ids is None else _lines(query_ids)
    with measuring(out, url, disable) as (db, on):
        found = db[collection].evaluate(
            *(settings or ()), vector=vector, k=at, queries=given_queries(queries), encoder=known,
            query_ids=names, labels=labels, label_field=label_field, live=live, rows=rows,
            copy_rows=copy_rows, concurrency=_numbers(concurrency), seconds=seconds,
            memory=size(memory), timeout=build_timeout, accept=allowed, seed=seed, fresh=fresh,
            progress=on, command=out.again(),
        )  # fmt: skip
    asked = set(settings or ())
    judged = [item for item in found.results if item.where != "live" or not asked]
    return _told(out, found, bar, judged, output, show_evaluation)


def simulate(
    out: Output,
    url: Url,
    collection: Collection,
    settings: Settings = None,
    vector: VectorName = None,
    k: K = None,
    queries: QueriesAsked = "200",
    encoder: EncoderName = None,
    sample_rows: SampleRows = 10_000,
    segments: Annotated[
        int, typer.Option("--segments", help="Segments that each contribute candidates.")
    ] = 1,
    memory: Memory = "512MiB",
    seed: Seed = 0,
    fresh: Fresh = False,
    gate: Gate = None,
    output: Saved = None,
    disable: Disable = None,
) -> int:
    """What recall settings will have; nothing is changed.

    By models of the engine's codes, on a sample of your vectors.

    Exits with 3 when a setting's predicted recall misses the gate.
    """
    from qadapt.evaluation.choosing import CODES

    bar, at = read_gate(gate, k)
    known = load_encoder(encoder, queries)
    with measuring(out, url, disable) as (db, on):
        found = db[collection].simulate(
            *(settings or CODES), vector=vector, k=at, queries=given_queries(queries),
            encoder=known, sample_rows=sample_rows, segments=segments, memory=size(memory),
            seed=seed, fresh=fresh, progress=on, command=out.again(),
        )  # fmt: skip
    return _told(out, found, bar, found.results, output, show_simulation)


def advise(
    out: Output,
    url: Url,
    collection: Collection,
    recall: Annotated[float, typer.Option("--recall", help="Recall that must be met, 0 to 1.")],
    vector: VectorName = None,
    k: K = None,
    max_ram: Annotated[
        str | None,
        optional("--max-ram", metavar="8GB", help="RAM that the whole collection may take."),
    ] = None,
    max_latency: Annotated[
        str | None,
        optional("--max-latency", metavar="20ms", help="Of one query at the 95th percentile."),
    ] = None,
    price: RamPrice = None,
    code: Annotated[
        list[str] | None,
        optional("--code", metavar="QUANTIZATION", help="Choose from these; may be repeated."),
    ] = None,
    queries: QueriesAsked = "200",
    encoder: EncoderName = None,
    confirm: Annotated[
        bool, typer.Option("--confirm/--no-confirm", help="Try on the engine, on a copied sample.")
    ] = True,
    sample_rows: SampleRows = 10_000,
    copy_rows: CopyRows = 20_000,
    build_timeout: BuildTimeout = 600.0,
    accept: AcceptWord = "differs",
    seed: Seed = 0,
    fresh: Fresh = False,
    output: Annotated[
        Path | None,
        optional("--output", "-o", metavar="SPEC.yaml",
                 help="The advice as a spec file, for `qadapt plan -f`."),
    ] = None,
    disable: Disable = None,
) -> int:  # fmt: skip
    """The cheapest setting that meets a target.

    With the next one, and what was ruled out and why.

    From simulation first, then confirmed on the engine, on a copied sample. Exits with 3 when
    nothing meets the target.
    """
    from qadapt.evaluation.choosing import CODES
    from qadapt.evaluation.results import Target

    target = Target(
        recall, 10 if k is None else k, None if max_ram is None else size(max_ram),
        None if max_latency is None else milliseconds(max_latency), price,
    )  # fmt: skip
    allowed = check_accept(accept)
    known = load_encoder(encoder, queries)
    with measuring(out, url, disable) as (db, on):
        found = db[collection].advise(
            target, vector=vector, queries=given_queries(queries), encoder=known, confirm=confirm,
            codes=code or CODES, sample_rows=sample_rows, copy_rows=copy_rows, seed=seed,
            fresh=fresh, timeout=build_timeout, accept=allowed, progress=on, command=out.again(),
        )  # fmt: skip
    out.document(found.to_dict())
    if output is not None and found.best is not None:
        write_text(output, found.spec, "spec")
    show_advice(out, found)
    if output is not None and found.best is not None:
        out.note(f"kept in {output}; see what it changes: qadapt plan -f {output}")
    return 0 if found.best is not None else MISSED


# -- what was typed ----------------------------------------------------------------------------


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--concurrency is a list such as 1,4; got {text!r}") from None
    return () if found == (0,) else found


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read query ids from {path}: {error}") from error


# -- what is told ------------------------------------------------------------------------------


def _told(
    out: Output,
    found: Evaluation | Simulation,
    bar: Guard | None,
    judged: Any,
    output: Path | None,
    show: Callable[[Output, Any], None],
) -> int:
    """Tell what was measured, keep it where that was asked; the exit code says if a gate held."""
    told, met = _judge(bar, judged, found.proof)
    out.document({**found.to_dict(), "gate": told})
    if output is not None:
        write_text(output, found.to_json() + "\n", "result")
        out.note(f"kept in {output}")
    show(out, found)
    show_gate(out, bar, told)
    return 0 if met else MISSED


def _judge(bar: Guard | None, results: Any, proof: Proof) -> tuple[dict[str, Any] | None, bool]:
    """The gate's answer as a document, and whether it was met."""
    if bar is None:
        return None, True
    values = [item.recall.value if item.recall is not None else 0.0 for item in results]
    least = min(values, default=0.0)
    met = proof.level != "none" and least >= bar.recall
    return {"gate": str(bar), "value": least, "met": met, "proof": proof.to_dict()}, met
