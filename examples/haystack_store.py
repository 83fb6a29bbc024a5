"""Haystack over a quantized collection: write documents, retrieve with rescoring and filters.

    pip install 'qadapt-vectors[edge,haystack]'
    python examples/haystack_store.py [FOLDER]

Replace `embedded` with your embedder; it only makes this example run without a download.
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from haystack import Document, Pipeline

from qadapt.integrations.haystack import QadaptDocumentStore, QadaptEmbeddingRetriever

TEXTS = [
    "Vector quantization saves memory.",
    "Quantization of vectors needs less memory.",
    "Rescoring corrects the order of candidates.",
    "Cats sleep most of the day.",
]


def embedded(text: str) -> list[float]:
    """Sum of a random vector for each word."""
    words = text.lower().strip(".?").split()
    vectors = [np.random.default_rng(zlib.crc32(w.encode())).normal(size=64) for w in words]
    return np.sum(vectors, axis=0).tolist()


def main(folder: Path) -> None:
    store = QadaptDocumentStore.create(
        f"edge:{folder}#notes", dim=64, quantization="binary:rescore=4"
    )
    store.write_documents(
        [
            Document(
                id=f"note {row}", content=text, meta={"year": 2020 + row}, embedding=embedded(text)
            )
            for row, text in enumerate(TEXTS)
        ]
    )
    # The embedded engine builds codes on request, a Qdrant server in the background.
    store.collection.plan("binary:rescore=4").apply(yes=True)
    print("codes:", store.collection.info().vectors[""].status.state)

    pipeline = Pipeline()
    pipeline.add_component("retriever", QadaptEmbeddingRetriever(store, top_k=2, rescore=8))
    query = embedded("Which quantization saves memory?")
    result = pipeline.run({"retriever": {"query_embedding": query}})
    for document in result["retriever"]["documents"]:
        print(f"{document.score:.3f}", document.id, document.content)

    recent = {"field": "meta.year", "operator": ">=", "value": 2021}
    found = store.embedding_retrieval(query, filters=recent)
    print("since 2021:", [document.id for document in found])
    store.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
