"""LangChain over a quantized collection: add, search with rescoring and filters, diversify.

    pip install 'qadapt-vectors[edge,langchain]'
    python examples/langchain_store.py [FOLDER]

Replace `Hashed` with your embedding model; it only makes this example run without a download.
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings

from qadapt.integrations.langchain import QadaptVectorStore

TEXTS = [
    "Vector quantization saves memory.",
    "Quantization of vectors needs less memory.",
    "Rescoring corrects the order of candidates.",
    "A filter selects rows by their metadata.",
    "Cats sleep most of the day.",
]


class Hashed(Embeddings):
    """Sum of a random vector for each word."""

    def embed_query(self, text: str) -> list[float]:
        words = text.lower().strip(".?").split()
        vectors = [np.random.default_rng(zlib.crc32(w.encode())).normal(size=64) for w in words]
        return np.sum(vectors, axis=0).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def main(folder: Path) -> None:
    with QadaptVectorStore.create(
        Hashed(), f"edge:{folder}#notes", quantization="binary:rescore=4"
    ) as store:
        years = [{"year": 2020 + row} for row in range(len(TEXTS))]
        store.add_texts(TEXTS, years, ids=[f"note {row}" for row in range(len(TEXTS))])

        # The embedded engine builds codes on request, a Qdrant server in the background.
        store.collection.plan("binary:rescore=4").apply(yes=True)
        print("codes:", store.collection.info().vectors[""].status.state)

        question = "Which quantization saves memory?"
        for document, score in store.similarity_search_with_score(question, k=2, rescore=8):
            print(f"{score:.3f}", document.id, document.page_content)

        found = store.similarity_search(question, k=5, filter={"year": {"$gte": 2022}})
        print("since 2022:", [each.id for each in found])

        diverse = store.max_marginal_relevance_search(question, k=2, lambda_mult=0.3)
        print("diverse:", [each.id for each in diverse])

        retriever = store.as_retriever(search_kwargs={"k": 1, "rescore": "off"})
        print("codes only:", retriever.invoke(question)[0].id)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
