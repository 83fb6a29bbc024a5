"""What all tests share: live engines (``live.plugin``), real embeddings, a state folder."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from qadapt.model import masking

REPO = Path(__file__).resolve().parents[1]

pytest_plugins = ["live.plugin"]

# On CI the same examples each time, so that what fails is what was changed; elsewhere new ones.
hypothesis.settings.register_profile("qadapt", deadline=None)
hypothesis.settings.register_profile("qadapt-ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("qadapt-ci" if os.environ.get("CI") else "qadapt")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# -- state ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of this test's own, so that the user's is never touched."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("QADAPT_STATE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def forgotten_keys() -> Iterator[None]:
    """Forget the keys that a test used: from then on they would be masked everywhere."""
    yield
    masking._used.clear()


# -- real embeddings -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Embeddings:
    """SciFact by all-MiniLM-L6-v2: 5,183 abstracts and 300 claims, of length 1.

    Attributes:
        docs, queries: float32 ``(n, 384)``.
        doc_ids, query_ids: their ids in the data set.
        qrels: ``{query id: {doc id: 1}}``.
    """

    docs: np.ndarray
    queries: np.ndarray
    doc_ids: list[str]
    query_ids: list[str]
    qrels: dict[str, dict[str, int]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared data: ``../shared/data`` beside the repository, or QADAPT_SHARED."""
    folder = Path(os.environ.get("QADAPT_SHARED", REPO.parent / "shared")) / "data"
    if not (folder / "scifact-minilm.npz").is_file():
        pytest.skip(f"no scifact-minilm.npz in {folder}: set QADAPT_SHARED to the folder of data/")
    return folder


@pytest.fixture(scope="session")
def scifact(shared_data: Path) -> Embeddings:
    """Real embeddings with labels; read once."""
    with np.load(shared_data / "scifact-minilm.npz") as arrays:
        return Embeddings(
            docs=arrays["docs"].astype(np.float32),
            queries=arrays["queries"].astype(np.float32),
            doc_ids=[str(key) for key in arrays["doc_ids"].tolist()],
            query_ids=[str(key) for key in arrays["query_ids"].tolist()],
            qrels=json.loads((shared_data / "scifact-qrels.json").read_text(encoding="utf-8")),
        )
