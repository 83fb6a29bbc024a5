"""The documents of ``verify``, ``evaluate``, ``simulate`` and ``advise``: one shape in JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from qadapt.evaluation.proof import Proof, weakest_proof
from qadapt.evaluation.reachability import Reachability
from qadapt.evaluation.results import Figure, Result, Truth
from qadapt.model import MemoryChange, Metric, Quantization, Rescore, Serializable, Server, Status
from qadapt.model.client_params import ClientParams
from qadapt.model.engine_memory import EngineMemory
from qadapt.model.table import DASH, Table, Tabular, share_text, size_text
from qadapt.model.vector import Datatype


@dataclass(frozen=True, kw_only=True)
class EvaluationDocument(Tabular, Serializable):
    """What the documents about one vector of a collection have in common.

    Attributes:
        store: address of the database; empty if arrays were given.
        server: database, version and deployment.
        collection, vector: their names; ``""`` for the unnamed vector.
        dim, metric, datatype: of the vector.
        count: rows that have the vector.
        k: number of results.
        queries: number of queries.
        source: origin of the queries.
        truth: ground truth over the collection; with filters, over the rows of the filter with
            the lowest recall.
        results: one for each setting; with filters, one for each filter and setting, those of
            the filter with the lowest recall first.
        sample_rows: rows that a simulation encoded; None without a simulation.
        copy_rows: rows in the copy on which candidates were measured; None without a copy.
        copy_truth: ground truth over that copy, if it does not hold all rows.
        notes: limitations of the results.
        partial: whether the call was interrupted before all settings were measured.
        truths, copy_truths: those of each filter, in the order of the results; empty without.
        by, by_limit: the payload field whose values are measured, and the maximum number of values.
        memory: RAM and disk of the collection now and with ``memory_setting``; None without a
            cost model.
        memory_setting: the setting with least RAM among those within 0.01 of the best recall;
            that of the recommendation in an advice; ``live`` if no setting needs less.
        engine_memory: measured memory of the engine, everything included, or why a server's is not
            known; None if it was not looked for.
        created: ISO 8601 UTC.
        command: the command line.
        seconds: duration.
        format: kind and version of the document.
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
    sample_rows: int | None = None
    copy_rows: int | None = None
    copy_truth: Truth | None = None
    notes: tuple[str, ...] = ()
    partial: bool = False
    truths: tuple[Truth, ...] = ()
    copy_truths: tuple[Truth, ...] = ()
    by: str = ""
    by_limit: int | None = None
    created: str = ""
    command: str = ""
    seconds: float = 0.0
    memory: MemoryChange | None = None
    memory_setting: str = "live"
    engine_memory: EngineMemory | None = None
    format: str

    @property
    def proof(self) -> Proof:
        """How much the least conclusive recall proves."""
        truths = (self.truth, self.copy_truth)
        return weakest_proof(each.proof for each in truths if each is not None)

    def result(self, setting: str) -> Result:
        """The result of a setting; with filters, the one with the lowest recall.

        Filters whose recall proves nothing count only if there are no others.

        Raises:
            KeyError: no result has this setting.
        """
        found = [each for each in self.results if each.setting == setting]
        if found:
            return min(self.proven(found), key=_value)
        known = ", ".join(item.setting for item in self.results)
        raise KeyError(f"no result for {setting!r}; results exist for: {known}")

    def proven(self, results: Sequence[Result]) -> Sequence[Result]:
        """The results whose recall proves something; all of them if none does."""
        on_copy = _unproven(self.copy_truths or self.truths)
        elsewhere = _unproven(self.truths)
        return [
            each
            for each in results
            if each.filter not in (on_copy if each.where == "copy" else elsewhere)
        ] or results

    def matching(self, result: Result) -> int:
        """Rows that match the filter of a result."""
        rows = {each.filter: each.total_rows for each in self.truths}
        return rows.get(result.filter, self.count)

    @property
    def memory_line(self) -> str:
        """The last line of the output: RAM and disk before and after; empty if unknown."""
        if self.memory is None:
            return ""
        head = "" if self.memory_setting == "live" else f"{self.memory_setting}: "
        return f"{head}{self.memory}"

    @property
    def memory_notes(self) -> tuple[str, ...]:
        """The measured memory of the engine, and the memory line; each only if it is known."""
        measured = str(self.engine_memory) if self.engine_memory else ""
        return tuple(filter(None, [measured, self.memory_line]))

    def table(self) -> Table:
        """One row per setting, and per filter."""
        if self.truths:
            return self._by_filter()
        columns = ("Setting", "Where", f"#Recall@{self.k}", "95 % interval", "#No params", "#nDCG",
                   "#RAM", "#Disk", "#Bytes/vector", "#p50 ms", "#p99 ms")  # fmt: skip
        name = f", vector {self.vector}" if self.vector else ""
        title = (
            f"{self.collection or 'vectors'}{name}: {self.count:,} rows of {self.dim:,} "
            f"dimensions, {self.queries:,} queries ({self.source})"
        )
        truth = [f"ground truth: {self.truth.ground_truth}"] if self.truth.ground_truth else []
        notes = dict.fromkeys(  # the notes may have the reason, too
            (*truth, *filter(None, [self.proof.reason]), *self.notes, *self.memory_notes)
        )
        return Table(columns, tuple(_cells(each) for each in self.results), title, tuple(notes))

    def _by_filter(self) -> Table:
        columns = ("Filter", "#Rows", "Setting", "Where", f"#Recall@{self.k}", "95 % interval",
                   "#No params", "#nDCG", "#p50 ms", "#p99 ms")  # fmt: skip
        rows = []
        for each in self.results:
            setting, where, recall, span, bare, ndcg, *_, p50, p99 = _cells(each)
            head = (each.filter or "all rows", f"{self.matching(each):,}", setting, where)
            rows.append((*head, recall, span, bare, ndcg, p50, p99))
        name = f", vector {self.vector}" if self.vector else ""
        title = f"{self.collection}{name}: {self.count:,} rows, lowest recall first"
        return Table(columns, tuple(rows), title, self.notes)

    def shared(self) -> dict[str, Any]:
        """The fields that all documents have, except ``format``."""
        names = (each.name for each in dataclasses.fields(EvaluationDocument))
        return {name: getattr(self, name) for name in names if name != "format"}


