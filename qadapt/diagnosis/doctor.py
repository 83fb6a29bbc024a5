"""Run the checks on one collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.diagnosis.catalogue import Check, checks
from qadapt.diagnosis.context import CheckContext, NoDataError
from qadapt.errors import (
    InputError,
    NotFoundError,
    SpecError,
    StoreError,
    TransientError,
)
from qadapt.local import collection_info
from qadapt.model import Finding, Metric, Serializable, Server, Severity
from qadapt.model.option_checks import refuse_pairs
from qadapt.model.table import Table, Tabular
from qadapt.stores.base import OnProgress, Progress, Store, silent


@dataclass(frozen=True)
class Skipped(Serializable):
    """A check that did not run, and why."""

    code: str
    vector: str
    reason: str


@dataclass(frozen=True)
class Diagnosis(Tabular, Serializable):
    """The findings of one collection.

    Attributes:
        address, server, collection: the collection.
        rows: number of rows.
        checked: codes of the checks that were run.
        findings: the most severe first.
        skipped: checks that could not run.
    """

    address: str
    server: Server
    collection: str
    rows: int
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...] = ()
    format: str = "qadapt.diagnosis/1"

    @property
    def healthy(self) -> bool:
        """Whether there are no findings."""
        return not self.findings

    def worst(self) -> Severity | None:
        """The highest severity; None without findings."""
        return self.findings[0].severity if self.findings else None

    def table(self) -> Table:
        """One row per finding."""
        rows = [
            (str(each.severity), each.code, each.vector or "(unnamed)", each.message, each.command)
            for each in self.findings
        ]
        skipped = [f"skipped {each.code}: {each.reason}" for each in self.skipped]
        count = f"{len(self.findings)} findings" if self.findings else "no findings"
        title = f"{self.collection}: {count} in {len(self.checked)} checks"
        columns = ("Severity", "Code", "Vector", "Message", "Command")
        return Table(columns, tuple(rows), title, tuple(skipped))

    def at_least(self, severity: Severity | str) -> tuple[Finding, ...]:
        """The findings of this severity or a higher one."""
        bar = Severity.of(severity)
        return tuple(each for each in self.findings if each.severity.at_least(bar))


def diagnose(
    store: Store,
    collection: str,
    *,
    vector: str | None = None,
    options: Mapping[str, Any] | None = None,
    model_metric: Metric | str | None = None,
    sample: int = 1000,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    seed: int = 0,
    progress: OnProgress = silent,
) -> Diagnosis:
    """Find ineffective or harmful configuration. Nothing is changed.

    Args:
        vector: name of one vector; None for all.
        options: search parameters that your program sends, in the database's own format:
            ``{"quantization": {"oversampling": 3}}``, ``{"refine_k": 4}``.
        model_metric: the metric that the embedding model was trained for.
        sample: number of rows to sample for the checks that read vectors, at least 2.
        only, skip: codes of checks.
        seed: random seed of the sample.

    Raises:
        NotFoundError, SpecError, InputError
    """
    chosen = _chosen(only, skip)
    if sample < 2:
        raise InputError(
            f"sample must be at least 2 rows; got {sample}",
            hint="for example sample=1000 (--sample 1000)",
        )
    metric = None if model_metric is None else Metric.of(model_metric)
    refuse_pairs(
        (bool(options) and not _asked(chosen, "options", store), "options (--search-params)",
         f"with the database {store.name} and the selected checks (--check, --skip)",
         "none of them reads search parameters"),
        (metric is not None and not _asked(chosen, "model_metric", store),
         "model_metric (--model-metric)", "with the selected checks (--check, --skip)",
         "none of them compares metrics"),
    )  # fmt: skip
    info = collection_info.info(store, collection)
    if vector is not None and vector not in info.vectors:
        raise NotFoundError.missing("vector", vector, info.vectors)
    names = list(info.vectors) if vector is None else [vector]
    codes = {check.code for check in chosen}
    reported = store.findings(info, options or {})
    # A finding about the whole collection names no vector.
    found = [
        each
        for each in reported
        if (each.vector in names or each.vector not in info.vectors) and each.code in codes
    ]
    skipped: list[Skipped] = []
    for name in names:
        context = CheckContext(store, info, name, sample, metric, seed)
        for at, check in enumerate(chosen):
            progress(Progress(f"checking {collection}", at + 1, len(chosen), "checks"))
            if check.run is None:
                continue
            try:
                found += check.run(context)
            except NoDataError as error:
                skipped.append(Skipped(check.code, name, str(error)))
            except TransientError:
                raise
            except InputError as error:
                if not error.limit:
                    raise
                skipped.append(Skipped(check.code, name, error.message))
            except StoreError as error:  # the other checks can still run
                skipped.append(Skipped(check.code, name, error.message))
    order = list(Severity)
    found.sort(key=lambda each: -order.index(each.severity))
    return Diagnosis(
        address=str(store.address),
        server=info.server,
        collection=collection,
        rows=info.count,
        checked=tuple(check.code for check in chosen),
        findings=tuple(found),
        skipped=tuple(skipped),
    )


def _chosen(only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    there = checks()
    known = [check.code for check in there]
    for code in (*only, *skip):
        if code not in known:
            raise SpecError.unknown("check", code, known)
    chosen = [c for c in there if (not only or c.code in only) and c.code not in skip]
    if not chosen:
        raise InputError(
            f"no check is left: only (--check) {', '.join(only) or 'is not given'}; skip (--skip) "
            f"{', '.join(skip)}",
            hint="remove one of the two options",
        )
    return chosen


def _asked(chosen: Sequence[Check], word: str, store: Store) -> bool:
    """Whether one of the checks reads this argument."""
    return any(c.asks == word and (not c.stores or store.name in c.stores) for c in chosen)
