"""The nearest quantization of a target that lacks the source's, by profile and version."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from qadapt.migration.nearest import map_quantization
from qadapt.model import MatchLevel, Quantization, Vector
from qadapt.model.capabilities import narrow
from qadapt.stores.milvus import mapping as milvus
from qadapt.stores.milvus.profile import RULES as MILVUS
from qadapt.stores.milvus.version import ServerVersion as MilvusVersion
from qadapt.stores.qdrant import mapping as qdrant
from qadapt.stores.qdrant.edge.profile import RULES as EDGE
from qadapt.stores.qdrant.server.profile import PROFILE as QDRANT_PROFILE
from qadapt.stores.qdrant.server.profile import RULES as QDRANT
from qadapt.stores.weaviate import mapping as weaviate
from qadapt.stores.weaviate.profile import RULES as WEAVIATE
from qadapt.stores.weaviate.version import ServerVersion as WeaviateVersion

VECTOR = Vector(64, "cosine")


def target(engine: str, version: str) -> Any:
    """The capabilities and the mapping of one engine at one version."""
    if engine in ("milvus", "lite"):
        deployment = "server" if engine == "milvus" else "lite"
        rules, made = MILVUS[deployment], MilvusVersion(version, deployment)
        maps = milvus.to_native
    elif engine == "weaviate":
        rules, deployment, made = WEAVIATE, "server", WeaviateVersion(version)
        maps = weaviate.to_native
    elif engine == "local":
        rules, deployment, made = QDRANT_PROFILE.rules["local"], "local", None
        maps = qdrant.to_native
    else:
        rules, deployment, made = (EDGE, "embedded", None) if engine == "edge" else (
            QDRANT, "server", version
        )  # fmt: skip
        maps = qdrant.to_native
    capabilities = narrow(engine, rules, version, deployment)
    return SimpleNamespace(
        name=engine,
        capabilities=lambda: capabilities,
        map=lambda wanted, vector: maps(wanted, vector, made),
    )


# Bits per dimension by hand: product is 32 / ratio.
NEAREST = [
    # Sign bits and RaBitQ are one family of 1 bit.
    ("rotational:bits=1", "milvus", "2.3.5", "binary"),
    ("rotational:bits=1.5", "milvus", "2.3.5", "binary"),
    ("binary:query_bits=8", "milvus", "2.3.5", "binary"),
    ("binary:bits=2", "milvus", "2.3.5", "binary"),
    ("binary:bits=2", "weaviate", "1.39.2", "binary"),
    ("rotational:bits=2", "weaviate", "1.39.2", "rotational"),
    ("binary", "lite", "3.0", "scalar"),
    ("rotational:bits=1", "lite", "3.0", "scalar"),
    # 8 bits: scalar codes, not the 1 bit that some versions have of the same kind.
    ("rotational:bits=8", "milvus", "2.3.5", "scalar"),
    ("rotational:bits=8", "milvus", "2.6.0", "scalar"),
    ("rotational:bits=8", "milvus", "3.0", "rotational:bits=8"),
    ("rotational:bits=8", "lite", "3.0", "scalar"),
    ("rotational:bits=8", "qdrant", "1.17.0", "scalar:bits=7"),
    ("rotational:bits=8", "edge", "0.9.0", "rotational:bits=8"),
    ("rotational:bits=8", "weaviate", "1.27.0", "scalar"),
    ("scalar:bits=4", "edge", "0.9.0", "rotational"),
    ("scalar:bits=4", "milvus", "2.3.5", "scalar"),
    ("scalar:bits=6", "edge", "0.9.0", "scalar:bits=7"),
    ("scalar:bits=6", "weaviate", "1.39.2", "scalar"),
    # Product codes remain product codes, of the nearest size; else scalar codes.
    ("product:ratio=10", "edge", "0.9.0", "product:ratio=8"),
    ("product:ratio=16", "lite", "3.0", "scalar"),
    # Half floats.
    ("float16", "weaviate", "1.39.2", "rotational:bits=8"),
    ("float16", "milvus", "2.3.5", "scalar"),
    ("float16", "milvus", "2.5.0", "float16"),
    ("float16", "lite", "3.0", "scalar"),
]


@pytest.mark.parametrize(("wanted", "engine", "version", "found"), NEAREST)
def test_the_nearest_codes_are_chosen_by_bits_and_kind(
    wanted: str, engine: str, version: str, found: str
) -> None:
    asked = Quantization.parse(wanted)
    near, _, match = map_quantization(target(engine, version), asked, VECTOR)
    assert near == Quantization.parse(found)
    if near != asked:
        assert match.level is MatchLevel.DIFFERS
        assert match.differences[0].startswith(f"{near} instead of {asked}: ")


def test_placements_are_kept() -> None:
    asked = Quantization.parse("scalar:bits=4,codes=ram,originals=disk")
    near, built, _ = map_quantization(target("edge", "0.9.0"), asked, VECTOR)
    assert str(near) == "rotational:bits=4,codes=ram,originals=disk"
    assert (built.codes, built.originals) == ("ram", "disk")


def test_a_requested_kind_is_kept_or_refused_with_the_option_that_works() -> None:
    near, _, match = map_quantization(
        target("lite", "3.0"), Quantization.parse("binary"), VECTOR, requested=True
    )
    assert (str(near), match.level) == ("none", MatchLevel.UNSUPPORTED)
    assert match.support[0] == "quantization='scalar' (--quantize scalar)"
    near, _, match = map_quantization(
        target("edge", "0.9.0"), Quantization.parse("product:ratio=10"), VECTOR, requested=True
    )
    assert (str(near), match.level) == ("product:ratio=8", MatchLevel.DIFFERS)


@pytest.mark.parametrize(("engine", "version"), [("local", "1.19"), ("lite", "2.5.1")])
def test_without_codes_in_the_target_the_option_is_none(engine: str, version: str) -> None:
    asked = Quantization.parse("rotational:bits=8")
    _, _, match = map_quantization(target(engine, version), asked, VECTOR)
    assert match.level is MatchLevel.UNSUPPORTED
    assert match.support[0] == "quantization='none' (--quantize none)"
