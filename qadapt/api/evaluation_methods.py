"""What can be measured, simulated and advised of a collection."""

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
    """The measuring half of a collection; what it needs is imported when it is used."""

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
        """Recall, nDCG, latency and bytes of the collection as it is and of other settings.

        Other settings are tried on a copied sample, which is removed afterwards, whatever happens;
        the collection itself is only read.

        Args:
            settings: each ``qa.binary(rescore=4)``, its string, perhaps with search options
                (``"binary:rescore=4 hnsw_ef=128"``), or ``"live:rescore=4"``: the collection as it
                is, searched so.
            vector: its name; may be left out when there is just one.
            queries: float ``(nq, d)``; how many of its own vectors; texts (with ``encoder``); or
                the path of a ``.npy``, ``.txt``, ``.tsv`` or ``.jsonl`` file.
            encoder: turns a list of texts into float ``(n, d)``.
            labels: relevance labels, ``{query id: {document id: gain}}`` or a file (BEIR's TSV,
                TREC, JSON); ``query_ids`` names the queries in them, ``label_field`` the payload
                field that holds the document's id (the row's own id by default).
            live: measure the collection as it is, too.
            options: ``rows`` (truth over a sample), ``copy_rows`` (20,000), ``concurrency`` ((1,
            4);
                empty for no timing), ``seconds`` of timing each, ``memory`` (bytes for the
                truth), ``fresh`` (no kept truth), ``seed``, ``timeout`` of building a candidate,
                ``accept`` (``"differs"``; ``"client"`` takes qadapt's own codes for what the store
                has not; ``"exact"`` refuses cousins).

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
        """Predicted recall of settings, from models of the engine's quantizers; nothing is
        written and no setting is changed.

        Args:
            settings, queries, encoder: see ``evaluate``.
            options: ``sample_rows`` (10,000) that stand for all, ``segments`` of a Qdrant
            collection,
                ``memory``, ``fresh``, ``seed``.

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
        """The cheapest setting that meets a target, from simulation, confirmed on the engine.

        Args:
            target: ``qa.Target(0.98, max_ram=..., max_latency_ms=..., price=...)``, or the recall
                alone.
            queries, encoder: see ``evaluate``.
            confirm: try the cheapest settings on a copied sample, which is removed afterwards.
            options: ``codes`` to choose from, ``sample_rows``, ``copy_rows``, ``fresh``, ``seed``,
                ``timeout``, ``accept`` (see ``evaluate``).

        Returns:
            Advice: ``best``, ``runner_up``, ``ruled_out`` and why, and ``spec``, which
            ``qadapt plan -f`` takes.

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
