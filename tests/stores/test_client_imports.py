"""Warnings of client packages and their dependencies are not printed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt.stores import client_imports

# Like authlib: its filter is inserted before existing ones.
_DEPENDENCY = """
import warnings

class Mine(DeprecationWarning):
    pass

warnings.simplefilter("always", Mine)
warnings.warn("this module is deprecated", Mine, stacklevel=3)
warnings.warn("pkg_resources is deprecated as an API. See https://setuptools", UserWarning)
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of modules for this test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_deprecations_of_an_import_are_dropped_and_other_warnings_are_not(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packages / "gone_quiet.py").write_text(_DEPENDENCY)
    (packages / "not_quiet.py").write_text(
        "import warnings; warnings.warn('numpy is too old for this', RuntimeWarning)"
    )
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        client_imports.load("gone_quiet")
        assert reported == []
        client_imports.load("not_quiet")
    assert [str(each.message) for each in reported] == ["numpy is too old for this"]
    with pytest.raises(ImportError):
        client_imports.load("is_not_installed")
    monkeypatch.setitem(sys.modules, "gone_quiet", None)
    with pytest.raises(ImportError):
        client_imports.load("gone_quiet")


def test_a_module_that_is_loaded_does_not_touch_the_filters(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packages / "loaded_once.py").write_text("number = 1")
    assert client_imports.load("loaded_once").number == 1
    monkeypatch.setattr(warnings, "catch_warnings", None)
    assert client_imports.load("loaded_once").number == 1


def test_filters_are_the_same_after_imports_in_many_threads(packages: Path) -> None:
    names = [f"many_{number}" for number in range(20)]
    for name in names:
        (packages / f"{name}.py").write_text(f"import time; time.sleep(0.005)\n{_DEPENDENCY}")
    before = list(warnings.filters)
    threads = [threading.Thread(target=client_imports.load, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "script"),
    some([
        (
            "weaviate",
            "from qadapt.stores.weaviate.connection import module, proto\nmodule()\n"
            "proto()\nmodule('classes.init'), module('auth'), module('connect')",
        ),
        ("pymilvus", "from qadapt.stores.milvus.connection import module\nmodule()"),
        ("qdrant_client", "from qadapt.stores.qdrant.server.connection import module\nmodule()"),
        (
            "qdrant_edge",
            "from qadapt.stores.qdrant.edge.connection import client_module\nclient_module()",
        ),
    ], 2),
)  # fmt: skip
def test_importing_a_client_prints_nothing(package: str, script: str) -> None:
    """In a subprocess; without httpx2, which authlib 1.9 requests with a warning."""
    pytest.importorskip(package)
    script = f"import sys\nsys.modules['httpx2'] = None\n{textwrap.dedent(script)}"
    done = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_local_mode_writes_many_points_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The warning of the client is intended for its direct users."""
    local = pytest.importorskip("qdrant_client.local.local_collection")
    warned: set[str] = set()
    monkeypatch.setattr(local.LocalCollection, "LARGE_DATA_THRESHOLD", 20)
    monkeypatch.setattr("qdrant_client.common.client_warnings.SEEN_MESSAGES", warned)
    with qa.open("qdrant::memory:") as database:
        collection = database.create("many", dim=2)
        collection.write(qa.Batch(list(range(21)), {"": np.ones((21, 2))}))
    assert warned == {"large-local-collection"}  # the client warns once; here it is no error
