"""RAM and disk of a vector before and after a plan."""

from __future__ import annotations

from qadapt.costing.footprints import as_planned, as_seen
from qadapt.errors import UnsupportedError
from qadapt.footprint import Footprint
from qadapt.model import CollectionInfo, Plan, Quantization, Vector
from qadapt.model.memory_change import MemoryChange
from qadapt.model.table import human_bytes
from qadapt.stores.profile import StoreProfile


def memory_change(
    profile: StoreProfile,
    info: CollectionInfo,
    name: str,
    wanted: Quantization,
    target_vector: Vector | None,
    *,
    by_us: bool,
    kept: bool = False,
) -> MemoryChange | None:
    """RAM and disk before and after; None if the database has no cost model for the setting.

    Args:
        name: vector to change.
        wanted: requested quantization.
        target_vector: new metric and datatype, or None.
        by_us: whether codes are client-side.
        kept: whether the vector is kept and another one is added.
    """
    if profile.cost_model is None:
        return None
    try:
        before = as_seen(info, name)
        after = as_planned(info, name, wanted, target_vector, client_side=by_us, kept=kept)
    except UnsupportedError:
        return None
    ram, disk = after.ram, after.disk
    note = _saving_note(info, name, wanted, before.ram, ram, by_us) if target_vector is None else ""
    return MemoryChange(before.ram, ram, before.disk, disk, note)


def graph_note(profile: StoreProfile, info: CollectionInfo, name: str, wanted: Quantization) -> str:
    """Says that the size of a graph which is not built yet is estimated; empty otherwise.

    How many links a graph gets is known once the engine has built it.
    """
    if profile.cost_model is None or info.vectors[name].graph_bytes != 0:
        return ""
    try:
        parts = as_planned(info, name, wanted).components
    except UnsupportedError:
        return ""
    graph = next((part.disk for part in parts if part.name == "graph"), 0)
    if not graph:
        return ""
    return (
        f"the sizes after the change include an estimate of the graph, {human_bytes(graph)}; apply "
        "reports its size once it is built"
    )


def memory_afterwards(
    profile: StoreProfile, plan: Plan, info: CollectionInfo
) -> MemoryChange | None:
    """RAM and disk before, as in the plan, and after, with the sizes that the database reports."""
    if plan.memory is None or profile.cost_model is None:
        return None
    after = as_seen(info, plan.changed_vector)
    if plan.new_vector is not None:  # the former vector is kept
        former = as_seen(info, plan.vector)
        ram, disk = after.ram + former.ram, after.disk + former.disk
    else:
        ram, disk = after.ram, after.disk
    found = plan.memory.replace(ram_after=ram, disk_after=disk, note="")
    return found.priced(plan.memory.prices)


def _saving_note(
    info: CollectionInfo, name: str, wanted: Quantization, before: int, after: int, by_us: bool
) -> str:
    """Why a setting saves no RAM, and the setting that does; empty if it saves RAM."""
    vector = info.vectors[name]
    if wanted.is_plain(vector.dim) or after < before or not vector.count:
        return ""
    if wanted.codes_only == vector.quantization.codes_only:
        return ""
    reason = "This setting saves no RAM"
    better = wanted.replace(codes="ram", originals="disk")
    try:
        if _in_ram(as_planned(info, name, wanted, client_side=by_us)):
            reason += ", because the original vectors stay in RAM"
        saved = as_planned(info, name, better, client_side=by_us).ram
    except UnsupportedError:
        return f"{reason}."
    if saved >= before:
        return f"{reason}."
    return f"{reason}; {better} needs {human_bytes(saved)} instead of {human_bytes(before)}."


def _in_ram(found: Footprint) -> bool:
    return any(part.name == "originals" and part.ram for part in found.components)
