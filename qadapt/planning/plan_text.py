"""Text form of plans for ``print(plan)`` and ``qadapt plan``."""

from __future__ import annotations

import json
import textwrap

from qadapt.model import Estimate, MatchLevel, Plan, Step, Symbol
from qadapt.model.client_params import ClientParams
from qadapt.model.table import human_bytes

WIDTH = 80
LABEL = 10


def plan_text(plan: Plan, *, width: int = WIDTH) -> str:
    """Format a plan with lines of at most ``width`` columns; long requests may exceed it."""
    vector = f"vector {plan.vector!r}, " if plan.vector else ""
    version = f" {plan.server.version}" if plan.server.version else ""
    lines = [
        f"Plan {plan.id}",
        f"  {plan.collection} in {plan.address}",
        f"  {vector}{plan.count:,} rows of {plan.dim:,} dimensions, "
        f"{plan.server.store}{version} ({plan.server.deployment})",
        "",
        f"  {plan.current}  ->  {plan.requested}",
    ]
    if plan.target_vector is not None:
        lines.append(f"  becomes {plan.target_vector.metric}, {plan.target_vector.datatype}")
    if plan.new_vector is not None:
        lines += _wrapped("  ", _footer(plan), width)
    if plan.memory is not None and plan.memory.note:
        lines += _wrapped("  ", plan.memory.note, width)
    lines += _match_lines(plan, width)
    for step in plan.steps:
        lines += ["", *_step_lines(step, width)]
    if plan.guard is not None:
        back = all(step.reverse is not None for step in plan.steps if step.request)
        otherwise = "the change is rolled back" if back else "apply fails and the change is kept"
        judged = (
            "clients without search parameters"
            if plan.guard.clients == "any"
            else "clients that send the parameters of the setting"
        )
        rows = f" with {plan.guard.rows}" if plan.guard.rows else ""
        text = f"{plan.guard} for {judged}{rows}, else {otherwise}"
        lines += ["", *_wrapped("  guard: ", text, width)]
    if plan.clients is not None:
        clients = plan.clients
        lines += ["", *_wrapped("  clients: ", f"for {clients.k} results, {clients.text}", width)]
        lines += _statement_lines(clients)
    for note in plan.notes:
        lines += (
            ["", *_wrapped("  note: ", note, width)]
            if note is plan.notes[0]
            else _wrapped("  note: ", note, width)
        )
    lines += ["", *_legend(plan, width), _summary(plan)]
    if plan.memory is not None:
        lines.append(str(plan.memory))
    return "\n".join(lines)


def _statement_lines(clients: ClientParams) -> list[str]:
    """The SQL that applications must send, not wrapped because it is pasted."""
    if not clients.statement:
        return []
    return ["", "  SQL of applications:", *textwrap.indent(clients.statement, "    ").split("\n")]


def _footer(plan: Plan) -> str:
    old = f"vector {plan.vector!r}" if plan.vector else "the unnamed vector"
    return f"{old} is kept; search the vector {plan.new_vector!r} to use {plan.target}"


def _match_lines(plan: Plan, width: int) -> list[str]:
    if plan.match.level is MatchLevel.EXACT:
        return ["  match: exact"]
    lines = [f"  match: {plan.match.level}; result: {plan.target}"]
    for difference in plan.match.differences:
        lines += _wrapped("    - ", difference, width)
    return lines


def _step_lines(step: Step, width: int) -> list[str]:
    lines = _wrapped(f"  {step.symbol.value:<4}", step.action, width)
    lines += _field("why", step.reason, width)
    if step.request:
        lines += _field("request", _compact(step.request), width)
        reverse = "none; this step cannot be rolled back" if step.reverse is None else None
        lines += _field("rollback", reverse or _compact(step.reverse), width)
    held = _size(step.estimate)
    if held:
        lines += _field("size", held, width)
    if step.estimate.stops != "nothing":
        lines += _field("blocks", step.estimate.stops, width)
    return lines


def _size(estimate: Estimate) -> str:
    parts = [
        f"{what} {human_bytes(size)} {where}"
        for what, size, where in (
            ("codes", estimate.codes_ram, "in RAM"),
            ("codes", estimate.codes_disk, "on disk"),
            ("original vectors", estimate.originals_ram, "in RAM"),
            ("original vectors", estimate.originals_disk, "on disk"),
            ("temporary", estimate.temporary_disk, "on disk"),
        )
        if size
    ]
    return ", ".join(parts)


def _legend(plan: Plan, width: int) -> list[str]:
    used = dict.fromkeys(step.symbol for step in plan.steps)
    return _wrapped("  ", "   ".join(f"{sign.value} {sign.meaning}" for sign in used), width)


def _summary(plan: Plan) -> str:
    steps = [step for step in plan.steps if step.symbol is not Symbol.NOTHING]
    if not steps:
        return "Nothing to do."
    consent = sum(step.needs_consent for step in steps)
    if plan.loses_originals:
        consent = max(1, consent)
    more = f"; {consent} need{'s' if consent == 1 else ''} confirmation" if consent else ""
    return f"{len(steps)} step{'s' if len(steps) > 1 else ''} to apply{more}."


def _field(name: str, text: str, width: int) -> list[str]:
    return _wrapped(f"      {name:<{LABEL}}", text, width)


def _wrapped(first: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _compact(request: object) -> str:
    return json.dumps(request, ensure_ascii=False, default=str)
