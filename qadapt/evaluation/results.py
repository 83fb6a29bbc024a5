"""What measuring, simulating and advising give: plain data, which goes to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from qadapt.evaluation.recall import Proof, weakest_proof
from qadapt.model import (
    Match,
    Metric,
    Quantization,
    Rescore,
    SearchProvenance,
    Serializable,
    Server,
    Status,
)
from qadapt.model.data import Datatype

ResultState = Literal["measured", "predicted", "unsupported", "failed", "not obeyed"]


@dataclass(frozen=True)
class Figure(Serializable):
    """A mean over the queries, and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency(Serializable):
    """How long searches take, in milliseconds.

    Attributes:
        phase: ``cold``: each query for the first time, one at a time, just after opening;
            ``warm``: again.
        concurrency: queries in flight.
        p50, p95, p99, mean: of one query as the client waits for it; nothing is subtracted.
        throughput: queries a second.
        queries: how many were timed.
        client_ms: for comparison, the median of the same request, one at a time, to a collection
            of a few rows: about what the client and the way to the store take. None where it was
            not measured (a collection as it is, measured without candidates, is only read).
    """

    phase: Literal["cold", "warm"]
    concurrency: int
    p50: float
    p95: float
    p99: float
    mean: float
    throughput: float
    queries: int
    client_ms: float | None = None


@dataclass(frozen=True)
class Bytes(Serializable):
    """Bytes as the engine reports them, or as its files show.

    Attributes:
        codes, originals: None where it can't be told.
        codes_ram ... originals_disk: where they are, by what is configured.
        rows: of how many rows.
        source: who says so.
    """

    codes: int | None
    originals: int | None
    codes_ram: int | None
    codes_disk: int | None
    originals_ram: int | None
    originals_disk: int | None
    rows: int
    source: str


@dataclass(frozen=True)
class Labels(Serializable):
    """Against relevance labels.

    Attributes:
        recall, ndcg: at k.
        queries: how many have a label.
        exact_recall, exact_ndcg: of the exact float32 search, for comparison.
    """

    recall: Figure
    ndcg: Figure
    queries: int
    exact_recall: float
    exact_ndcg: float


@dataclass(frozen=True)
class Prediction(Serializable):
    """What a model said before anything was measured.

    Attributes:
        recall: at k, the interval widened by what the model was seen to be off.
        model: its name.
        validated: whether the model was within 0.02 of the engine wherever it was checked.
        notes: against which engine, or that against none.
    """

    recall: Figure
    model: str
    validated: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result(Serializable):
    """One setting.

    Attributes:
        setting: as asked, such as ``binary:query_bits=8,rescore=4``; ``live`` is as it is.
        quantization, rescore, options: the same in parts; rescore None is the store's default.
        target: what the store made of it.
        match: how near that comes to what was asked.
        where: ``live`` collection, ``copy`` of a sample, or ``simulated``.
        state: what came of it.
        status: as seen, with evidence.
        recall: at k: hits whose exact score reaches that of the k-th exact neighbour.
        ndcg: at k against truth; the gain of the r-th exact neighbour is k + 1 - r.
        overlap: average overlap with the exact order at depths 1 to k.
        score_error: mean difference of a hit's score from its exact one, where that is known.
        labels: against relevance labels.
        latency, bytes, bytes_per_vector: codes, or the floats where there are none.
        how: who searched, who rescored.
        predicted: what simulation said.
        notes: what a reader must know.
    """

    setting: str
    quantization: Quantization
    rescore: Rescore | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    target: str = ""
    match: Match | None = None
    where: Literal["live", "copy", "simulated"] = "live"
    state: ResultState = "measured"
    status: Status | None = None
    recall: Figure | None = None
    ndcg: Figure | None = None
    overlap: Figure | None = None
    score_error: float | None = None
    labels: Labels | None = None
    latency: tuple[Latency, ...] = ()
    bytes: Bytes | None = None
    bytes_per_vector: float | None = None
    how: SearchProvenance | None = None
    predicted: Prediction | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Truth(Serializable):
    """Exact neighbours: over how many rows, and what that means.

    Attributes:
        rows, total_rows: rows that were read, of so many in the collection.
        k, queries: neighbours of each query, and how many.
        source: where the queries came from.
        seconds: it took; those of the first time where it was cached.
        cached: whether it was kept from an earlier call.
        exact: whether all rows were read.
        bound: what truth over a sample allows to say; empty where it is exact.
        ground_truth: the vectors that exact scores were computed from.
        proof: how much a recall against it proves.
    """

    rows: int
    total_rows: int
    k: int
    queries: int
    source: str
    seconds: float
    cached: bool = False
    exact: bool = True
    bound: str = ""
    ground_truth: str = ""
    proof: Proof = field(default_factory=Proof)


