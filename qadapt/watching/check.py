"""One check of a collection, and the checks of a watched database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from qadapt.api.collection import Collection
from qadapt.api.database import Database
from qadapt.errors import (
    AuthError,
    InputError,
    MissingExtraError,
    QadaptError,
    TransientError,
    UnreachableError,
)
from qadapt.model import Guard, State, VectorInfo
from qadapt.watching import recall
from qadapt.watching.pacing import Pace

LOST = (AuthError, TransientError, UnreachableError)  # errors that other collections have, too
FALL = 0.01  # a recall that is lower than before by this much is measured with new exact results


@dataclass(frozen=True)
class Check:
    """What one check of a vector found.

    Attributes:
        time: seconds since 1970.
        address: address of the database, without keys.
        collection, vector: names; empty if the database did not answer.
        up: whether the database answered all requests.
        error: why it did not; else empty.
        rows: number of rows.
        setting: configured quantization.
        state: verified state of the quantization.
        active: whether the configured quantization is verified active; True without any.
        progress: share of the rows that the index or the codes cover; None if unknown.
        unindexed: number of rows that are not covered; None if unknown.
        recall, k: recall@k on the sample, with the parameters of the setting; None without queries
            or rows.
        recall_no_params: that of a client that sends no search parameters.
        gate: lowest permitted recall; None without a gate.
        clients: the clients that the gate judges, ``"any"`` or ``"configured"``; empty without a
            gate.
        met: whether recall meets the gate; None without a gate.
        truth_age: seconds since the exact results were computed; None without recall.
        truth_renewed: whether this check computed them.
        findings: number of doctor's findings by severity.
        codes: codes of these findings.
        seconds: duration of the check.
    """

    time: float
    address: str
    collection: str = ""
    vector: str = ""
    up: bool = True
    error: str = ""
    rows: int | None = None
    setting: str = ""
    state: str = ""
    active: bool = True
    progress: float | None = None
    unindexed: int | None = None
    recall: float | None = None
    recall_no_params: float | None = None
    k: int | None = None
    gate: float | None = None
    clients: str = ""
    met: bool | None = None
    truth_age: float | None = None
    truth_renewed: bool = False
    findings: dict[str, int] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the database answers, the quantization is active, and the gate is met."""
        return self.up and self.active and self.met is not False


@dataclass
class Watch:
    """Repeated checks of the collections of a database; nothing is changed.

    Each check opens the database again, so a server may be away in between.

    Args:
        connect: opens the database.
        address: its address, without keys.
        collection: name; None for all collections.
        gate: gate of recall, and the clients that it judges; None for no gate.
        queries: number of the collection's own vectors, or a file of vectors.
        k: number of results without a gate.
        pace: limits the queries per second.
        truth_age: seconds after which the exact results are computed again.
        doctor_rows: rows that doctor samples.
        now: replaced by tests.
    """

    connect: Callable[[], Database]
    address: str
    collection: str | None
    gate: Guard | None
    queries: Any
    k: int
    pace: Pace
    truth_age: float
    doctor_rows: int = 200
    now: Callable[[], float] = time.time
    _truths: dict[tuple[str, str], recall.Truth] = field(default_factory=dict)
    _before: dict[tuple[str, str], float] = field(default_factory=dict)
    _renewed: int = 0
    _worked: bool = False

    def checks(self) -> Iterator[Check]:
        """Check each vector once; a database that does not answer is one failed check.

        Raises:
            InputError, MissingExtraError: the arguments are wrong; only before the first check that
                worked.
        """
        begun = self.now()
        try:
            with self.connect() as database:
                names = [self.collection] if self.collection else database.collections()
                for name in names:
                    yield from self._of_name(database, name)
        except QadaptError as error:
            yield self._failed(error, begun, self.collection or "")

    def _of_name(self, database: Database, name: str) -> Iterator[Check]:
        """The checks of one collection; if it fails alone, the others are checked."""
        begun = self.now()
        try:
            found = self._of_collection(database[name])
        except LOST:
            raise
        except QadaptError as error:
            found = [self._failed(error, begun, name)]
        yield from found

    def _failed(self, error: QadaptError, begun: float, collection: str) -> Check:
        if isinstance(error, (InputError, MissingExtraError)) and not self._worked:
            raise error
        return Check(
            self.now(),
            self.address,
            collection,
            up=False,
            error=error.message,
            active=False,
            seconds=self.now() - begun,
        )

    def _of_collection(self, collection: Collection) -> list[Check]:
        info = collection.info()
        found = [self._of_vector(collection, each, info.count) for each in info.vectors.values()]
        self._worked = True
        return found

    def _of_vector(self, collection: Collection, about: VectorInfo, rows: int) -> Check:
        begun = self.now()
        k = self.gate.k if self.gate else self.k
        measured = None
        if rows > k:
            measured = self._recall(collection, about, k)
        found = collection.doctor(vector=about.name or None, sample=self.doctor_rows)
        severities = [str(each.severity) for each in found.findings]
        progress = about.status.progress
        if progress is None and about.status.state is State.ACTIVE:
            progress = 1.0
        truth = self._truths.get((collection.name, about.name))
        return Check(
            time=self.now(),
            address=self.address,
            collection=collection.name,
            vector=about.name,
            rows=rows,
            setting=str(about.quantization),
            state=about.status.state.value,
            active=about.is_plain or about.status.state is State.ACTIVE,
            progress=progress,
            unindexed=None if progress is None else round(about.count * (1 - progress)),
            recall=None if measured is None else measured.value,
            recall_no_params=None if measured is None else measured.no_params,
            k=k,
            gate=self.gate.recall if self.gate else None,
            clients=self.gate.clients if self.gate else "",
            met=self._met(measured),
            truth_age=None if measured is None or truth is None else self.now() - truth.made,
            truth_renewed=measured is not None and truth is not None and truth.made >= begun,
            findings={each: severities.count(each) for each in ("error", "warning", "info")},
            codes=tuple(dict.fromkeys(each.code for each in found.findings)),
            seconds=self.now() - begun,
        )

    def _met(self, measured: recall.Recall | None) -> bool | None:
        if self.gate is None:
            return None
        return measured is not None and measured.judged(self.gate.clients) >= self.gate.recall

    def _recall(self, collection: Collection, about: VectorInfo, k: int) -> recall.Recall:
        """Recall with the kept exact results, or with new ones if they may be the cause."""
        key = (collection.name, about.name)
        truth, before = self._truths.get(key), self._before.get(key)
        if truth is not None and self.now() - truth.made < self.truth_age:
            measured = recall.measure(collection, about, k, truth, self.pace)
            fell = before is not None and measured.judged("any") < before - FALL
            if self._met(measured) is not False and not fell:
                return measured
            # Rows that were deleted or replaced lower it, too: only new results can tell.
        self._truths[key] = truth = self._exact(collection, about, k)
        measured = recall.measure(collection, about, k, truth, self.pace)
        self._before[key] = measured.judged("any")
        return measured

    def _exact(self, collection: Collection, about: VectorInfo, k: int) -> recall.Truth:
        self._renewed += 1
        return recall.exact_results(
            collection,
            about.name,
            about.vector,
            k,
            self.queries,
            seed=self._renewed,
            pace=self.pace,
            now=self.now(),
        )
