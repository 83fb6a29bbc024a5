"""Texts to vectors: an embedding model of sentence-transformers, with its prompts and its cut.

torch takes seconds to import, so it is imported when an Encoder is made and not before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError, MissingExtraError, SpecError
from qadapt.model import Metric
from qadapt.stores.base import OnProgress, Progress, silent

Floats = npt.NDArray[np.float32]
EXTRA = "sentence-transformers"
# Texts of one call of the model's, between two reports of progress.
CALL = 512
_METRICS = {"cosine": Metric.COSINE, "dot": Metric.DOT, "euclidean": Metric.EUCLIDEAN}
_OPTIONS = ("dim", "batch", "device")


class Encoder:
    """An embedding model of sentence-transformers.

    Args:
        model: a name on the model hub, a folder, or a ``SentenceTransformer``.
        dim: dimensions to keep (Matryoshka); None for all. The cut vectors get length 1 again
            where the model's do have it.
        query_prompt, document_prompt: text before each query or document; None for the model's
            own, which many models need; ``""`` for none.
        batch: texts that the model takes at once.
        device: ``cpu``, ``cuda``, ...; None leaves it to the library.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: no such model, or more dimensions asked than it has.
    """

    def __init__(
        self,
        model: Any,
        *,
        dim: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        batch: int = 32,
        device: str | None = None,
    ) -> None:
        if batch < 1:
            raise InputError(f"a batch has at least 1 text; got {batch}")
        self._model = _load(model, device) if isinstance(model, str) else model
        if not hasattr(self._model, "encode_query"):
            raise InputError(
                f"an encoder is made of a model's name, a folder or a SentenceTransformer of "
                f"sentence-transformers 5 or newer; got {type(model).__name__}"
            )
        full = _dimensions(self._model)
        if dim is not None and not 1 <= dim <= full:
            raise InputError(f"dim must be from 1 to {full}, which the model has; got {dim}")
        self.name = model if isinstance(model, str) else type(model).__name__
        self.dim = full if dim is None else int(dim)
        self._cut = self.dim < full
        self._prompts = {"query": query_prompt, "document": document_prompt}
        self._batch = batch

    def __repr__(self) -> str:
        return f"<Encoder {self.name!r}, {self.dim} dimensions>"

    @property
    def metric(self) -> Metric | None:
        """The metric that the model says it was made for; None where it says another one."""
        return _METRICS.get(str(self._model.similarity_fn_name))

    def __call__(self, texts: Sequence[str]) -> Floats:
        """The vectors of queries: ``encode_queries``."""
        return self.encode_queries(texts)

    def encode_queries(self, texts: Sequence[str], *, progress: OnProgress = silent) -> Floats:
        """Vectors of queries, float32 ``(n, dim)``, with the model's prompt for queries.

        Raises:
            InputError: no texts, or something that is no text.
        """
        return self._encode(texts, "query", progress)

    def encode_documents(self, texts: Sequence[str], *, progress: OnProgress = silent) -> Floats:
        """Vectors of documents, float32 ``(n, dim)``, with the model's prompt for documents.

        Raises:
            InputError: no texts, or something that is no text.
        """
        return self._encode(texts, "document", progress)

    def _encode(
        self, texts: Sequence[str], role: Literal["query", "document"], progress: OnProgress
    ) -> Floats:
        listed = _checked(texts)
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        vectors = np.empty((len(listed), self.dim), dtype=np.float32)
        # The library sorts the texts of one call by their length, so a call is of many.
        for start in range(0, len(listed), CALL):
            part = listed[start : start + CALL]
            vectors[start : start + len(part)] = encode(
                part,
                prompt=self._prompts[role],
                batch_size=self._batch,
                show_progress_bar=False,
                convert_to_numpy=True,
                truncate_dim=self.dim if self._cut else None,
            )
            done = start + len(part)
            progress(Progress(f"encoding by {self.name}", done, len(listed), "texts"))
        return _of_length_one(vectors) if self._cut and self._normalizes_cosine() else vectors

    def _normalizes_cosine(self) -> bool:
        """Whether the model's last step makes vectors of length 1, which a cut undoes."""
        return any(type(step).__name__ == "Normalize" for step in self._model.children())


def load(text: str) -> Encoder:
    """An encoder from a command line: ``NAME``, a folder, or ``NAME,dim=256,batch=64,device=cpu``.

    Raises:
        SpecError: an unknown option.
        MissingExtraError, InputError: as ``Encoder``.
    """
    name, *options = [part.strip() for part in text.split(",")]
    if not name:
        raise SpecError("--encoder names a model", hint="sentence-transformers/all-MiniLM-L6-v2")
    given: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in _OPTIONS:
            raise SpecError.unknown("option", key, _OPTIONS, where="--encoder NAME,dim=256")
        if key != "device" and not value.isdecimal():
            raise SpecError(f"{key} is a whole number; got {value!r}")
        given[key] = value if key == "device" else int(value)
    return Encoder(name, **given)


def _load(name: str, device: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        if error.name != "sentence_transformers":
            raise
        raise MissingExtraError("sentence-transformers", EXTRA, purpose="encoding texts") from error
    try:
        with _no_bar():
            return SentenceTransformer(name, device=device)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().split("\n")[0]
        raise InputError(
            f"cannot load the model {name!r}: {first}",
            hint="give a name on the model hub (which needs a network), or a folder",
        ) from error


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    """Without the bar that transformers draws on standard error while it loads."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _dimensions(model: Any) -> int:
    """Dimensions of the whole vector; the method had another name before version 6."""
    ask = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    found = ask()
    if not found:
        raise InputError(f"the model {type(model).__name__} does not tell its dimensions")
    return int(found)


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError("texts are a list of texts; got one text", hint="[text]")
    listed = list(texts)
    wrong = [at for at, text in enumerate(listed) if not isinstance(text, str)]
    if wrong:
        raise InputError(f"text {wrong[0]} is a {type(listed[wrong[0]]).__name__}, not a text")
    if not listed:
        raise InputError("there are no texts to encode")
    return listed


def _of_length_one(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.asarray(vectors / lengths, dtype=np.float32)
