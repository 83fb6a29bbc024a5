"""Encoder: embedding models of sentence-transformers, with prompts and Matryoshka truncation.

torch takes seconds to import, so it is imported only when an Encoder is created.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError, MissingExtraError, SpecError
from qadapt.model import Metric
from qadapt.model.encoder_choice import EncoderChoice
from qadapt.stores.base import OnProgress, Progress, silent

Floats = npt.NDArray[np.float32]
EXTRA = "sentence-transformers"
# Texts per call of the model, between two progress reports.
CALL = 512
# Models of qadapt, which need no torch; imported when they are used.
NAMED = {"demo": "qadapt.demo.encoder:static_model"}
_METRICS = {"cosine": Metric.COSINE, "dot": Metric.DOT, "euclidean": Metric.EUCLIDEAN}
_OPTIONS = ("dim", "batch", "device")


class Encoder:
    """Embedding model of sentence-transformers.

    Attributes:
        name: of the model.
        dim: dimensions of the vectors.
        choice: the model and its options, to create it again; None for a model object.

    Args:
        model: name on the model hub, folder, ``SentenceTransformer``, or ``demo`` for the small
            model of the demo, which needs the extra ``demo`` and no torch.
        dim: dimensions to keep (Matryoshka); None for all. Truncated vectors are normalized again
            if the model normalizes.
        query_prompt, document_prompt: text before each query or document; None for the prompts of
            the model, which many models need; ``""`` for none.
        batch: texts per batch of the model.
        device: ``cpu``, ``cuda``, ...; None for the default of the library.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: the model does not exist, or has fewer than ``dim`` dimensions.
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
            raise InputError(
                f"batch must be at least 1; got {batch}",
                hint="pass a number of texts per batch, such as batch=32",
            )
        self._model = _load(model, device) if isinstance(model, str) else model
        if not hasattr(self._model, "encode_query"):
            raise InputError(
                f"model must be a name, a folder or a SentenceTransformer of "
                f"sentence-transformers 5 or newer; got {type(model).__name__}",
                hint="for example qa.Encoder('sentence-transformers/all-MiniLM-L6-v2')",
            )
        full = _dimensions(self._model)
        if dim is not None and not 1 <= dim <= full:
            raise InputError(
                f"dim must be from 1 to {full}, the dimensions of the model; got {dim}",
                hint="omit dim to keep all dimensions",
            )
        self.name = model if isinstance(model, str) else type(model).__name__
        self.choice = _choice(model, dim, query_prompt, document_prompt)
        self.dim = full if dim is None else int(dim)
        self._cut = self.dim < full
        self._prompts = {"query": query_prompt, "document": document_prompt}
        self._batch = batch

    def __repr__(self) -> str:
        return f"<Encoder {self.name!r}, {self.dim} dimensions>"

    @property
    def metric(self) -> Metric | None:
        """Metric that the model is configured for; None if qadapt does not have it."""
        return _METRICS.get(str(self._model.similarity_fn_name))

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Encode queries, as ``encode_queries``."""
        return self.encode_queries(texts)

    def encode_queries(self, texts: Sequence[str], *, progress: OnProgress = silent) -> Floats:
        """Encode queries with the query prompt; float32 ``(n, dim)``.

        Raises:
            InputError: there are no texts, or a value is not a string.
        """
        return self._encode(texts, "query", progress)

    def encode_documents(self, texts: Sequence[str], *, progress: OnProgress = silent) -> Floats:
        """Encode documents with the document prompt; float32 ``(n, dim)``.

        Raises:
            InputError: there are no texts, or a value is not a string.
        """
        return self._encode(texts, "document", progress)

    def _encode(
        self, texts: Sequence[str], role: Literal["query", "document"], progress: OnProgress
    ) -> Floats:
        listed = _checked(texts)
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        vectors = np.empty((len(listed), self.dim), dtype=np.float32)
        # The library sorts the texts of a call by length, so calls with many texts are faster.
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
            progress(Progress(f"encoding with {self.name}", done, len(listed), "texts"))
        return _of_length_one(vectors) if self._cut and self._normalizes_cosine() else vectors

    def _normalizes_cosine(self) -> bool:
        """Whether the last module of the model normalizes, which truncation undoes."""
        return any(type(step).__name__ == "Normalize" for step in self._model.children())


def as_encoder(model: Any, **options: Any) -> Encoder:
    """An encoder for a name, folder, ``SentenceTransformer``, ``EncoderChoice`` or ``Encoder``.

    Args:
        options: as of ``Encoder``; those that are None are omitted.

    Raises:
        InputError: options for an ``Encoder``, which has its own.
        MissingExtraError
    """
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(model, EncoderChoice):
        kept = {
            "dim": model.dim,
            "query_prompt": model.query_prompt,
            "document_prompt": model.document_prompt,
        }
        return Encoder(model.model, **{**kept, **given})
    if not isinstance(model, Encoder):
        return Encoder(model, **given)
    if given:
        raise InputError(
            f"{', '.join(given)} cannot be changed in an Encoder",
            hint="pass the options to qa.Encoder(...), or pass the name of the model",
        )
    return model


def _choice(
    model: Any, dim: int | None, query_prompt: str | None, document_prompt: str | None
) -> EncoderChoice | None:
    if not isinstance(model, str):
        return None
    name = os.path.abspath(model) if os.path.isdir(model) else model
    return EncoderChoice(name, dim, query_prompt, document_prompt)


def load(text: str) -> Encoder:
    """Create an encoder from ``NAME``, a folder, or ``NAME,dim=256,batch=64,device=cpu``.

    Raises:
        SpecError: an option is unknown.
        MissingExtraError, InputError: see ``Encoder``.
    """
    name, options = parse(text)
    return Encoder(name, **options)


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """The name of a model, and its options.

    Raises:
        SpecError: an option is unknown.
    """
    name, *options = [part.strip() for part in text.split(",")]
    if not name:
        raise SpecError(
            "--encoder needs the name of a model", hint="sentence-transformers/all-MiniLM-L6-v2"
        )
    given: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in _OPTIONS:
            raise SpecError.unknown("option", key, _OPTIONS, where="--encoder NAME,dim=256")
        if key != "device" and not (value.isdecimal() and len(value) < 20):
            raise SpecError(
                f"{key} must be an integer; got {value!r}",
                hint=f"for example --encoder NAME,{key}=256",
            )
        given[key] = value if key == "device" else int(value)
    return name, given


def _load(name: str, device: str | None) -> Any:
    if name in NAMED:
        module, _, function = NAMED[name].partition(":")
        return getattr(importlib.import_module(module), function)()
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
            hint="pass a name on the model hub (which needs a network), or a folder",
        ) from error


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    """Disable the progress bar of transformers while a model is loaded."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _dimensions(model: Any) -> int:
    """Dimensions of the model; the method was renamed in version 6."""
    ask = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    found = ask()
    if not found:
        raise InputError(
            f"the model {type(model).__name__} does not report its dimensions",
            hint="use another model of sentence-transformers",
        )
    return int(found)


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError("texts must be a list of strings; got one string", hint="[text]")
    listed = list(texts)
    wrong = [at for at, text in enumerate(listed) if not isinstance(text, str)]
    if wrong:
        raise InputError(
            f"text {wrong[0]} is a {type(listed[wrong[0]]).__name__}, not a string",
            hint="convert it with str(), or remove it",
        )
    if not listed:
        raise InputError("there are no texts to encode", hint="pass at least one text")
    return listed


def _of_length_one(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.asarray(vectors / lengths, dtype=np.float32)
