"""What the checks look at: one vector of a live collection, each thing read once."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import exact_scores, unit
from qadapt.evaluation.neighbours import recall_in
from qadapt.local.settings import read_settings
from qadapt.local.state import VectorSettings
from qadapt.model import (
    CollectionInfo,
    Hits,
    Id,
    Kind,
    Metric,
    Quantization,
    Rescore,
    State,
    VectorInfo,
)
from qadapt.search import search
from qadapt.stores.base import Search, Store

Floats = npt.NDArray[np.float32]
K = 10
# Rows that are searched by their own vector, and queries that are timed.
PROBES = 200
TIMED = 24


class NothingToSeeError(Exception):
    """A check cannot be made here; says why."""


@dataclass(frozen=True)
class Subject:
    """One vector of a live collection.

    Attributes:
        store, info: where it is, as just seen.
        name: of the vector.
        sampled: rows drawn for the checks that look at vectors.
        model_metric: what the user says that the embedding model was made for; None if not said.
        seed: of the sample.
    """

    store: Store
    info: CollectionInfo
    name: str
    sampled: int = 1000
    model_metric: Metric | None = None
    seed: int = 0

    @property
    def vector(self) -> VectorInfo:
        """As configured and as seen."""
        return self.info.vectors[self.name]

    @property
    def quantization(self) -> Quantization:
        """As configured."""
        return self.vector.quantization

    @property
    def coded(self) -> bool:
        """Whether codes, and not just shorter floats, are configured."""
        return self.quantization.kind not in (Kind.NONE, Kind.FLOAT16)

    @property
    def active(self) -> bool:
        """Whether codes are configured and were seen to be in force."""
        return self.coded and self.vector.status.state is State.ACTIVE

    @cached_property
    def settings(self) -> VectorSettings:
        """What qadapt remembers of the vector."""
        return read_settings(self.store, self.info.name).of(self.name)

    @property
    def rescore(self) -> Rescore | None:
        """What a search gets that says nothing."""
        return self.vector.default_rescore

    # -- rows --------------------------------------------------------------------------------

    @cached_property
    def sample(self) -> tuple[list[Id], Floats]:
        """Ids and vectors of rows drawn evenly, float32 ``(n, d)``.

        Raises:
            NothingToSeeError: fewer than 2 rows have the vector.
        """
        batch = self.store.sample(self.info.name, self.sampled, seed=self.seed, vectors=[self.name])
        there = ~batch.missing.get(self.name, np.zeros(len(batch), dtype=np.bool_))
        ids = [key for key, present in zip(batch.ids, there, strict=True) if present]
        if len(ids) < 2:
            raise NothingToSeeError("there are no rows to look at")
        return ids, batch.vectors[self.name][there]

    @property
    def rows(self) -> Floats:
        """The vectors of the sample."""
        return self.sample[1]

    @cached_property
    def lengths(self) -> Floats:
        """L2 norms of the sample."""
        found: Floats = np.linalg.norm(self.rows, axis=1).astype(np.float32)
        return found

    @property
    def spread(self) -> float:
        """How many times longer the long vectors (95 %) are than the short ones (5 %)."""
        low, high = np.quantile(self.lengths, [0.05, 0.95])
        return float(high / low) if low > 0 else float("inf")

    @cached_property
    def mean_cosine(self) -> float:
        """Mean cosine of two different rows of the sample."""
        rows = unit(self.rows)
        total = float(np.square(rows.sum(axis=0, dtype=np.float64)).sum())
        n = len(rows)
        return (total - n) / (n * (n - 1))

    @cached_property
    def sign_bias(self) -> Floats:
        """|mean sign| of each dimension: 1 where a bit says nothing because all rows share it."""
        signs = np.where(self.rows > 0, np.float32(1), np.float32(-1))
        found: Floats = np.abs(signs.mean(axis=0))
        return found

    def agreement(self, metric: Metric) -> float:
        """Mean share of the sample's nearest 10 by another metric that are nearest by its own."""
        asked = self.rows[:100]
        k = min(K, len(self.rows) - 1)
        scores = exact_scores(asked, self.rows, metric)
        own = np.arange(len(asked))
        scores[own, own] = -np.inf
        tops = np.argpartition(-scores, k - 1, axis=1)[:, :k].tolist()
        return float(recall_in(self.rows, asked, self.vector.metric, tops, k, own=own).mean())

    # -- searches ----------------------------------------------------------------------------

    def search(self, queries: Floats, k: int = K, rescore: Rescore | None = None) -> Hits:
        """A search as a user's search is made."""
        about = self.vector.vector
        wanted = Search(k=k, vector=self.name, rescore=rescore)
        return search(self.store, self.info.name, queries, wanted, about, self.settings)

    def milliseconds(self, rescore: Rescore | None) -> float:
        """Median time of one query alone, warm."""
        queries = self.rows[:TIMED]
        self.search(queries[:4], rescore=rescore)
        spent = []
        for at in range(len(queries)):
            begun = time.perf_counter()
            self.search(queries[at : at + 1], rescore=rescore)
            spent.append(1000 * (time.perf_counter() - begun))
        return float(np.median(spent))

    # -- what mends it -----------------------------------------------------------------------

    def command(self, verb: str, quantization: Quantization | None = None, *more: str) -> str:
        """``qadapt VERB URL COLLECTION QUANTIZATION`` as it is typed."""
        words = ["qadapt", verb, str(self.store.address), self.info.name]
        words += [] if quantization is None else [str(quantization)]
        words += ["--vector", self.name] if self.name else []
        return shlex.join([*words, *more])

    def other_metric(self, metric: Metric) -> str:
        """The command that gives the vector another metric: a copy and an alias, or another
        collection by way of a file, where the store has no alias; empty where that is no way."""
        if type(self.store).recreate_steps is not Store.recreate_steps:
            return self.command("plan", None, "--metric", str(metric))
        if len(self.info.vectors) > 1:
            return ""  # an import gives all vectors of a file the same metric
        place, name = f"{self.store.address.identity}#", self.info.name
        file, other = f"{name}.parquet", f"{name}_{metric}"
        out = shlex.join(["qadapt", "export", place + name, file])
        back = shlex.join(["qadapt", "import", file, place + other, "--metric", str(metric)])
        return f"{out} && {back}"

    def apply(self, **changes: Any) -> str:
        """The command that applies the quantization as it is, with changes."""
        return self.command("apply", self.quantization.replace(**changes))