@dataclass(frozen=True, kw_only=True)
class Verification(EvaluationDocument):
    """The verified status of a collection, and its recall.

    Attributes:
        results: the live collection; if it is quantized, also without and with rescoring. Their
            latency is that of batches.
        configured: the configured quantization, as a string.
        status: the verified status, with evidence.
        matches_configuration: whether the configured quantization is verified active.
        reachability: whether searches find sampled rows by their own vectors.
        client_params: what clients without qadapt must send for ``recall``; those that send
            nothing have ``recall_no_params``.
    """

    configured: str
    status: Status
    matches_configuration: bool
    reachability: Reachability
    client_params: ClientParams | None = None
    format: Literal["qadapt.verification/1"] = "qadapt.verification/1"

    def table(self) -> Table:
        """The verified status, and one row per search, and per filter."""
        found = super().table()
        status = f"configured {self.configured}, verified {self.status}"
        return dataclasses.replace(found, notes=(status, *found.notes))

    @property
    def recall(self) -> Figure:
        """The current recall: that of a search with the parameters of this setting."""
        found = self.result("live").recall
        assert found is not None  # the live collection is always measured
        return found

    @property
    def recall_no_params(self) -> Figure | None:
        """The recall of a client that sends no search parameters; None in older documents."""
        return self.result("live").recall_no_params


@dataclass(frozen=True, kw_only=True)
class Evaluation(EvaluationDocument):
    """Measurements; the live setting comes first."""

    format: Literal["qadapt.evaluation/1"] = "qadapt.evaluation/1"


@dataclass(frozen=True, kw_only=True)
class Simulation(EvaluationDocument):
    """Predictions. ``store`` and ``server.version`` are empty if arrays were given."""

    format: Literal["qadapt.simulation/1"] = "qadapt.simulation/1"


