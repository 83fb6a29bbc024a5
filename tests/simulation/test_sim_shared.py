"""What the models of several settings share is computed once, with the same predictions."""

from __future__ import annotations

import numpy as np
import pytest

import qadapt as qa
from qadapt.evaluation import predictions
from qadapt.evaluation.shortlist import CODES
from qadapt.model import Kind, MatchLevel, Metric, Quantization, Vector
from qadapt.quantizers import centroids, rabitq
from qadapt.quantizers.base import Shared
from qadapt.quantizers.rabitq import RaBitQ
from qadapt.simulation import registry
from qadapt.stores.milvus.quantizer_models import Product
from qadapt.testing.data import clustered


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each round of k-means."""
    found: list[int] = []
    improve = centroids._improve

    def call(centres: np.ndarray, rows: np.ndarray, random: np.random.Generator) -> None:
        found.append(len(rows))
        improve(centres, rows, random)

    monkeypatch.setattr(centroids, "_improve", call)
    return found


def test_settings_that_a_database_maps_to_the_same_codes_are_modeled_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    ranked = predictions._Modelled._ranked

    def call(self: predictions._Modelled, mapped: object) -> object:
        calls.append(str(mapped))
        return ranked(self, mapped)  # type: ignore[arg-type]

    monkeypatch.setattr(predictions._Modelled, "_ranked", call)
    rows = clustered(800, 64).rows
    settings = ("scalar", "rotational:bits=8", "rotational:bits=8,rescore=4", "rotational:bits=1")
    found = qa.simulate(rows, settings, queries=20, store="weaviate")
    assert found.results[0].target == found.results[1].target
    assert found.results[0].recall == found.results[1].recall
    assert len(calls) == 2


def test_models_with_the_same_lists_learn_them_once(counted: list[int]) -> None:
    rows = clustered(4_000, 32).rows
    alone = [RaBitQ(Metric.COSINE, 32, bits).fit(rows) for bits in (1, 4)]
    each = len(counted)
    counted.clear()
    shared = Shared()
    together = [RaBitQ(Metric.COSINE, 32, bits).fit(rows, shared) for bits in (1, 4)]
    assert len(counted) * 2 == each
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.rows(rows).matrix, other.rows(rows).matrix)
    counted.clear()
    product = Product(Metric.COSINE, 32, 8, lists=rabitq_lists(together[0]))
    product.fit(rows, shared)
    assert len(counted) == 8 * sum(times for _, times in centroids.GROWING), (
        "only the codebooks of 8 segments"
    )


def rabitq_lists(model: object) -> int:
    assert isinstance(model, rabitq.RaBitQ)
    return model._lists


def test_the_first_rounds_of_kmeans_read_a_sample(counted: list[int]) -> None:
    centroids.kmeans(clustered(12_000, 4).rows, 256)
    assert counted == [2_048] * 4 + [5_000] * 3 + [10_000] * 2
    counted.clear()
    centroids.kmeans(clustered(500, 4).rows, 16, rounds=3)
    assert counted == [500] * 3


@pytest.mark.parametrize("store", ["qdrant", "weaviate", "milvus"])
def test_the_checks_of_models_have_the_names_of_the_models(store: str) -> None:
    vector = Vector(dim=256, metric=Metric.COSINE)
    found = set()
    for text in CODES:
        mapped = registry.mapped_to(store, Quantization.parse(text), vector)
        if mapped.match.level is MatchLevel.UNSUPPORTED or mapped.target.kind is Kind.NONE:
            continue
        found.add((text, registry.model_of(store, mapped, vector).check is not None))
    assert {text for text, checked in found if not checked} <= {"rotational:bits=8"}
    assert len(found) > 5
