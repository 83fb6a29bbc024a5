"""The result of one setting, and the ground truth it was compared with: plain data for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qadapt.evaluation.proof import Proof
from qadapt.model import (
    Match,
    MemoryChange,
    Quantization,
    Rescore,
    SearchProvenance,
    Serializable,
    Status,
)

ResultState = Literal["measured", "predicted", "unsupported", "failed", "not active"]


@dataclass(frozen=True)
class Figure(Serializable):
    """A mean over the queries, with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency(Serializable):
    """Duration of searches, in milliseconds.

    Attributes:
        phase: ``cold``: each query for the first time, one at a time, just after opening;
            ``warm``: repeated queries; ``batch``: queries in batches, time per query of a batch.
        concurrency: concurrent requests.
        p50, p95, p99, mean: of one query, client and network included.
        throughput: queries per second.
        queries: number of timed queries.
        client_ms: for comparison, the median of the same request to a collection of a few rows,
            one at a time: about the share of the client and the network. None if it was not
            measured (without candidates, nothing is written to the database).
    """

    phase: Literal["cold", "warm", "batch"]
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
    """Sizes in bytes, as reported by the engine or read from its files.

    Attributes:
        codes, originals: None if unknown.
        codes_ram ... originals_disk: by configured placement.
        rows: number of rows.
        source: origin of the numbers.
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
    """Comparison with relevance labels.

    Attributes:
        recall, ndcg: at k.
        queries: number of queries that have a label.
        exact_recall, exact_ndcg: of the exact float32 search, for comparison.
    """

    recall: Figure
    ndcg: Figure
    queries: int
    exact_recall: float
    exact_ndcg: float


@dataclass(frozen=True)
class Prediction(Serializable):
    """The prediction of a quantizer model.

    Attributes:
        recall: at k; the interval is widened by the known error of the model.
        model: name of the model.
        validated: whether the model was within 0.02 of the engine in every comparison.
        notes: the engine it was compared with, if any.
    """

    recall: Figure
    model: str
    validated: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result(Serializable):
    """The result of one setting.

    Attributes:
        setting: as requested, such as ``binary:query_bits=8,rescore=4``; ``live`` is the current
            configuration.
        quantization, rescore, options: the parts of the setting; rescore None is the default of
            the database.
        target: the database's own configuration, as a quantization.
        match: how close the target is to the request.
        where: ``live`` collection, ``copy`` of a sample, or ``simulated``.
        state: the outcome; ``not active``: the codes were built, and the engine does not use them.
        status: the verified status, with evidence.
        recall: at k: hits whose exact score reaches that of the k-th exact neighbor.
        recall_no_params: recall of a client that sends no search parameters; equals ``recall`` if
            none must be sent.
        ndcg: at k against the ground truth; the gain of the r-th exact neighbor is k + 1 - r.
        overlap: average overlap with the exact order at depths 1 to k.
        score_error: mean difference between the score of a hit and its exact score, if known.
        labels: comparison with relevance labels.
        latency: one for each timing.
        bytes, bytes_per_vector: of codes; of the original vectors if there are no codes.
        memory: RAM and disk of the whole collection, now and with this setting; None without a
            cost model.
        how: what searched and rescored.
        predicted: the prediction for this setting.
        notes: limitations of the result.
        filter: the filter of the measured rows, or ``@partition``; empty for all rows.
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
    recall_no_params: Figure | None = None
    filter: str = ""
    memory: MemoryChange | None = None

    @property
    def lowest(self) -> float:
        """The lower recall, with and without search parameters; infinite if not measured."""
        known = [each.value for each in (self.recall, self.recall_no_params) if each is not None]
        return min(known, default=math.inf)


@dataclass(frozen=True)
class Truth(Serializable):
    """How exact neighbors were computed.

    Attributes:
        rows, total_rows: rows that were read, and rows of the collection that match ``filter``.
        filter: the filter of these rows, or ``@partition``; empty for the whole collection.
        k, queries: neighbors per query, and number of queries.
        source: origin of the queries.
        seconds: duration; if cached, that of the original computation.
        cached: whether it comes from an earlier call.
        exact: whether all rows were read.
        bound: meaning of a recall against a sample; empty if all rows were read.
        ground_truth: the vectors from which exact scores were computed.
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
    filter: str = ""
