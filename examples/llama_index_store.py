"""LlamaIndex over a quantized collection: index nodes, retrieve with rescoring and filters.

    pip install 'qadapt-vectors[edge,llama-index]'
    python examples/llama_index_store.py [FOLDER]

Replace `Hashed` with your embedding model; it only makes this example run without a download.
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from qadapt.integrations.llama_index import QadaptVectorStore

TEXTS = [
    "Vector quantization saves memory.",
    "Quantization of vectors needs less memory.",
    "Rescoring corrects the order of candidates.",
    "Cats sleep most of the day.",
]


class Hashed(BaseEmbedding):
    """Sum of a random vector for each word."""

    def _get_text_embedding(self, text: str) -> list[float]:
        words = text.lower().strip(".?").split()
        vectors = [np.random.default_rng(zlib.crc32(w.encode())).normal(size=64) for w in words]
        return np.sum(vectors, axis=0).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def main(folder: Path) -> None:
    store = QadaptVectorStore.create(
        f"edge:{folder}#notes", dim=64, quantization="binary:rescore=4"
    )
    index = VectorStoreIndex.from_vector_store(store, embed_model=Hashed())
    # The metadata are part of the text that is embedded, unless they are excluded.
    index.insert_nodes(
        [
            TextNode(
                id_=f"note {row}",
                text=text,
                metadata={"year": 2020 + row},
                excluded_embed_metadata_keys=["year"],
            )
            for row, text in enumerate(TEXTS)
        ]
    )
    # The embedded engine builds codes on request, a Qdrant server in the background.
    store.client.plan("binary:rescore=4").apply(yes=True)
    print("codes:", store.client.info().vectors[""].status.state)

    question = "Which quantization saves memory?"
    retriever = index.as_retriever(similarity_top_k=2, vector_store_kwargs={"rescore": 8})
    for found in retriever.retrieve(question):
        print(f"{found.score:.3f}", found.node.node_id, found.node.get_content())

    recent = MetadataFilter(key="year", operator=FilterOperator.GTE, value=2021)
    filtered = index.as_retriever(filters=MetadataFilters(filters=[recent]), similarity_top_k=3)
    print("since 2021:", [found.node.node_id for found in filtered.retrieve(question)])
    store.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
