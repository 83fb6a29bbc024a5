"""Checks as OpenMetrics 1.0 text.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from qadapt.watching.check import Check

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Value = float | int | bool | None
_GAUGES: tuple[tuple[str, str, Callable[[Check], Value]], ...] = (
    ("up", "Whether the database answered all requests of the last check.", lambda c: c.up),
    ("rows", "Rows of the collection.", lambda c: c.rows),
    ("recall", "Recall at k of searches with the setting's parameters.", lambda c: c.recall),
    (
        "recall_no_params",
        "Recall at k of a client that sends no search parameters.",
        lambda c: c.recall_no_params,
    ),
    ("gate_met", "Whether recall meets the gate.", lambda c: c.met),
    (
        "quantization_active",
        "Whether the configured quantization is verified active; 1 without any.",
        lambda c: c.active if c.up else None,
    ),
    ("indexed_ratio", "Share of the rows that index or codes cover.", lambda c: c.progress),
    ("unindexed_rows", "Rows that index or codes do not cover yet.", lambda c: c.unindexed),
    ("truth_age_seconds", "Age of the exact results.", lambda c: c.truth_age),
    ("check_timestamp_seconds", "Time of the last check.", lambda c: c.time),
    ("check_duration_seconds", "Duration of the last check.", lambda c: c.seconds),
)


def render(checks: Sequence[Check], counts: Mapping[str, int]) -> str:
    """The text of the last check of each vector.

    Args:
        counts: number of checks by result (``good``, ``bad``, ``down``) since the start.
    """
    lines: list[str] = []
    for name, help_text, value in _GAUGES:
        samples = [(_labels(check, name), value(check)) for check in checks]
        _family(lines, name, help_text, samples)
    found = [
        ({**_labels(check, "findings"), "severity": severity}, count)
        for check in checks
        for severity, count in check.findings.items()
    ]
    _family(lines, "findings", "Findings of doctor.", found)
    lines += ["# TYPE qadapt_checks counter", "# HELP qadapt_checks Checks since the start."]
    lines += [f'qadapt_checks_total{{result="{name}"}} {n}' for name, n in sorted(counts.items())]
    return "\n".join([*lines, "# EOF", ""])


def _family(
    lines: list[str], name: str, help_text: str, samples: Iterable[tuple[Mapping[str, str], Value]]
) -> None:
    known = [(labels, value) for labels, value in samples if value is not None]
    if not known:
        return
    lines.append(f"# TYPE qadapt_{name} gauge")
    if name.endswith("_seconds"):
        lines.append(f"# UNIT qadapt_{name} seconds")
    lines.append(f"# HELP qadapt_{name} {help_text}")
    for labels, value in known:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"qadapt_{name}{{{inner}}} {float(value)!r}")


def _labels(check: Check, name: str) -> dict[str, str]:
    labels = {"address": check.address, "collection": check.collection, "vector": check.vector}
    if name in ("recall", "recall_no_params", "gate_met"):
        labels["k"] = str(check.k)
    if name == "gate_met":
        labels["clients"] = check.clients
    return labels


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
