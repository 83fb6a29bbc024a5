"""Candidates: settings measured one after another on a copy of a sample of the collection."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import ApplyError, QadaptError, StoreTimeoutError, UnsupportedError
from qadapt.evaluation import measurement
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.memory import setting_memory
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.overall_progress import Steps
from qadapt.evaluation.partial import SavedResults
from qadapt.evaluation.results import Result
from qadapt.evaluation.scratch_copies import scratch_copy
from qadapt.evaluation.searcher import Searcher, Workload
from qadapt.evaluation.settings import Setting
from qadapt.local import client_codes, collection_info
from qadapt.local.apply_steps import apply_steps
from qadapt.local.client_operations import RememberDims
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
from qadapt.model.leading_dims import leading
from qadapt.model.vector import Datatype
from qadapt.stores.base import ChangeRequest, Store
from qadapt.stores.operations import Execution
from qadapt.stores.polling import Deadline, Wait

Client = Callable[[], float]

FRESH_COPY = "measured on a separate copy: the database cannot convert the previous copy"
OURS = "client-side codes"
FULL = "qadapt_full"  # vector of a copy with all dimensions
ONLY_SIMILAR = "{} supports only the nearest equivalent"
OFFER = "accept='client' (--accept client): measure it with client-side codes"


@dataclass(frozen=True)
class EvaluationContext:
    """The vector that one evaluation is about, its queries, the options and saved results."""

    store: Store
    collection: str
    name: str
    vector: VectorInfo
    asked: Workload
    options: EvaluationOptions
    saved: SavedResults
    steps: Steps

    def searcher(self, collection: str, setting: Setting, vector: Vector) -> Searcher:
        return Searcher(
            self.store, collection, self.name, vector, self.asked, setting.rescore, setting.options
        )


class CandidateRunner:
    """Measures settings one after another on a copy, which is converted from one to the next."""

    def __init__(
        self,
        work: EvaluationContext,
        sample: Batch,
        asked: Sequence[tuple[EvaluationContext, GroundTruth]],
        client: Client | None,
    ) -> None:
        """
        Args:
            asked: for each filter, its queries and the ground truth over the copy.
        """
        self._work, self._sample, self._asked, self._client = work, sample, asked, client
        self._found: dict[int, list[Result]] = {}

    @property
    def results(self) -> list[Result]:
        """The results so far, in the order of the filters, then of the settings."""
        done = sorted(self._found)
        return [self._found[at][part] for part in range(len(self._asked)) for at in done]

    def run(self, settings: Sequence[Setting]) -> None:
        """Measure settings; codes shared by several settings are built once."""
        groups: dict[Quantization, list[int]] = {}
        for at, setting in enumerate(settings):
            assert setting.quantization is not None
            # As in a plan: original vectors on disk alone leave the codes in RAM.
            groups.setdefault(setting.quantization.with_default_places, []).append(at)
        with contextlib.ExitStack() as stack:
            builder = _Builder(self._work, self._sample, stack)
            for quantization, asked in groups.items():
                self._work.steps.begin(settings[asked[0]].text)
                members = [at for at in asked if not self._reused(at, settings[at])]
                if members:
                    self._run_group(builder, quantization, members, settings)

    def _run_group(
        self,
        builder: _Builder,
        quantization: Quantization,
        members: Sequence[int],
        settings: Sequence[Setting],
    ) -> None:
        """Measure the settings that have the same codes."""
        found = self._found
        who = _decide_backend(self._work, quantization)
        starts = [_begin(settings[at], who) for at in members]
        if who.refused:
            found.update((at, self._each(each)) for at, each in zip(members, starts, strict=True))
            return
        try:
            copy, note = builder.built(quantization, by_us=who.by_us)
        except (UnsupportedError, StoreTimeoutError, ApplyError) as error:
            state: Any = "unsupported" if isinstance(error, UnsupportedError) else "failed"
            for at, start in zip(members, starts, strict=True):
                found[at] = self._each(start.replace(state=state, notes=_reported(error)))
            return
        for at, start in zip(members, starts, strict=True):
            if at != members[0]:
                self._work.steps.begin(settings[at].text)
            start = start.replace(notes=note, memory=self._memory(quantization, who))
            measured = [
                self._measured(work, known, settings[at], copy, each)
                for (work, known), each in zip(self._asked, self._each(start), strict=True)
            ]
            found[at] = measured
            for (work, _), each in zip(self._asked, measured, strict=True):
                work.saved.add(each)

    def _reused(self, at: int, setting: Setting) -> bool:
        """Whether an interrupted call measured the setting; its results are then used."""
        known = [work.saved.find(setting.text, "copy") for work, _ in self._asked]
        kept = [each for each in known if each is not None]
        if len(kept) < len(known):
            return False
        self._found[at] = kept
        return True

    def _memory(self, quantization: Quantization, who: _Backend) -> MemoryChange | None:
        work = self._work
        return setting_memory(
            work.store.name, work.vector, quantization, client_side=who.by_us,
            prices=work.options.prices,
        )  # fmt: skip

    def _each(self, start: Result) -> list[Result]:
        """One result for each filter."""
        return [start.replace(filter=work.asked.label) for work, _ in self._asked]

    def _measured(
        self,
        work: EvaluationContext,
        known: GroundTruth,
        setting: Setting,
        copy: str,
        start: Result,
    ) -> Result:
        info = collection_info.info(work.store, copy).vectors[work.name]
        start = start.replace(
            target=str(info.quantization.replace(rescore=None, dims=start.quantization.dims)),
            rescore=setting.rescore or info.default_rescore,
        )
        plain = start.quantization.kind in (Kind.NONE, Kind.FLOAT16)
        if start.quantization.originals == "none":  # the datatype holds the codes
            plain, start = True, start.replace(target=str(start.quantization))
        if not plain and info.status.state in (State.IGNORED, State.ABSENT):
            reason = f"not active on the engine: {info.status.reason}"
            return start.replace(
                state="not active", status=info.status, notes=(*start.notes, reason)
            )
        searcher = work.searcher(copy, setting, info.vector)
        try:
            return measurement.measure(
                searcher, info, known, start, work.steps, client=self._client
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
        datatype = quantization.kind is Kind.FLOAT16 or quantization.originals == "none"
        cut = quantization.dims is not None and not self._work.store.traits.shortens_codes
        if datatype or cut:
            return self._by_store(quantization, None)
        copy, note = self._by_store(quantization, before)
        self._copy = copy
        return copy, note

    def _by_us(self, quantization: Quantization) -> str:
        work = self._work
        if self._plain is None:
            self._plain = self._copied({})
        client_codes.build_and_register(
            work.store, self._plain, work.name, quantization, work.steps
        )
        return self._plain

    def _copied(
        self,
        quantization: dict[str, Quantization],
        dims: int | None = None,
        datatype: Datatype | None = None,
    ) -> str:
        work, vector, sample = self._work, self._work.vector.vector, self._sample
        if datatype is not None:
            vector = vector.replace(datatype=datatype)
        vectors = {work.name: vector}
        cut = dims is not None and dims < vector.dim
        if dims is not None and cut:
            whole, vectors[work.name] = vector, vector.replace(dim=dims)
            rows = sample.vectors[work.name]
            arrays = {work.name: leading(rows, dims, vector.metric)}
            if work.store.traits.keeps_full_vectors:  # as a plan does
                vectors[FULL], arrays[FULL] = whole, rows
            sample = Batch(sample.ids, arrays, sample.payloads)
        copy = self._stack.enter_context(
            scratch_copy(
                work.store, vectors, [sample], work.steps,
                quantization=quantization, of=work.collection,
            )
        )  # fmt: skip
        if FULL in vectors:
            self._remember(copy, RememberDims(work.name, vectors[FULL].dim, FULL))
            self._stack.callback(self._remember, copy, RememberDims(work.name, None))
        return copy

    def _remember(self, copy: str, dims: RememberDims) -> None:
        """Record which vector of a copy has all dimensions, with which qadapt rescores."""
        limit = Deadline(self._work.options.timeout)
        dims.run(Execution(self._work.store, copy, self._work.steps, limit))

    def _by_store(
        self, quantization: Quantization, copy: str | None
    ) -> tuple[str, tuple[str, ...]]:
        work, note = self._work, tuple[str, ...]()
        if copy is not None:
            try:
                self._change(copy, quantization)
                return copy, note
            except UnsupportedError:
                note = (FRESH_COPY,)
        dims: int | None = None
        if not work.store.traits.shortens_codes:
            dims, quantization = quantization.dims, quantization.without_dims
        if quantization.originals == "none":
            mapped = work.store.map(quantization, work.vector.vector)
            return self._copied({}, dims, mapped.datatype), note
        plain = quantization.is_plain(work.vector.dim)
        made = self._copied({} if plain else {self._work.name: quantization}, dims)
        self._change(made, quantization)
        return made, note

    def _change(self, copy: str, quantization: Quantization) -> None:
        work = self._work
        if quantization.kind is not Kind.FLOAT16:
            request = ChangeRequest(work.store.inspect(copy), work.name, quantization)
            steps = work.store.plan_change(request).steps
            apply_steps(work.store, copy, steps, work.steps, work.options.timeout)
        self._settle(copy, quantization)

    def _settle(self, copy: str, quantization: Quantization) -> None:
        """Wait until the codes are verified active, or the engine keeps ignoring them."""
        work = self._work
        plain = quantization.kind in (Kind.NONE, Kind.FLOAT16)
        ends = (State.ABSENT, State.ACTIVE) if plain else ()
        goal = Goal(quantization, ends, (State.IGNORED, State.ABSENT))
        wait = Wait(work.steps, Deadline(work.options.timeout))
        try:
            wait_for(work.store, copy, work.name, goal, wait)
        except StoreTimeoutError as error:
            error.hint = "raise the time limit: timeout=, --build-timeout SECONDS"
            raise


def _reported(error: QadaptError) -> tuple[str, ...]:
    return (error.message, error.hint) if error.hint else (error.message,)
