"""Checks of whether what is configured happens at all."""

from __future__ import annotations

from qadapt.diagnosis.sources import SOURCES
from qadapt.diagnosis.subject import Subject
from qadapt.model import Evidence, Finding, Kind, Severity, State


def no_effect(subject: Subject) -> list[Finding]:
    """Quantization is configured, and the engine ignores it."""
    status = subject.vector.status
    kept = subject.quantization.kind is Kind.NONE  # and codes are searched all the same
    ignored = status.state is State.IGNORED or (status.state is State.ABSENT and not kept)
    if not ignored or not subject.vector.count:
        return []
    message = f"{subject.quantization} is configured and has no effect"
    message += f": {status.reason}" if status.reason else ""
    return [
        Finding(
            "no-effect",
            Severity.ERROR,
            subject.name,
            message,
            status.evidence,
            subject.apply() + (" --accept client" if subject.vector.held_by == "qadapt" else ""),
            SOURCES,
        )
    ]


def stale_setting(subject: Subject) -> list[Finding]:
    """A setting that qadapt keeps no longer fits the collection."""
    notes = subject.vector.notes
    if subject.name == next(iter(subject.info.vectors)):
        notes += subject.info.notes
    return [
        Finding(
            "stale-setting",
            Severity.WARNING,
            subject.name,
            note,
            (Evidence("quantization", str(subject.quantization)),),
            subject.command("apply", subject.quantization),
            "qadapt inspect",
        )
        for note in notes
    ]


def still_building(subject: Subject) -> list[Finding]:
    """Only a part of the rows has the codes that are configured."""
    status = subject.vector.status
    if status.state is not State.BUILDING:
        return []
    done = "" if status.progress is None else f" ({status.progress:.0%} of the rows)"
    return [
        Finding(
            "still-building",
            Severity.WARNING,
            subject.name,
            f"{subject.quantization} is in force for a part of the rows{done}: {status.reason}",
            status.evidence,
            subject.apply(),
            "qadapt inspect",
        )
    ]


def unseen(subject: Subject) -> list[Finding]:
    """Nothing shows whether the engine obeys."""
    status = subject.vector.status
    if status.state is not State.UNKNOWN or not subject.vector.count or not subject.coded:
        return []
    return [
        Finding(
            "unseen",
            Severity.INFO,
            subject.name,
            f"whether {subject.quantization} is in force cannot be seen: {status.reason}",
            status.evidence,
            subject.command("verify"),
            "qadapt inspect",
        )
    ]


def bits_lost_to_padding(subject: Subject) -> list[Finding]:
    """The store pads codes so far that a finer kind would cost the same."""
    from qadapt.costing import memory
    from qadapt.errors import UnsupportedError

    vector = subject.vector
    known = subject.store.profile.cost_model is not None
    if not subject.coded or vector.held_by != "store" or not known:
        return []
    try:
        in_ram = subject.quantization.replace(codes="ram")
        found = memory(1000, vector.vector, in_ram, subject.info.server.store)
    except UnsupportedError:  # a kind that the cost formulas do not know
        return []
    held = next((part.ram for part in found.parts if part.name == "codes"), 0) / 1000
    ideal = subject.quantization.code_bytes(vector.dim)
    if held <= 1.5 * ideal:
        return []
    return [
        Finding(
            "bits-lost-to-padding",
            Severity.INFO,
            subject.name,
            f"a code of {ideal} byte{'s' * (ideal != 1)} is padded to {held:g}: a finer kind may "
            "cost the same",
            (Evidence("bytes of a code", held), Evidence("without padding", ideal)),
            subject.command("cost"),
            SOURCES,
        )
    ]
