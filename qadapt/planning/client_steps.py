"""Steps of a plan that build client-side codes, or delete those that the database replaces."""

from __future__ import annotations

from qadapt.local import client_codes
from qadapt.local.client_operations import BuildCodes, DropCodes
from qadapt.local.settings import read_settings
from qadapt.model import (
    CollectionInfo,
    Estimate,
    Quantization,
    State,
    Step,
    Strategy,
    Symbol,
    VectorInfo,
)
from qadapt.stores.base import Store


def replaced_codes_steps(now: VectorInfo, strategy: Strategy | None) -> list[Step]:
    """Step that deletes client-side codes that native quantization replaces."""
    return [_drop_codes(now)] if now.quantized_by == "qadapt" and strategy != "vector" else []


def _drop_codes(now: VectorInfo) -> Step:
    codes_of = now.quantization.replace(rescore=None)
    return Step(
        Symbol.CLIENT,
        f"delete the client-side {codes_of} codes",
        "replaced by quantization in the database",
        DropCodes(now.name).to_request(),
        BuildCodes(now.name, str(codes_of)).to_request(),
    )


def build_steps(
    store: Store, info: CollectionInfo, now: VectorInfo, wanted: Quantization
) -> list[Step]:
    """Step that builds client-side codes; empty if they exist and are verified active."""
    bare = wanted.replace(rescore=None, dims=None)
    same = now.quantized_by == "qadapt" and now.quantization.replace(rescore=None) == bare
    if same and now.status.state in (State.ACTIVE, State.UNKNOWN):
        return []
    client_codes.refuse_incomplete(store, info, now.name)
    former = read_settings(store, info.name).of(now.name).client
    reverse = DropCodes(now.name).to_request()
    if former is not None:
        reverse = BuildCodes(now.name, str(former)).to_request()
    ram, disk = client_codes.code_bytes(info.count, now.dim, wanted)
    return [
        Step(
            Symbol.CLIENT,
            f"build client-side {bare} codes",
            "the database does not support this; original vectors are not moved",
            BuildCodes(now.name, str(bare)).to_request(),
            reverse,
            Estimate(
                codes_ram=ram,
                codes_disk=disk,
                originals_disk=4 * info.count * now.dim,
                stops="nothing",
            ),
        )
    ]