@dataclass(frozen=True)
class Target(Serializable):
    """Requirements that a setting must meet; None for no requirement.

    Attributes:
        recall, k: minimum recall@k.
        max_ram: bytes of the whole collection.
        max_latency_ms: 95th percentile of one query, warm, one at a time.
        price: of one GiB of RAM per month, in any currency.
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
        recall: measured or predicted, see ``source``.
        ram, disk: bytes of the whole collection: codes, original vectors and graph.
        latency_ms: 95th percentile, warm, one at a time; None if it was not measured.
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


@dataclass(frozen=True, kw_only=True)
class Advice(EvaluationDocument):
    """The recommended setting.

    Attributes:
        results: measured ones first, then predicted ones.
        target: the requirements.
        best, runner_up: None if no setting meets the target.
        ruled_out: settings that do not meet the target, with reasons.
        spec: a spec file for ``qadapt plan -f``; empty if no setting meets the target.
        confirmed: whether ``best`` was measured.
    """

    target: Target
    best: Option | None
    runner_up: Option | None
    ruled_out: tuple[RuledOut, ...]
    spec: str = ""
    confirmed: bool = False
    format: Literal["qadapt.advice/1"] = "qadapt.advice/1"

    def table(self) -> Table:
        """The best setting, the runner-up, and the settings that do not meet the target."""
        rows = [
            (
                verdict,
                option.setting,
                share_text(option.recall.value),
                size_text(option.ram),
                size_text(option.disk),
                "; ".join((option.source, *option.reasons)),
            )
            for verdict, option in (("best", self.best), ("runner-up", self.runner_up))
            if option is not None
        ]
        rows += [
            (
                "ruled out",
                each.setting,
                share_text(each.recall.value if each.recall else None),
                size_text(each.ram),
                DASH,
                each.reason,
            )
            for each in self.ruled_out
        ]
        columns = ("", "Setting", f"#Recall@{self.target.k}", "#RAM", "#Disk", "Why")
        title = f"{self.collection or 'vectors'}: recall@{self.target.k} >= {self.target.recall:g}"
        notes = (*self.notes, *self.memory_notes)
        return Table(columns, tuple(rows), title, notes)

    @property
    def simulation(self) -> Simulation:
        """The predictions alone."""
        results = tuple(each for each in self.results if each.where == "simulated")
        shared = {
            **self.shared(), "copy_rows": None, "copy_truth": None, "copy_truths": (),
            "memory": None, "engine_memory": None,
        }  # fmt: skip
        return Simulation(**{**shared, "results": results})

    @property
    def evaluation(self) -> Evaluation | None:
        """The measurements alone; None if nothing was measured."""
        results = tuple(each for each in self.results if each.where != "simulated")
        if not results:
            return None
        return Evaluation(**{**self.shared(), "sample_rows": None, "results": results})


def _unproven(truths: Sequence[Truth]) -> set[str]:
    """The filters whose recall proves nothing."""
    return {each.filter for each in truths if each.proof.level == "none"}


def _value(result: Result) -> float:
    """The recall, for comparisons; a result that was not measured counts as the lowest."""
    return -1.0 if result.recall is None else result.recall.value


def _cells(result: Result) -> tuple[str, ...]:
    recall = result.recall
    warm = [each for each in result.latency if each.phase == "warm"]
    timed = min(warm, key=lambda each: each.concurrency, default=None)
    size = result.bytes_per_vector
    return (
        result.setting,
        result.where,
        result.state if recall is None else share_text(recall.value),
        DASH if recall is None else f"{share_text(recall.low)} to {share_text(recall.high)}",
        share_text(result.recall_no_params.value if result.recall_no_params else None),
        share_text(result.ndcg.value if result.ndcg else None),
        size_text(None if result.memory is None else result.memory.ram_after),
        size_text(None if result.memory is None else result.memory.disk_after),
        DASH if size is None else f"{size:,.1f}",
        DASH if timed is None else f"{timed.p50:.2f}",
        DASH if timed is None else f"{timed.p99:.2f}",
    )


def now() -> str:
    """The current time, ISO 8601 UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
