"""Declared capabilities, for the matrix and for one server."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qdrant_helpers import Replay

from qadapt.model import Support
from qadapt.model.capabilities import FEATURES
from qadapt.stores.qdrant.server.connection import LOCAL
from qadapt.stores.qdrant.server.store import QdrantStore


def test_every_feature_is_declared_with_its_check() -> None:
    declared = QdrantStore.profile.declared_capabilities()
    assert set(FEATURES) <= set(declared.features)
    for name, each in declared.features.items():
        assert each.support is Support.NATIVE, name
        assert "1.16.3" in each.reason or "documentation" in each.reason, name


@pytest.mark.parametrize(
    ("version", "lacking"),
    [
        ("1.14.1", "native-binary:2"),
        ("1.16.3", "native-rotational"),
        ("1.19.0", "native-rotational:8"),
        ("1.9.0", "native-float16"),
        ("1.3.2", "native-quantization"),
    ],
)
def test_an_older_server_has_fewer_features(version: str, lacking: str) -> None:
    found = Replay(version).store().capabilities()[lacking]
    assert found.support is not Support.NATIVE
    assert version in found.reason


def test_local_mode_has_no_quantization_with_a_reason() -> None:
    found = QdrantStore.profile.declared_capabilities(None, LOCAL)
    assert found["native-quantization"].support is Support.CLIENT
    assert found["native-rotational:4"].support is Support.UNSUPPORTED
    assert "local mode" in found["native-quantization"].reason
    assert found.native("native-filter")


def test_the_store_is_registered_without_its_client() -> None:
    code = (
        "import sys; sys.modules['qdrant_client'] = sys.modules['qdrant_edge'] = None\n"
        "from qadapt.stores.registry import profile\n"
        "assert profile('qdrant').declared_capabilities().store == 'qdrant'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
