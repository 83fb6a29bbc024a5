"""The data that checks use: one vector of a live collection. Each value is read once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import exact_scores, unit
from qadapt.local.settings import read_settings
from qadapt.local.state import Settings, VectorSettings
from qadapt.model import (
    CollectionInfo,
    Hits,
    Id,
    Kind,
    MatchLevel,
    Metric,
    Quantization,
    Rescore,
    State,
    VectorInfo,
    vector_norms,
)
from qadapt.model.cli_commands import cli_command, vector_command
from qadapt.model.rescore import candidate_count
from qadapt.search import search
from qadapt.stores.base import SearchRequest, Store

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
K = 10
# Reasons why the direction of a vector cannot be compared.
NOT_FINITE = "NaN or infinite values"
ZERO = "all components 0 with the cosine metric"
SHORT = "a norm far below 1, which the engine did not normalize"
BEYOND = "a norm outside the range of float32 arithmetic"
TOO_FAR = "scores that may be infinite in float32 (norms above 9e18, or 1.8e19 with dot)"
SHORTEST = 0.5
# Relative rounding error of a sum of float32 products; norms whose square overflows.
ROUNDING, FAR = 4 * 2.0**-24, 1e15
# Rows whose own vector is searched for, and queries that are timed.
PROBES = 200
TIMED = 24


class NoDataError(Exception):
    """A check cannot run on this collection; the message is the reason."""


def _lengths(rows: Floats) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    return found


@dataclass(frozen=True)
class CheckContext:
    """One vector of a live collection.

    Attributes:
        store, info: the store and the current state of the collection.
        name: name of the vector.
        sampled: number of rows to sample for the checks that read vectors.
        model_metric: the metric of the embedding model; None if unknown.
        seed: random seed of the sample.
    """

    store: Store
    info: CollectionInfo
    name: str
    sampled: int = 1000
    model_metric: Metric | None = None
    seed: int = 0

    @property
    def vector(self) -> VectorInfo:
        """The configuration and the verified status of the vector."""
        return self.info.vectors[self.name]

    @property
    def quantization(self) -> Quantization:
        """The configured quantization."""
        return self.vector.quantization

    @property
    def coded(self) -> bool:
        """Whether codes are configured, and not only a shorter float type."""
        return self.quantization.kind not in (Kind.NONE, Kind.FLOAT16)

    @property
    def active(self) -> bool:
        """Whether codes are configured and verified active."""
        return self.coded and self.vector.status.state is State.ACTIVE

    @cached_property
    def all_settings(self) -> Settings:
        """The qadapt settings of the collection."""
        return read_settings(self.store, self.info.name)

    @property
    def settings(self) -> VectorSettings:
        """The qadapt settings of the vector."""
        return self.all_settings.of(self.name)

    @property
    def rescore(self) -> Rescore | None:
        """The default rescoring of searches."""
        return self.vector.default_rescore

    # -- rows --------------------------------------------------------------------------------

    @cached_property
    def sampled_batch(self) -> tuple[list[Id], Floats]:
        """Ids and stored vectors of uniformly sampled rows, float32 ``(n, d)``.

        Raises:
            NoDataError: no row has the vector.
        """
        batch = self.store.sample(self.info.name, self.sampled, seed=self.seed, vectors=[self.name])
        there = ~batch.missing.get(self.name, np.zeros(len(batch), dtype=np.bool_))
        ids = [key for key, present in zip(batch.ids, there, strict=True) if present]
        if not ids:
            raise NoDataError("the collection has no rows with this vector")
        return ids, batch.vectors[self.name][there]

    @cached_property
    def unusable(self) -> dict[str, Bools]:
        """Sampled rows without a comparable direction, bool ``(n,)`` for each reason."""
        rows = self.sampled_batch[1]
        finite = np.asarray(np.isfinite(rows).all(axis=1))
        found = {NOT_FINITE: ~finite}
        lengths = np.zeros(len(rows))
        lengths[finite] = _lengths(rows[finite])
        if (largest := vector_norms.LARGEST.get(self.vector.metric)) is not None:
            # Some engines leave such rows out of results.
            found[TOO_FAR] = lengths > largest
        if self.vector.metric is Metric.COSINE:
            zero = finite & ~rows.any(axis=1)
            found[ZERO] = zero
            rest = finite & ~zero
            if self.store.traits.normalizes_cosine and self.vector.datatype != "uint8":
                found[SHORT] = rest & (lengths < SHORTEST)
            else:
                low, high = vector_norms.STORED_AS_GIVEN
                found[BEYOND] = rest & ((lengths < low) | (lengths > high))
        return {why: mask for why, mask in found.items() if mask.any()}

    @cached_property
    def sample(self) -> tuple[list[Id], Floats]:
        """Ids and vectors of the sampled rows with a comparable direction.

        Raises:
            NoDataError: there are fewer than 2.
        """
        ids, rows = self.sampled_batch
        good = np.ones(len(ids), dtype=np.bool_)
        for mask in self.unusable.values():
            good &= ~mask
        kept = [key for key, usable in zip(ids, good.tolist(), strict=True) if usable]
        if len(kept) < 2:
            raise NoDataError(
                f"only {len(kept)} of {len(ids)} sampled rows have a usable vector; at least 2 are "
                "required"
                if len(ids) > 1
                else "the collection has only 1 row; at least 2 are required"
            )
        return kept, rows[good]

    @property
    def rows(self) -> Floats:
        """The vectors of the sample."""
        return self.sample[1]

    @cached_property
    def lengths(self) -> npt.NDArray[np.float64]:
        """L2 norms of the sample."""
        return _lengths(self.rows)

    @property
    def spread(self) -> float:
        """Ratio of the 95 % and 5 % quantiles of the norms, without zero vectors."""
        lengths = self.lengths[self.lengths > 0]
        if not len(lengths):
            return 1.0
        low, high = np.quantile(lengths, [0.05, 0.95])
        return float(high / low)

    @cached_property
    def directions(self) -> Floats:
        """The nonzero rows of the sample, normalized."""
        return unit(self.rows[self.lengths > 0])

    @cached_property
    def mean_cosine(self) -> float:
        """Mean cosine similarity of two different rows of the sample; 0 for fewer than two rows."""
        n = len(self.directions)
        if n < 2:
            return 0.0
        total = float(np.square(self.directions.sum(axis=0, dtype=np.float64)).sum())
        return (total - n) / (n * (n - 1))

    @cached_property
    def bits(self) -> Bools:
        """The sign bits of the sample, with the store's convention for 0."""
        positive = self.store.traits.zero_is_positive and self.vector.quantized_by == "store"
        found: Bools = self.rows >= 0 if positive else self.rows > 0
        return found

    @cached_property
    def sign_bias(self) -> Floats:
        """|mean sign| of each dimension; 1 if all rows share the bit."""
        found: Floats = np.abs(2 * self.bits.mean(axis=0, dtype=np.float64) - 1).astype(np.float32)
        return found

    @cached_property
    def bit_entropy(self) -> float:
        """Mean entropy of a sign bit, in bits: 1 if half of the rows have it, 0 if all do."""
        share = np.clip(self.bits.mean(axis=0, dtype=np.float64), 1e-12, 1 - 1e-12)
        return float(-(share * np.log2(share) + (1 - share) * np.log2(1 - share)).mean())

    @cached_property
    def distinct_values(self) -> int:
        """The largest number of distinct values in one vector of the sample."""
        steps = np.diff(np.sort(self.rows, axis=1), axis=1) > 0
        return 1 + int(steps.sum(axis=1).max(initial=0))

    def found_by_bits(self, factor: float) -> float:
        """The share of the nearest rows of the sample among the best ``factor * k`` by bits."""
        asked, k = self.rows[:PROBES], min(K, len(self.rows) - 1)
        count = min(len(self.rows) - 1, candidate_count(k, factor))
        signs = np.where(self.bits, np.float32(1), np.float32(-1))
        return self._agreeing(signs[: len(asked)] @ signs.T, asked, count, k)

    def agreement(self, metric: Metric) -> float:
        """The share of neighbors by another metric that are also neighbors by the own metric.

        Rows with equal scores are interchangeable.
        """
        asked, k = self.rows[:100], min(K, len(self.rows) - 1)
        return self._agreeing(exact_scores(*self._small(asked), metric), asked, k, k)

    def _agreeing(self, other: Floats, asked: Floats, count: int, k: int) -> float:
        """The share of the ``k`` best scores reached by the ``count`` best rows of other scores."""
        scores = exact_scores(*self._small(asked), self.vector.metric)
        place = np.arange(len(asked))
        scores[place, place] = other[place, place] = -np.inf
        best = -np.sort(-scores, axis=1)[:, k - 1]
        near = np.argpartition(-other, count - 1, axis=1)[:, :count]
        reached = np.take_along_axis(scores, near, axis=1)
        most = np.where(np.isfinite(scores), np.abs(scores), 0).max(axis=1)
        room = ROUNDING * np.sqrt(asked.shape[1]) * most
        hits = (reached >= (best - room)[:, None]).sum(axis=1)
        return float(np.minimum(hits, k).mean() / k)

    def _small(self, asked: Floats) -> tuple[Floats, Floats]:
        """Queries and rows, scaled down if their squares would overflow; ranks do not change."""
        most = float(self.lengths.max(initial=0))
        by = np.float32(1 / most) if most > FAR else np.float32(1)
        return asked * by, self.rows * by

    # -- searches ----------------------------------------------------------------------------

    def search(self, queries: Floats, k: int = K, rescore: Rescore | None = None) -> Hits:
        """A search with the same path as a user's search."""
        about = self.vector.vector
        wanted = SearchRequest(k=k, vector=self.name, rescore=rescore)
        return search(self.store, self.info.name, queries, wanted, about, self.settings)

    def milliseconds(self, rescore: Rescore | None) -> float:
        """Median time of a single warm query, in milliseconds."""
        queries = self.rows[:TIMED]
        self.search(queries[:4], rescore=rescore)
        spent = []
        for at in range(len(queries)):
            begun = time.perf_counter()
            self.search(queries[at : at + 1], rescore=rescore)
            spent.append(1000 * (time.perf_counter() - begun))
        return float(np.median(spent))

    # -- commands that fix a finding ---------------------------------------------------------

    @property
    def scalar(self) -> Quantization:
        """Scalar codes of the largest width that the store has; of 8 bits if it has none."""
        widths = [Quantization(Kind.SCALAR, bits=bits) for bits in (8, 7, 6, 4)]
        has = (
            each
            for each in widths
            if self.store.map(each, self.vector.vector).match.level is not MatchLevel.UNSUPPORTED
        )
        return next(has, widths[0])

    def command(self, verb: str, quantization: Quantization | None = None, **options: str) -> str:
        """The command ``qadapt VERB URL COLLECTION QUANTIZATION``, quoted for a shell."""
        address, collection = self.store.address, self.info.name
        return vector_command(verb, address, collection, self.name, quantization, **options)

    def other_metric(self, metric: Metric) -> str:
        """The command that changes the metric of the vector; empty if no command can.

        With aliases: a copy and a switched alias. Otherwise: a new collection, by export and
        import.
        """
        if self.store.traits.recreates:
            return self.command("plan", metric=str(metric))
        if len(self.info.vectors) > 1:
            return ""  # an import uses one metric for all vectors of a file
        place, name = f"{self.store.address.identity}#", self.info.name
        file, other = f"{name}.parquet", f"{name}_{metric}"
        out = cli_command("export", place + name, file)
        back = cli_command("import", file, place + other, metric=str(metric))
        return f"{out} && {back}"

    def apply(self, **changes: Any) -> str:
        """The command that applies the current quantization with changes."""
        return self.command("apply", self.quantization.replace(**changes))