@dataclass(frozen=True)
class Evaluation(Serializable):
    """Measurements of one vector of a collection; the live setting comes first.

    Attributes:
        truth: the exact neighbours in the collection.
        copy_truth: those in the copy that candidates ran on, where that is not all rows.
    """

    store: str
    server: Server
    collection: str
    vector: str
    dim: int
    metric: Metric
    datatype: Datatype
    count: int
    k: int
    queries: int
    source: str
    truth: Truth
    results: tuple[Result, ...]
    copy_rows: int | None = None
    created: str = ""
    command: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    copy_truth: Truth | None = None
    format: Literal["qadapt.evaluation/1"] = "qadapt.evaluation/1"

    @property
    def proof(self) -> Proof:
        """How much the least proven of its recalls proves."""
        truths = (self.truth, self.copy_truth)
        return weakest_proof(each.proof for each in truths if each is not None)

    def result(self, setting: str) -> Result:
        """The result of one setting.

        Raises:
            KeyError: it was not asked for.
        """
        return _named(self.results, setting)


@dataclass(frozen=True)
class Simulation(Serializable):
    """Predictions for one vector; ``store`` is empty where arrays were given."""

    store: str
    engine: str
    collection: str
    vector: str
    dim: int
    metric: Metric
    datatype: Datatype
    count: int
    k: int
    queries: int
    source: str
    truth: Truth
    results: tuple[Result, ...]
    sample_rows: int
    created: str = ""
    command: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    format: Literal["qadapt.simulation/1"] = "qadapt.simulation/1"

    @property
    def proof(self) -> Proof:
        """How much its recalls prove."""
        return self.truth.proof

    def result(self, setting: str) -> Result:
        """The result of one setting.

        Raises:
            KeyError: it was not asked for.
        """
        return _named(self.results, setting)


@dataclass(frozen=True)
class Target(Serializable):
    """What a setting must meet; None where it was not asked.

    Attributes:
        recall, k: recall@k that must be met.
        max_ram: bytes of the whole collection.
        max_latency_ms: of one query at the 95th percentile, warm, one at a time.
        price: of a GiB of RAM and month, in whatever money.
    """

    recall: float
    k: int = 10
    max_ram: int | None = None
    max_latency_ms: float | None = None
    price: float | None = None


@dataclass(frozen=True)
class Option(Serializable):
    """A setting that meets the target.

    Attributes:
        recall: measured or predicted, as ``source`` says.
        ram, disk: bytes of the whole collection: codes, originals where they are kept, graph.
        latency_ms: 95th percentile, warm, one at a time; None where it was not measured.
        monthly: ``price`` times RAM.
        reasons: why it was chosen.
    """

    setting: str
    quantization: Quantization
    rescore: Rescore | None
    recall: Figure
    source: Literal["measured", "predicted"]
    ram: int
    disk: int
    latency_ms: float | None = None
    monthly: float | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuledOut(Serializable):
    """A setting that does not meet the target, and why."""

    setting: str
    reason: str
    recall: Figure | None = None
    ram: int | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class Advice(Serializable):
    """What to choose.

    Attributes:
        target: what was asked for.
        best, runner_up: None where nothing met it.
        ruled_out: what did not, and why.
        simulation: the predictions that it began with.
        evaluation: what was confirmed on the live engine; None where nothing was asked of it.
        spec: a spec file that ``qadapt plan -f`` takes; empty where nothing met the target.
        confirmed: whether ``best`` was measured.
    """

    store: str
    collection: str
    vector: str
    target: Target
    best: Option | None
    runner_up: Option | None
    ruled_out: tuple[RuledOut, ...]
    simulation: Simulation
    evaluation: Evaluation | None = None
    spec: str = ""
    confirmed: bool = False
    created: str = ""
    command: str = ""
    notes: tuple[str, ...] = ()
    format: Literal["qadapt.advice/1"] = "qadapt.advice/1"


def now() -> str:
    """The time, ISO 8601 UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _named(results: tuple[Result, ...], setting: str) -> Result:
    for result in results:
        if result.setting == setting:
            return result
    raise KeyError(f"{setting!r}: there are {', '.join(item.setting for item in results)}")
