"""Quantizer models, found through the profile of a store."""

from __future__ import annotations

from dataclasses import replace

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.quantizers.models import ModelMatch, QuantizerModels, scored_again
from qadapt.stores import registry
from qadapt.stores.store_types import USE_CLIENT_CODES, MappedQuantization

# The interval of an unchecked model is widened by this recall.
UNCHECKED = 0.05


def _quantizers(store: str) -> QuantizerModels | None:
    return registry.profile(store).quantizers


def model_of(store: str, mapped: MappedQuantization, vector: Vector) -> ModelMatch:
    """The model of a store's codes.

    Args:
        mapped: the setting as the store applies it.
        vector: dimensions and metric.

    Raises:
        SpecError: an unknown store.
        UnsupportedError: the store has no model of these codes.
    """
    models = _quantizers(store)
    found = None
    if models is not None:
        found = models.model_of(mapped.target, vector, mapped.native or {})
    if found is None:
        known = [name for name, each in registry.profiles().items() if each.quantizers]
        raise UnsupportedError(
            f"{store} has no model of {mapped.target}",
            hint=f"measure it: `qadapt eval` (stores with models: {', '.join(known) or 'none'})",
        )
    if mapped.target.kind in (Kind.NONE, Kind.FLOAT16):
        return found
    return replace(found, name=f"{registry.profile(store).family.capitalize()} {found.name}")


def rescores_all_dims(store: str) -> bool:
    """Whether rescoring compares all dimensions, although ``dims`` shortens the codes."""
    traits = registry.profile(store).traits
    return traits.shortens_codes or traits.keeps_full_vectors


def mapped_to(store: str, quantization: Quantization, vector: Vector) -> MappedQuantization:
    """Map a setting as the newest version of a store does; needs no connection.

    Raises:
        SpecError: an unknown store.
        UnsupportedError: the store has no native quantization.
    """
    mapping = registry.profile(store).mapping
    if mapping is None:
        raise UnsupportedError(
            f"the store {store!r} has no native quantization",
            hint=USE_CLIENT_CODES,
        )
    return mapping(quantization, vector)


def candidates(
    store: str, mapped: MappedQuantization, k: int, rescore: Rescore | None
) -> tuple[int, Rescore | None]:
    """The number of candidates scored with the original vectors, at least ``k``, and the
    effective rescoring.

    Args:
        mapped: the setting as the store applies it.
        rescore: None for the store's default.
    """
    models = _quantizers(store)
    if models is None:
        return scored_again(mapped.target, k, rescore or Rescore(source="off"))
    return models.candidates(mapped.target, mapped.native or {}, k, rescore)
