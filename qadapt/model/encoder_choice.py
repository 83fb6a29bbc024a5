"""The embedding model that is saved with a collection."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model.serializable import Serializable


@dataclass(frozen=True)
class EncoderChoice(Serializable):
    """A model and its options, from which an encoder of queries is created.

    Attributes:
        model: name on the model hub, or absolute path of a folder.
        dim: dimensions to keep; None for all.
        query_prompt, document_prompt: as in ``qadapt.Encoder``.
    """

    model: str
    dim: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
