"""Checks that compare the configuration with the verified status."""

from __future__ import annotations

from qadapt.diagnosis.context import CheckContext
from qadapt.diagnosis.sources import SOURCES
from qadapt.local.collection_info import ignored_default, settings_without_vector
from qadapt.model import Evidence, Finding, Severity, State


def no_effect(context: CheckContext) -> list[Finding]:
    """Quantization is configured, and the engine ignores it."""
    status = context.vector.status
    kept = context.vector.is_plain  # then ABSENT is the expected state
    ignored = status.state is State.IGNORED or (status.state is State.ABSENT and not kept)
    if not ignored or not context.vector.count:
        return []
    message = f"{context.quantization} is configured and has no effect"
    message += f": {status.reason}" if status.reason else ""
    return [
        Finding(
            "no-effect",
            Severity.ERROR,
            context.name,
            message,
            status.evidence,
            context.apply()
            + (" --accept client" if context.vector.quantized_by == "qadapt" else ""),
            SOURCES,
        )
    ]


def stale_setting(context: CheckContext) -> list[Finding]:
    """A default search parameter or a qadapt setting no longer matches the collection."""
    ignored = ignored_default(context.vector, context.settings)
    notes: tuple[str, ...] = () if ignored is None else (ignored,)
    if context.name == next(iter(context.info.vectors)):
        notes += settings_without_vector(context.info, context.all_settings)
    return [
        Finding(
            "stale-setting",
            Severity.WARNING,
            context.name,
            note,
            (Evidence("quantization", str(context.quantization)),),
            context.command("apply", context.quantization),
            "qadapt inspect",
        )
        for note in notes
    ]


def collection_notes(context: CheckContext) -> list[Finding]:
    """``inspect`` has a note about the collection, such as a vector that qadapt does not use."""
    if context.name != next(iter(context.info.vectors)):
        return []
    settings = settings_without_vector(context.info, context.all_settings)
    return [
        Finding("collection-note", Severity.INFO, context.name, note, source="qadapt inspect")
        for note in context.info.notes
        if note not in settings
    ]


def still_building(context: CheckContext) -> list[Finding]:
    """Some rows do not have the configured codes yet."""
    status = context.vector.status
    if status.state is not State.BUILDING:
        return []
    done = "" if status.progress is None else f" ({status.progress:.0%} of the rows)"
    return [
        Finding(
            "still-building",
            Severity.WARNING,
            context.name,
            f"{context.quantization} is active for some of the rows{done}: {status.reason}",
            status.evidence,
            context.apply(),
            "qadapt inspect",
        )
    ]


def unobserved(context: CheckContext) -> list[Finding]:
    """The engine does not report whether quantization is active."""
    status = context.vector.status
    if status.state is not State.UNKNOWN or not context.vector.count or not context.coded:
        return []
    return [
        Finding(
            "unverifiable",
            Severity.INFO,
            context.name,
            f"cannot verify whether {context.quantization} is active: {status.reason}",
            status.evidence,
            context.command("verify"),
            "qadapt inspect",
        )
    ]


def bits_lost_to_padding(context: CheckContext) -> list[Finding]:
    """Codes are padded so much that a finer quantization needs the same memory."""
    from qadapt.costing import memory
    from qadapt.errors import UnsupportedError

    vector = context.vector
    known = context.store.profile.cost_model is not None
    if not context.coded or vector.quantized_by != "store" or not known:
        return []
    try:
        in_ram = context.quantization.replace(codes="ram")
        found = memory(1000, vector.vector, in_ram, context.info.server.store)
    except UnsupportedError:  # the cost model does not support this kind
        return []
    held = next((part.ram for part in found.components if part.name == "codes"), 0) / 1000
    ideal = context.quantization.code_bytes(vector.dim)
    if held <= 1.5 * ideal:
        return []
    return [
        Finding(
            "bits-lost-to-padding",
            Severity.INFO,
            context.name,
            f"codes of {ideal} byte{'s' * (ideal != 1)} are padded to {held:g}: a finer "
            "quantization may need the same memory",
            (Evidence("bytes per code", held), Evidence("without padding", ideal)),
            context.command("cost"),
            SOURCES,
        )
    ]
