"""Methods of collections for evaluation, simulation and advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qadapt.api.error_fields import error_fields
from qadapt.stores.base import OnProgress, silent

if TYPE_CHECKING:
    from qadapt.evaluation.query_input import Encoder
    from qadapt.evaluation.results import Advice, Evaluation, Simulation, Target
    from qadapt.evaluation.settings import SettingLike
    from qadapt.model import Vector
    from qadapt.stores.base import Store


@error_fields
class EvaluationMethods:
    """Mixin with evaluation methods; their modules are imported on first use."""

    name: str
    _store: Store

    def _vector(self, name: str | None) -> tuple[str, Vector]:
        raise NotImplementedError

    def evaluate(
        self,
        *settings: SettingLike,
        vector: str | None = None,
        k: int = 10,
        queries: Any = 200,
        encoder: Encoder | None = None,
        query_ids: Sequence[str] | None = None,
        labels: Any = None,
        label_field: str | None = None,
        live: bool = True,
        progress: OnProgress | None = None,
        **options: Any,
    ) -> Evaluation:
        """Measure recall, nDCG, latency and size of the current and of other settings.

        Other settings are tested on a copied sample that is always removed; the collection is
        only read.

        Args:
            settings: each ``qa.binary(rescore=4)``, its string, perhaps with search options
                (``"binary:rescore=4 hnsw_ef=128"``), or ``"live:rescore=4"``: the
                    current collection with other search options.
            vector: name of the vector; optional if there is only one.
            queries: float ``(nq, d)``; the number of vectors to sample from the collection; texts
                (with ``encoder``); or the path of a ``.npy``, ``.txt``, ``.tsv`` or ``.jsonl``
                file.
            encoder: turns a list of texts into float ``(n, d)``.
            labels: relevance labels, ``{query id: {document id: gain}}`` or a file (BEIR's TSV,
                TREC, JSON); ``query_ids`` names the queries in them, ``label_field`` the payload
                field that holds the document's id (the row's own id by default).
            live: measure the current settings too.
            options: ``rows`` (ground truth on a sample), ``copy_rows`` (20,000), ``concurrency``
                ((1, 4); empty for no timing), ``seconds`` per timing, ``memory`` (bytes for the
                ground truth), ``fresh`` (ignore cached ground truth), ``seed``, ``timeout`` for
                building a candidate, ``accept`` (``"differs"``; ``"client"`` also permits
                client-side codes; ``"exact"`` rejects approximations).

        Raises:
            InputError, UnsupportedError, StoreError
        """
        from qadapt.evaluation.evaluate import evaluate

        return evaluate(
            self._store, self.name, self._vector(vector)[0], settings=settings, k=k,
            queries=queries, encoder=encoder, query_ids=query_ids, labels=labels,
            label_field=label_field, live=live, progress=progress or silent, **options,
        )  # fmt: skip

    def simulate(
        self,
        *settings: SettingLike,
        vector: str | None = None,
        k: int = 10,
        queries: Any = 200,
        encoder: Encoder | None = None,
        progress: OnProgress | None = None,
        **options: Any,
    ) -> Simulation:
        """Predict the recall of settings with models of the database's quantizers; nothing is
        written or changed.

        Args:
            settings, queries, encoder: see ``evaluate``.
            options: ``sample_rows`` (10,000), ``segments`` of a Qdrant collection, ``memory``,
                ``fresh``, ``seed``.

        Raises:
            InputError, StoreError
        """
        from qadapt.evaluation.simulate import simulate

        return simulate(
            self._store,
            self.name,
            self._vector(vector)[0],
            settings,
            k=k,
            queries=queries,
            encoder=encoder,
            progress=progress or silent,
            **options,
        )

    def advise(
        self,
        target: Target | float,
        *,
        vector: str | None = None,
        queries: Any = 200,
        encoder: Encoder | None = None,
        confirm: bool = True,
        progress: OnProgress | None = None,
        **options: Any,
    ) -> Advice:
        """Find the cheapest setting that meets a target by simulation, and confirm it.

        Args:
            target: ``qa.Target(0.98, max_ram=..., max_latency_ms=..., price=...)``, or the recall.
            queries, encoder: see ``evaluate``.
            confirm: test the cheapest settings on a copied sample, which is removed afterwards.
            options: permitted ``codes``, ``sample_rows``, ``copy_rows``, ``fresh``, ``seed``,
                ``timeout``, ``accept`` (see ``evaluate``).

        Returns:
            Advice: ``best``, ``runner_up``, ``ruled_out`` with reasons, and ``spec`` for
            ``qadapt plan -f``.

        Raises:
            SpecError, InputError, StoreError
        """
        from qadapt.evaluation.advise import advise
        from qadapt.evaluation.results import Target

        wanted = target if isinstance(target, Target) else Target(target)
        return advise(
            self._store, self.name, self._vector(vector)[0], wanted, queries=queries,
            encoder=encoder, confirm=confirm, progress=progress or silent, **options,
        )  # fmt: skip
