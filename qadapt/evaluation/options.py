"""Options shared by ``verify``, ``evaluate``, ``simulate`` and ``advise``, and their checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qadapt.errors import InputError, SpecError
from qadapt.evaluation.settings import Setting
from qadapt.evaluation.subsets import BY_LIMIT, Subsets, check_filters, subsets_of
from qadapt.model import ACCEPTS, Accept, Prices
from qadapt.model.embedding_kinds import checked_kind
from qadapt.model.numbers import is_whole
from qadapt.model.option_checks import refuse_pairs
from qadapt.stores import registry as stores
from qadapt.stores.base import OnProgress, Store, check_k, silent

if TYPE_CHECKING:
    from qadapt.evaluation.documents import Target
    from qadapt.evaluation.outside_truth import OutsideVectors
    from qadapt.evaluation.query_input import Encoder

QUERIES = 200  # rows of the collection that are drawn as queries
COPY_ROWS = 20_000
SAMPLE_ROWS = 10_000
CONCURRENCY = (1, 4)
SECONDS = 2.0  # no further query of a timing starts after this time
MEMORY = 512 * 2**20  # bytes for one page of rows and its scores
BUILD_TIMEOUT = 600.0  # seconds for building one candidate


@dataclass(frozen=True, eq=False)
class EvaluationOptions:
    """How recall is measured or predicted. Each verb reads the options that it needs.

    Attributes:
        k: number of results, 1 to 10,000.
        queries: float ``(nq, d)``; a number of the collection's own vectors; texts; or the path
            of a ``.npy``, ``.txt``, ``.tsv`` or ``.jsonl`` file.
        kind: form of ``queries`` and ``truth``, if they are embeddings of a service, see
            ``EmbeddingKind``; None for floats.
        encoder: encodes a list of texts as float ``(n, d)``.
        query_ids: ids of the queries in ``labels``; default: from the file, else 0, 1, ...
        labels: relevance labels, ``{query id: {document id: gain}}`` or the path of a file.
        label_field: payload field with the document id of the labels; None for the row id.
        filter: measure searches with this filter, against the rows that match: the common form or
            a native filter of the database; a list of filters measures each. None for all rows.
        by: measure each value of this payload field, the most frequent first; ``"@"``: each
            partition or tenant. ``filter`` then applies to all of them.
        by_limit: maximum number of values.
        live: also measure the live collection.
        rows: number of rows from which the ground truth of the live collection is computed; its
            recall is then a lower bound. None for all rows.
        copy_rows: maximum number of rows in the copy on which candidates are measured.
        sample_rows: number of rows that a simulation encodes.
        segments: number of segments of the collection, each of which contributes candidates.
        concurrency: numbers of concurrent queries to time; empty disables timing.
        seconds: duration of each timing.
        memory: bytes for one page of rows and its scores while ground truth is computed.
        timeout: seconds for building one candidate.
        accept: which deviations from the requested quantization are accepted: ``exact`` (none),
            ``differs`` (the database's nearest equivalent), or ``client`` (also client-side codes
            if the database has no equivalent).
        confirm: measure the predicted settings on the engine.
        seed: random seed of samples and drawn queries.
        fresh: ignore cached ground truth.
        resume: reuse the results of an interrupted call with the same options.
        truth: vectors that ``verify`` computes ground truth from; None for those of the collection.
        progress: called with progress events.
        command: the command line, recorded in the document.
        prices: per GiB and month, for the monthly cost of settings; None for bytes only.

    Raises:
        InputError: a number is out of range, or two options conflict.
        SpecError: an unknown value of ``accept``.
    """

    k: int = 10
    queries: Any = QUERIES
    kind: str | None = None
    encoder: Encoder | None = None
    query_ids: Sequence[str] | None = None
    labels: Any = None
    label_field: str | None = None
    filter: Any = None
    by: str | None = None
    by_limit: int = BY_LIMIT
    live: bool = True
    rows: int | None = None
    copy_rows: int = COPY_ROWS
    sample_rows: int = SAMPLE_ROWS
    segments: int = 1
    concurrency: Sequence[int] = CONCURRENCY
    seconds: float = SECONDS
    memory: int = MEMORY
    timeout: float = BUILD_TIMEOUT
    accept: Accept = "differs"
    confirm: bool = True
    seed: int = 0
    fresh: bool = False
    resume: bool = False
    truth: OutsideVectors | None = None
    progress: OnProgress = silent
    command: str = ""
    prices: Prices | None = None

    def __post_init__(self) -> None:
        self._check_numbers()
        check_filters(self.filter, self.by, self.by_limit)
        if self.accept not in ACCEPTS:
            raise SpecError.unknown("accept", self.accept, ACCEPTS)
        if self.kind is not None:
            checked_kind(self.kind)
        refuse_pairs(
            (self.kind is not None and isinstance(self.queries, int) and self.truth is None,
             "kind (--kind)", f"with queries={self.queries} (--queries)",
             "the collection's own vectors have no other form"),
            (self.query_ids is not None and self.labels is None, "query_ids (--query-ids)",
             "without labels (--labels)", "query ids only match queries to labels"),
            (self.label_field is not None and self.labels is None, "label_field (--label-field)",
             "without labels (--labels)", "the field only matches rows to labels"),
            (self.labels is not None and isinstance(self.queries, int), "labels (--labels)",
             f"with queries={self.queries} (--queries)",
             "the collection's own vectors have no labels"),
            (self.rows is not None and self.memory != MEMORY, "memory (--memory)",
             "with rows (--rows)", "a sample is read in one request"),
            (self.by_limit != BY_LIMIT and self.by is None, "by_limit (--by-limit)",
             "without by (--by)", "there are no values to limit"),
            (self.seconds != SECONDS and not self.concurrency, "seconds (--seconds)",
             "without concurrency (--concurrency)", "nothing is timed"),
        )  # fmt: skip

    def _check_numbers(self) -> None:
        numbers = [("rows", self.rows), ("copy_rows", self.copy_rows)]
        for what, number in [*numbers, *(("concurrency", each) for each in self.concurrency)]:
            if number is not None and (not is_whole(number) or number < 1):
                raise InputError(
                    f"{what} must be an integer from 1; got {number!r}",
                    hint=f"for example {what}=100",
                )
        for what, limit in (
            ("seconds", self.seconds),
            ("timeout (--build-timeout)", self.timeout),
        ):
            if not limit > 0:
                raise InputError(
                    f"{what} must be above 0; got {limit!r}",
                    hint="pass a number of seconds, such as 60",
                )

    def replace(self, **changes: Any) -> EvaluationOptions:
        """A checked copy with some options changed."""
        return dataclasses.replace(self, **changes)

    def subsets(self, store: Store, collection: str) -> Subsets:
        """The rows to measure, see ``filter`` and ``by``."""
        return subsets_of(store, collection, self.filter, self.by, self.by_limit, self.seed)

    # -- for one verb ------------------------------------------------------------------------

    def check_store(self, store: Store) -> None:
        """Check the options that depend on the limits of a database.

        Raises:
            InputError: ``k`` is out of range.
        """
        check_k(self.k, store.traits.max_k - 1)

    def check_settings(self, settings: Sequence[Setting]) -> None:
        """Check the options that depend on the settings to evaluate.

        Raises:
            InputError: there is nothing to measure, or ``rows`` has no effect.
        """
        if not settings and not self.live:
            raise InputError("there is nothing to measure", hint="pass settings, or live=True")
        measures_live = self.live or any(each.quantization is None for each in settings)
        refuse_pairs(
            (self.rows is not None and not measures_live, "rows (--rows)",
             "with live=False (--no-live)", "it only applies to the live collection"),
        )  # fmt: skip

    def check_segments(self, engine: str) -> None:
        """Check the number of segments to simulate for a database.

        Raises:
            InputError: not an integer from 1, or the segments of this database contribute no
                candidates.
            SpecError: an unknown database.
        """
        each = stores.profile(engine).traits.segment_candidates
        if isinstance(self.segments, bool) or self.segments < 1:
            raise InputError(
                f"segments must be an integer from 1; got {self.segments!r}",
                hint="for example segments=1",
            )
        refuse_pairs(
            (self.segments != 1 and not each, "segments (--segments)",
             f"with the database {engine}", "its segments do not contribute candidates"),
        )  # fmt: skip

    def check_target(self, target: Target) -> None:
        """Check a target, and the options that depend on it.

        Raises:
            SpecError: a number of the target is out of range.
            InputError: the target requires measurements, and ``confirm`` is off.
        """
        if isinstance(target.recall, bool) or not 0 < target.recall <= 1:
            raise SpecError(
                f"the recall of a target must be above 0 and at most 1; got {target.recall!r}",
                hint="for example Target(recall=0.95)",
            )
        for word in ("max_ram", "max_latency_ms", "price"):
            value = getattr(target, word)
            if value is not None and (isinstance(value, bool) or value <= 0):
                raise SpecError(
                    f"{word} must be a number above 0; got {value!r}",
                    hint=f"omit {word} for no requirement",
                )
        refuse_pairs(
            (target.max_latency_ms is not None and not self.confirm,
             "max_latency_ms (--max-latency)", "with confirm=False (--no-confirm)",
             "latency is measured on the engine"),
        )  # fmt: skip
