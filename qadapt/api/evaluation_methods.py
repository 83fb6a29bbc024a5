"""Verify, evaluate, simulate and advise on a collection."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qadapt.api.error_fields import error_fields
from qadapt.errors import SpecError
from qadapt.stores.base import OnProgress, silent

if TYPE_CHECKING:
    from qadapt.evaluation.documents import Advice, Evaluation, Simulation, Target, Verification
    from qadapt.evaluation.query_input import Encoder
    from qadapt.evaluation.settings import SettingLike
    from qadapt.model import Accept, Prices, Vector
    from qadapt.stores.base import Store


@error_fields
class EvaluationMethods:
    """The methods of a collection that measure. They import their dependencies when called."""

    name: str
    _store: Store

    def _vector(self, name: str | None) -> tuple[str, Vector]:
        raise NotImplementedError

    def verify(
        self,
        *,
        vector: str | None = None,
        k: int = 10,
        queries: Any = 200,
        kind: str | None = None,
        encoder: Encoder | None = None,
        filter: Any = None,
        by: str | None = None,
        by_limit: int = 10,
        truth: str | os.PathLike[str] | None = None,
        seed: int = 0,
        progress: OnProgress | None = None,
        command: str = "",
    ) -> Verification:
        """Compare the configuration with the verified status, and measure recall@k.

        Args:
            vector: its name; optional if there is only one.
            k: number of results, 1 to 10,000.
            queries: float ``(nq, d)``; a number of the collection's own vectors; texts (with
                ``encoder``); or the path of a ``.npy``, ``.txt``, ``.tsv`` or ``.jsonl`` file.
            kind: form of ``queries`` and of ``truth``, if they are embeddings of a service:
                ``int8``, ``uint8``, packed bits ``ubinary`` or ``binary``, ``bfloat16``, ``base64``
                or ``numbers``, as in ``Batch``; None for floats.
            encoder: encodes a list of texts as float ``(n, d)``, such as ``qa.Encoder(model)``.
            filter: measure searches with this filter, against the rows that match, as
                ``search`` takes it; a list of filters measures each, the lowest recall first.
            by: measure each value of this payload field, such as ``"tenant"``; ``"@"``: each
                partition or tenant of the database. A ``filter`` then applies to all values.
            by_limit: maximum number of values, the most frequent first.
            truth: file with the vectors to compute ground truth from, if the collection does not
                hold them (``dims``, ``originals="none"``): ``.npy`` with ids in ``FILE.npy.ids``,
                ``.fvecs`` or ``.parquet``; read into memory. None uses the stored vectors.
            seed: random seed of drawn queries and sampled rows.
            progress: called with progress events.
            command: the command line, recorded in the document.

        Raises:
            InputError, NotFoundError, StoreError
            KeyboardInterrupt: its attribute ``document``, if it has one, is what was measured.
        """
        from qadapt.evaluation.options import EvaluationOptions
        from qadapt.evaluation.verify import verify
        from qadapt.files.truth_file import read_truth

        name = self._vector(vector)[0]
        options = EvaluationOptions(
            k=k, queries=queries, kind=kind, encoder=encoder, filter=filter, by=by,
            by_limit=by_limit,
            seed=seed, progress=progress or silent, command=command,
            truth=None if truth is None else read_truth(truth, name, kind),
        )  # fmt: skip
        return verify(self._store, self.name, name, options)

    def evaluate(
        self,
        *settings: SettingLike,
        vector: str | None = None,
        k: int = 10,
        queries: Any = 200,
        kind: str | None = None,
        encoder: Encoder | None = None,
        query_ids: Sequence[str] | None = None,
        labels: Any = None,
        label_field: str | None = None,
        filter: Any = None,
        by: str | None = None,
        by_limit: int = 10,
        live: bool = True,
        rows: int | None = None,
        copy_rows: int = 20_000,
        concurrency: Sequence[int] = (1, 4),
        seconds: float = 2.0,
        memory: int = 512 * 2**20,
        timeout: float = 600.0,
        accept: Accept = "differs",
        seed: int = 0,
        fresh: bool = False,
        resume: bool = False,
        progress: OnProgress | None = None,
        command: str = "",
        prices: Prices | None = None,
    ) -> Evaluation:
        """Measure recall, nDCG, latency and bytes of the live collection and of other settings.

        Other settings are measured on a copy of a sample, which is always removed afterwards. The
        collection itself is only read.

        Args:
            settings: each ``qa.binary(rescore=4)``, its string, optionally with search parameters
                (``"binary:rescore=4 hnsw_ef=128"``), or ``"live:rescore=4"``: the live collection
                with other search parameters.
            vector: its name; optional if there is only one.
            k: number of results, 1 to 10,000.
            queries, kind, encoder: see ``verify``.
            labels: relevance labels, ``{query id: {document id: gain}}`` or a file (BEIR TSV,
                TREC qrels, JSON).
            query_ids: ids of the queries in ``labels``.
            label_field: payload field with the document id of the labels; default: the row id.
            filter, by, by_limit: see ``verify``. Other settings than the live one need a filter in
                the common form.
            live: also measure the live collection.
            rows: number of rows from which the ground truth of the live collection is computed;
                its recall is then a lower bound. Default: all rows.
            copy_rows: maximum number of rows in the copy.
            concurrency: numbers of concurrent queries to time; empty disables timing.
            seconds: duration of each timing.
            memory: bytes for one page of rows and its scores while ground truth is computed.
            timeout: seconds for building one setting.
            accept: ``"exact"`` (no deviation from the request), ``"differs"`` (the database's
                nearest equivalent), or ``"client"`` (also client-side codes if the database has
                no equivalent).
            seed: random seed of samples and drawn queries.
            fresh: ignore cached ground truth.
            resume: reuse the results of an interrupted call with the same options.
            progress: called with progress events.
            command: the command line, recorded in the document.
            prices: ``qa.Prices(ram=..., disk=...)``, price per GiB and month: ``memory`` then has
                the monthly cost.

        Raises:
            InputError, UnsupportedError, NotFoundError, StoreError
            KeyboardInterrupt: see ``verify``.
        """
        from qadapt.evaluation.evaluate import evaluate
        from qadapt.evaluation.options import EvaluationOptions

        options = EvaluationOptions(
            k=k, queries=queries, kind=kind, encoder=encoder, query_ids=query_ids, labels=labels,
            label_field=label_field, filter=filter, by=by, by_limit=by_limit, live=live,
            rows=rows, copy_rows=copy_rows, concurrency=concurrency, seconds=seconds,
            memory=memory, timeout=timeout, accept=accept, seed=seed, fresh=fresh,
            resume=resume, progress=progress or silent, command=command,
            prices=prices,
        )  # fmt: skip
        return evaluate(self._store, self.name, self._vector(vector)[0], settings, options)

    def simulate(
        self,
        *settings: SettingLike,
        vector: str | None = None,
        k: int = 10,
        queries: Any = 200,
        kind: str | None = None,
        encoder: Encoder | None = None,
        filter: Any = None,
        by: str | None = None,
        by_limit: int = 10,
        sample_rows: int = 10_000,
        segments: int = 1,
        memory: int = 512 * 2**20,
        accept: Accept = "differs",
        seed: int = 0,
        fresh: bool = False,
        resume: bool = False,
        progress: OnProgress | None = None,
        command: str = "",
    ) -> Simulation:
        """Predict recall of settings with models of the engine's quantizers.

        Nothing is written, and no setting is changed.

        Args:
            settings, vector, k, queries, kind, encoder: see ``evaluate``.
            filter, by, by_limit: predict searches of these rows, see ``verify``.
            sample_rows: number of rows that represent the collection.
            segments: number of segments of a Qdrant collection.
            accept: ``"client"`` also predicts client-side codes, for quantizations that the
                database does not support.
            memory, seed, fresh, resume, progress, command: see ``evaluate``.

        Raises:
            InputError, NotFoundError, StoreError
        """
        from qadapt.evaluation.options import EvaluationOptions
        from qadapt.evaluation.simulate import simulate

        options = EvaluationOptions(
            k=k, queries=queries, kind=kind, encoder=encoder, filter=filter, by=by,
            by_limit=by_limit,
            sample_rows=sample_rows, segments=segments, memory=memory, accept=accept, seed=seed,
            fresh=fresh, resume=resume, progress=progress or silent, command=command,
        )  # fmt: skip
        if accept == "exact":
            raise SpecError.unknown("accept", accept, ("differs", "client"))
        return simulate(self._store, self.name, self._vector(vector)[0], settings, options)

    def advise(
        self,
        target: Target | float,
        *,
        vector: str | None = None,
        queries: Any = 200,
        kind: str | None = None,
        encoder: Encoder | None = None,
        filter: Any = None,
        by: str | None = None,
        by_limit: int = 10,
        codes: Sequence[str] | None = None,
        confirm: bool = True,
        sample_rows: int = 10_000,
        copy_rows: int = 20_000,
        memory: int = 512 * 2**20,
        timeout: float = 600.0,
        accept: Accept = "differs",
        seed: int = 0,
        fresh: bool = False,
        resume: bool = False,
        progress: OnProgress | None = None,
        command: str = "",
    ) -> Advice:
        """Find the cheapest setting that meets a target: simulated, then measured on the engine.

        Args:
            target: ``qa.Target(0.98, max_ram=..., max_latency_ms=..., price=...)``, or the recall
                alone.
            vector, queries, kind, encoder: see ``evaluate``.
            filter, by, by_limit: see ``verify``; the lowest recall must meet the target, and the
                guard of ``spec`` has the same filters.
            codes: quantizations to choose from; default: one of each kind and width.
            confirm: measure the cheapest settings on a copy of a sample, which is always removed
                afterwards.
            sample_rows: number of rows that represent the collection in the simulation.
            copy_rows, memory, timeout, accept, seed, fresh, resume, progress, command: see
                ``evaluate``.

        Returns:
            Advice: ``best``, ``runner_up``, ``ruled_out`` with reasons, and ``spec``, a file for
            ``qadapt plan -f``.

        Raises:
            SpecError, InputError, NotFoundError, StoreError
        """
        from qadapt.evaluation.advise import advise
        from qadapt.evaluation.documents import Target
        from qadapt.evaluation.options import EvaluationOptions
        from qadapt.evaluation.shortlist import default_codes

        options = EvaluationOptions(
            queries=queries, kind=kind, encoder=encoder, filter=filter, by=by, by_limit=by_limit,
            confirm=confirm, sample_rows=sample_rows, copy_rows=copy_rows, memory=memory,
            timeout=timeout, accept=accept, seed=seed, fresh=fresh, resume=resume,
            progress=progress or silent, command=command,
        )  # fmt: skip
        wanted = target if isinstance(target, Target) else Target(target)
        name = self._vector(vector)[0]
        offered = default_codes(self._store) if codes is None else codes
        return advise(self._store, self.name, name, wanted, options, offered)
