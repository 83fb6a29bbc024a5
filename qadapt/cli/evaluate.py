"""Commands ``eval``, ``simulate`` and ``advise``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import completion
from qadapt.cli.arguments import (
    check_accept,
    load_encoder,
    milliseconds,
    open_collection,
    partial_results,
    read_filters,
    read_gate,
    read_queries,
    size,
    until_interrupted,
    write_text,
)
from qadapt.cli.command import command
from qadapt.cli.options import (
    AcceptWord,
    By,
    ByLimit,
    Collection,
    Disable,
    DiskPrice,
    EmbeddingsKind,
    EncoderName,
    Filters,
    QueriesAsked,
    RamPrice,
    Url,
    VectorName,
    gate_option,
    optional,
    word,
)
from qadapt.cli.output import MISSED, Output
from qadapt.cli.render_evaluation import (
    show_advice,
    show_evaluation,
    show_gate,
    show_memory,
    show_simulation,
)
from qadapt.errors import InputError, SpecError

if TYPE_CHECKING:
    from qadapt.evaluation.documents import Evaluation, Simulation
    from qadapt.evaluation.proof import Proof
    from qadapt.model import Guard

Settings = Annotated[
    list[str] | None,
    word(
        "SETTING",
        "Setting to measure, such as binary:rescore=4; search options can follow: "
        "'binary hnsw_ef=128'.",
        completion.quantizations,
    ),
]
K = Annotated[int | None, typer.Option("--k", "-k", help="Number of results (k).  [default: 10]")]
Gate = Annotated[
    str | None,
    gate_option(
        "Exit with code 3 if a requested setting (default: the live one) is below this value."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Ignore cached ground truth.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Reuse the results of an interrupted run of this command."),
]
Memory = Annotated[
    str, typer.Option("--memory", metavar="SIZE", help="Memory limit for computing ground truth.")
]
CopyRows = Annotated[
    int,
    typer.Option(
        "--copy-rows", help="Maximum number of rows in the copy on which settings are measured."
    ),
]
SampleRows = Annotated[int, typer.Option("--sample-rows", help="Number of rows to simulate.")]
BuildTimeout = Annotated[
    float, typer.Option("--build-timeout", help="Time limit for building one setting, in seconds.")
]
Saved = Annotated[
    Path | None,
    optional("--output", "-o", metavar="FILE.json", help="Save the result, for `qadapt report`."),
]


SIMULATED = ("differs", "client")  # values of --accept of simulate


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "eval",
        examples="qadapt eval edge:./data articles\n"
        "qadapt eval edge:./data docs binary:rescore=4,originals=disk --price 3.8\n"
        "qadapt eval edge:./data articles 'live:rescore=8 hnsw_ef=256'",
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
        "qadapt advise edge:./data articles --recall 0.95 --max-ram 8GB -o spec.yaml",
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
    kind: EmbeddingsKind = None,
    encoder: EncoderName = None,
    labels: Annotated[
        str | None,
        optional("--labels", metavar="QRELS",
                 help="Relevance labels: BEIR TSV, TREC qrels or JSON."),
    ] = None,
    label_field: Annotated[
        str | None,
        optional("--label-field", metavar="FIELD",
                 help="Payload field with the document id of the labels. Default: row id."),
    ] = None,
    query_ids: Annotated[
        Path | None,
        optional("--query-ids", metavar="FILE",
                 help="Query ids of the labels, one per line, for queries in a .npy file."),
    ] = None,
    filter_texts: Filters = None,
    by: By = None,
    by_limit: ByLimit = 10,
    live: Annotated[
        bool, typer.Option("--live/--no-live", help="Also measure the live collection.")
    ] = True,
    rows: Annotated[
        int | None,
        optional("--rows",
                 help="Compute ground truth on a sample of rows; recall is then an estimate."),
    ] = None,
    copy_rows: CopyRows = 20_000,
    concurrency: Annotated[
        str, typer.Option("--concurrency", metavar="1,4",
                          help="Concurrent queries; 0 disables timing.")
    ] = "1,4",
    seconds: Annotated[float, typer.Option("--seconds", help="Seconds per timing.")] = 2.0,
    memory: Memory = "512MiB",
    build_timeout: BuildTimeout = 600.0,
    accept: AcceptWord = "differs",
    seed: Seed = 0,
    fresh: Fresh = False,
    resume: Resume = False,
    gate: Gate = None,
    price: RamPrice = None,
    disk_price: DiskPrice = None,
    output: Saved = None,
    disable: Disable = None,
) -> int:  # fmt: skip
    """Measure recall, nDCG, latency and size of settings.

    The live collection is measured unchanged. Other settings are measured on a copy of a sample,
    which is always removed afterwards. Exits with code 3 if the gate is missed.
    """
    from qadapt.model import Prices

    bar, at = read_gate(gate, k)
    allowed = check_accept(accept)
    known = load_encoder(encoder, queries)
    names = None if query_ids is None else _lines(query_ids)
    chosen = read_filters(filter_texts)
    with open_collection(out, url, disable) as (db, on):
        found = until_interrupted(partial(
            db[collection].evaluate, *(settings or ()), vector=vector, k=at,
            queries=read_queries(queries), kind=kind, encoder=known, query_ids=names, labels=labels,
            label_field=label_field, filter=chosen, by=by, by_limit=by_limit, live=live,
            rows=rows, copy_rows=copy_rows, concurrency=_numbers(concurrency), seconds=seconds,
            memory=size(memory), timeout=build_timeout, accept=allowed, seed=seed, fresh=fresh,
            resume=resume, progress=on, command=out.again(), prices=Prices(price, disk_price),
        ))  # fmt: skip
    asked = set(settings or ())
    judged = [item for item in found.results if item.where != "live" or not asked]
    return _finish(out, found, bar, judged, output, show_evaluation)


def simulate(
    out: Output,
    url: Url,
    collection: Collection,
    settings: Settings = None,
    vector: VectorName = None,
    k: K = None,
    queries: QueriesAsked = "200",
    kind: EmbeddingsKind = None,
    encoder: EncoderName = None,
    filter_texts: Filters = None,
    by: By = None,
    by_limit: ByLimit = 10,
    sample_rows: SampleRows = 10_000,
    segments: Annotated[
        int, typer.Option("--segments", help="Segments that each contribute candidates.")
    ] = 1,
    memory: Memory = "512MiB",
    accept: Annotated[
        str,
        typer.Option(
            "--accept",
            metavar="differs|client",
            help="client: also predict client-side codes, where the database has none.",
            autocompletion=completion.words(SIMULATED),
        ),
    ] = "differs",
    seed: Seed = 0,
    fresh: Fresh = False,
    resume: Resume = False,
    gate: Gate = None,
    output: Saved = None,
    disable: Disable = None,
) -> int:
    """Predict recall without changing anything.

    Models of the quantizers of each engine run on a sample of your vectors. Exits with code 3 if a
    predicted recall misses the gate.
    """
    from qadapt.evaluation.shortlist import default_codes

    bar, at = read_gate(gate, k)
    allowed = check_accept(accept, SIMULATED)
    known = load_encoder(encoder, queries)
    with open_collection(out, url, disable) as (db, on):
        found = until_interrupted(partial(
            db[collection].simulate, *(settings or default_codes(db._store)), vector=vector, k=at,
            queries=read_queries(queries), kind=kind, encoder=known,
            filter=read_filters(filter_texts), by=by, by_limit=by_limit,
            sample_rows=sample_rows, segments=segments, memory=size(memory),
            accept=allowed, seed=seed, fresh=fresh, resume=resume, progress=on, command=out.again(),
        ))  # fmt: skip
    return _finish(out, found, bar, found.results, output, show_simulation)


def advise(
    out: Output,
    url: Url,
    collection: Collection,
    recall: Annotated[float, typer.Option("--recall", help="Required recall, 0 to 1.")],
    vector: VectorName = None,
    k: K = None,
    max_ram: Annotated[
        str | None,
        optional("--max-ram", metavar="8GB", help="Maximum RAM of the collection."),
    ] = None,
    max_latency: Annotated[
        str | None,
        optional("--max-latency", metavar="20ms",
                 help="Maximum latency of one query (95th percentile)."),
    ] = None,
    price: RamPrice = None,
    code: Annotated[
        list[str] | None,
        optional("--code", metavar="QUANTIZATION", help="Consider this setting. Can be repeated."),
    ] = None,
    queries: QueriesAsked = "200",
    kind: EmbeddingsKind = None,
    encoder: EncoderName = None,
    filter_texts: Filters = None,
    by: By = None,
    by_limit: ByLimit = 10,
    confirm: Annotated[
        bool, typer.Option("--confirm/--no-confirm", help="Confirm on the engine, on a sample.")
    ] = True,
    sample_rows: SampleRows = 10_000,
    copy_rows: CopyRows = 20_000,
    build_timeout: BuildTimeout = 600.0,
    accept: AcceptWord = "differs",
    seed: Seed = 0,
    fresh: Fresh = False,
    resume: Resume = False,
    output: Annotated[
        Path | None,
        optional("--output", "-o", metavar="SPEC.yaml",
                 help="Save the result as a spec file, for `qadapt plan -f`."),
    ] = None,
    disable: Disable = None,
) -> int:  # fmt: skip
    """Find the cheapest setting that meets a target.

    Shows the best setting, the runner-up, and why others were ruled out. Candidates are simulated,
    then confirmed on the engine. Exits with code 3 if no setting meets the target.
    """
    from qadapt.evaluation.documents import Target

    target = Target(
        recall, 10 if k is None else k, None if max_ram is None else size(max_ram),
        None if max_latency is None else milliseconds(max_latency), price,
    )  # fmt: skip
    allowed = check_accept(accept)
    known = load_encoder(encoder, queries)
    with open_collection(out, url, disable) as (db, on):
        found = until_interrupted(partial(
            db[collection].advise, target, vector=vector, queries=read_queries(queries), kind=kind,
            encoder=known, filter=read_filters(filter_texts), by=by, by_limit=by_limit,
            confirm=confirm, codes=code or None, sample_rows=sample_rows, copy_rows=copy_rows,
            seed=seed, fresh=fresh, resume=resume, timeout=build_timeout, accept=allowed,
            progress=on, command=out.again(),
        ))  # fmt: skip
    out.document(found.to_dict())
    if output is not None and found.best is not None:
        write_text(output, found.spec, "spec")
    show_advice(out, found)
    if output is not None and found.best is not None:
        out.note(f"saved to {output}; to plan the change: qadapt plan -f {output}")
    if found.partial:
        return partial_results(out)
    return 0 if found.best is not None else MISSED


# -- arguments -----------------------------------------------------------------------------------


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError(
            f"--concurrency takes a list such as 1,4; got {text!r}",
            hint="for example --concurrency 1,4",
        ) from None
    return () if found == (0,) else found


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read query ids from {path}: {error}",
            hint="pass a text file with one id per line",
        ) from error


# -- results -------------------------------------------------------------------------------------


def _finish(
    out: Output,
    found: Evaluation | Simulation,
    bar: Guard | None,
    judged: Any,
    output: Path | None,
    show: Callable[[Output, Any], None],
) -> int:
    """Print and save results; the exit code reports whether a gate was met."""
    if found.partial:
        bar = None  # a gate judges all settings
    reported, met = _judge(bar, found.proven(judged), found.proof)
    out.document({**found.to_dict(), "gate": reported})
    if output is not None:
        write_text(output, found.to_json() + "\n", "result")
        out.note(f"saved to {output}")
    show(out, found)
    show_gate(out, bar, reported)
    show_memory(out, found)
    if found.partial:
        return partial_results(out)
    return 0 if met else MISSED


def _judge(bar: Guard | None, results: Any, proof: Proof) -> tuple[dict[str, Any] | None, bool]:
    """Result of the gate as a document, and whether it was met."""
    if bar is None:
        return None, True
    values = [item.recall.value if item.recall is not None else 0.0 for item in results]
    least = min(values, default=0.0)
    met = proof.level != "none" and least >= bar.recall
    return {"gate": str(bar), "value": least, "met": met, "proof": proof.to_dict()}, met
