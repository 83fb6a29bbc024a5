"""Candidates: settings measured one after another on a copy of a sample of the collection."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import ApplyError, QadaptError, StoreTimeoutError, UnsupportedError
from qadapt.evaluation import measurement
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.measurement import Searcher, Workload
from qadapt.evaluation.memory import setting_memory
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.results import Result
from qadapt.evaluation.scratch_copies import scratch_copy
from qadapt.evaluation.settings import Setting
from qadapt.local import client_codes, collection_info
from qadapt.local.apply_steps import apply_steps
from qadapt.local.wait import Goal, wait_for
from qadapt.model import (
    Batch,
    Kind,
    Match,
    MatchLevel,
    MemoryChange,
    Quantization,
    State,
    Vector,
    VectorInfo,
)
from qadapt.stores.base import ChangeRequest, Store
from qadapt.stores.polling import Deadline, Wait

Client = Callable[[], float]

FRESH_COPY = "measured on a separate copy: the database cannot convert the previous copy"
OURS = "client-side codes"
ONLY_SIMILAR = "{} supports only the nearest equivalent"
OFFER = "accept='client' (--accept client): measure it with client-side codes"


@dataclass(frozen=True)
class EvaluationContext:
    """The vector that one evaluation is about, its queries, and the options."""

    store: Store
    collection: str
    name: str
    vector: VectorInfo
    asked: Workload
    options: EvaluationOptions

    def searcher(self, collection: str, setting: Setting, vector: Vector) -> Searcher:
        return Searcher(
            self.store, collection, self.name, vector, self.asked, setting.rescore, setting.options
        )


class CandidateRunner:
    """Measures settings one after another on a copy, which is converted from one to the next."""

    def __init__(
        self, work: EvaluationContext, sample: Batch, known: GroundTruth, client: Client | None
    ) -> None:
        self._work, self._sample, self._known, self._client = work, sample, known, client

    def run(self, settings: Sequence[Setting]) -> list[Result]:
        """Results in the order of ``settings``; codes shared by several settings are built once."""
        groups: dict[Quantization, list[int]] = {}
        for at, setting in enumerate(settings):
            assert setting.quantization is not None
            # As in a plan: original vectors on disk alone leave the codes in RAM.
            groups.setdefault(setting.quantization.with_default_places, []).append(at)
        found: dict[int, Result] = {}
        with contextlib.ExitStack() as stack:
            builder = _Builder(self._work, self._sample, stack)
            for quantization, members in groups.items():
                who = _decide_backend(self._work, quantization)
                starts = [_begin(settings[at], who) for at in members]
                if who.refused:
                    found.update(zip(members, starts, strict=True))
                    continue
                try:
                    copy, note = builder.built(quantization, by_us=who.by_us)
                except (UnsupportedError, StoreTimeoutError, ApplyError) as error:
                    state: Any = "unsupported" if isinstance(error, UnsupportedError) else "failed"
                    for at, start in zip(members, starts, strict=True):
                        found[at] = start.replace(state=state, notes=_reported(error))
                    continue
                for at, start in zip(members, starts, strict=True):
                    start = start.replace(notes=note, memory=self._memory(quantization, who))
                    found[at] = self._measured(settings[at], copy, start)
        return [found[at] for at in range(len(settings))]

    def _memory(self, quantization: Quantization, who: _Backend) -> MemoryChange | None:
        work = self._work
        return setting_memory(
            work.store.name, work.vector, quantization, client_side=who.by_us,
            prices=work.options.prices,
        )  # fmt: skip

    def _measured(self, setting: Setting, copy: str, start: Result) -> Result:
        work = self._work
        info = collection_info.info(work.store, copy).vectors[work.name]
        start = start.replace(
            target=str(info.quantization.replace(rescore=None)),
            rescore=setting.rescore or info.default_rescore,
        )
        plain = start.quantization.kind in (Kind.NONE, Kind.FLOAT16)
        if not plain and info.status.state in (State.IGNORED, State.ABSENT):
            reason = f"not active on the engine: {info.status.reason}"
            return start.replace(
                state="not active", status=info.status, notes=(*start.notes, reason)
            )
        searcher = work.searcher(copy, setting, info.vector)
        try:
            return measurement.measure(
                searcher, info, self._known, start, work.options.progress, client=self._client
            )
        except UnsupportedError as error:  # such as an unsupported rescoring source
            return start.replace(state="unsupported", notes=(*start.notes, *_reported(error)))


@dataclass(frozen=True)
class _Backend:
    """Where the codes of a candidate are built.

    Attributes:
        by_us: client-side codes.
        target: the quantization that is built.
        match: how close it is to the request.
        refused: why it is not built; empty if it is.
    """

    by_us: bool
    target: Quantization
    match: Match
    refused: tuple[str, ...] = ()


def _decide_backend(work: EvaluationContext, quantization: Quantization) -> _Backend:
    mapped = client_codes.by_store(work.store, quantization, work.vector.vector)
    match, target = mapped.match, mapped.target
    if match.level is MatchLevel.DIFFERS and work.options.accept == "exact":
        reasons = (ONLY_SIMILAR.format(work.store.name), *match.differences)
        return _Backend(False, target, match, reasons)
    # Half precision is a datatype: a separate copy is created with it.
    if match.level is not MatchLevel.UNSUPPORTED or quantization.kind is Kind.FLOAT16:
        return _Backend(False, target, match)
    ours = client_codes.match(quantization)
    reasons = (*match.differences, *match.support)
    if ours.level is MatchLevel.UNSUPPORTED:
        return _Backend(False, target, match, reasons)
    if work.options.accept != "client":
        return _Backend(False, target, match, tuple(dict.fromkeys((*reasons, OFFER))))
    return _Backend(True, quantization, ours)


def _begin(setting: Setting, who: _Backend) -> Result:
    assert setting.quantization is not None
    return Result(
        setting.text, setting.quantization, setting.rescore, dict(setting.options),
        "" if who.refused else str(who.target), who.match, "copy",
        "unsupported" if who.refused else "measured", notes=who.refused,
    )  # fmt: skip


class _Builder:
    """Builds copies with active codes; one copy is converted from one candidate to the next."""

    def __init__(self, work: EvaluationContext, sample: Batch, stack: contextlib.ExitStack) -> None:
        self._work, self._sample, self._stack = work, sample, stack
        self._copy: str | None = None  # for the database's codes
        self._plain: str | None = None  # for client-side codes

    def built(self, quantization: Quantization, *, by_us: bool) -> tuple[str, tuple[str, ...]]:
        """The name of a copy with these codes active, and notes about it."""
        if by_us:
            return self._by_us(quantization), (OURS,)
        before, self._copy = self._copy, None  # after a failure, the next candidate gets a new copy
        if quantization.kind is Kind.FLOAT16:
            return self._by_store(quantization, None)
        copy, note = self._by_store(quantization, before)
        self._copy = copy
        return copy, note

    def _by_us(self, quantization: Quantization) -> str:
        work = self._work
        if self._plain is None:
            self._plain = self._copied({})
        client_codes.build_and_register(
            work.store, self._plain, work.name, quantization, work.options.progress
        )
        return self._plain

    def _copied(self, quantization: dict[str, Quantization]) -> str:
        work = self._work
        return self._stack.enter_context(
            scratch_copy(
                work.store, {work.name: work.vector.vector}, [self._sample], work.options.progress,
                quantization=quantization, of=work.collection,
            )
        )  # fmt: skip

    def _by_store(
        self, quantization: Quantization, copy: str | None
    ) -> tuple[str, tuple[str, ...]]:
        note: tuple[str, ...] = ()
        if copy is not None:
            try:
                self._change(copy, quantization)
                return copy, note
            except UnsupportedError:
                note = (FRESH_COPY,)
        plain = quantization.kind is Kind.NONE
        made = self._copied({} if plain else {self._work.name: quantization})
        self._change(made, quantization)
        return made, note

    def _change(self, copy: str, quantization: Quantization) -> None:
        work = self._work
        if quantization.kind is not Kind.FLOAT16:
            request = ChangeRequest(work.store.inspect(copy), work.name, quantization)
            steps = work.store.plan_change(request).steps
            apply_steps(work.store, copy, steps, work.options.progress, work.options.timeout)
        self._settle(copy, quantization)

    def _settle(self, copy: str, quantization: Quantization) -> None:
        """Wait until the codes are verified active, or the engine keeps ignoring them."""
        work = self._work
        plain = quantization.kind in (Kind.NONE, Kind.FLOAT16)
        ends = (State.ABSENT, State.ACTIVE) if plain else ()
        goal = Goal(quantization, ends, (State.IGNORED, State.ABSENT))
        wait = Wait(work.options.progress, Deadline(work.options.timeout))
        try:
            wait_for(work.store, copy, work.name, goal, wait)
        except StoreTimeoutError as error:
            error.hint = "raise the time limit: timeout=, --build-timeout SECONDS"
            raise


def _reported(error: QadaptError) -> tuple[str, ...]:
    return (error.message, error.hint) if error.hint else (error.message,)
