"""Commands ``plan``, ``apply`` and ``undo``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import completion, rendering
from qadapt.cli.arguments import confirm_key_variables, read_guard, read_json, write_text
from qadapt.cli.client_params import params_facts
from qadapt.cli.command import OWN_LIMIT, command
from qadapt.cli.options import (
    AcceptWord,
    AllowKeyEnv,
    DatatypeWord,
    Disable,
    DiskPrice,
    GuardBy,
    GuardClients,
    GuardFilters,
    GuardText,
    MaybeCollection,
    MaybeQuantization,
    MaybeUrl,
    MetricWord,
    RamPrice,
    SpecFile,
    StrategyWord,
    VectorName,
    optional,
    word,
)
from qadapt.cli.output import PENDING, Output, facts, styled
from qadapt.cli.plan_options import ACCEPTED, PlanOptions, make_plans
from qadapt.cli.render_plan import render_plan
from qadapt.errors import ConsentRequiredError, InputError
from qadapt.model.address import Address
from qadapt.model.cli_commands import cli_command

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.api import Change, Plan


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "plan",
        examples="qadapt plan edge:./data articles binary:rescore=4,codes=ram,originals=disk\n"
        "qadapt plan edge:./data docs scalar:originals=disk --price 3.8\n"
        "qadapt plan -f quantization.yaml -o plan.json\n"
        "qadapt plan -f quantization.yaml --exit-code",
    )(plan)
    command(
        app,
        "apply",
        own_limit=True,
        examples="qadapt apply plan.json\n"
        "qadapt apply edge:./data a scalar:originals=disk --guard 'recall@10>=0.95'\n"
        "qadapt apply -f quantization.yaml",
    )(apply)
    command(app, "undo", own_limit=True, examples="qadapt undo\nqadapt undo 20260102T030405")(undo)


# -- plan --------------------------------------------------------------------------------------


def plan(
    out: Output,
    url: MaybeUrl = None,
    collection: MaybeCollection = None,
    quantization: MaybeQuantization = None,
    spec: SpecFile = None,
    output: Annotated[
        Path | None,
        optional(
            "--output",
            "-o",
            metavar="plan.json",
            help="Save the plan, for `qadapt apply plan.json`.",
        ),
    ] = None,
    vector: VectorName = None,
    metric: MetricWord = None,
    datatype: DatatypeWord = None,
    accept: AcceptWord = ACCEPTED,
    strategy: StrategyWord = None,
    guard: GuardText = None,
    guard_clients: GuardClients = None,
    guard_filters: GuardFilters = None,
    guard_by: GuardBy = None,
    price: RamPrice = None,
    disk_price: DiskPrice = None,
    disable: Disable = None,
    allow_key_env: AllowKeyEnv = None,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit with code 5 if there are changes to apply."),
    ] = False,
) -> int:
    """Show the steps of a change without making it.

    Each step shows its reason, its cost, the native request and the request that reverses it.
    """
    asked = PlanOptions(
        url=url, collection=collection, quantization=quantization, spec=spec, vector=vector,
        metric=metric, datatype=datatype, accept=accept, strategy=strategy, guard=guard,
        guard_clients=guard_clients, guard_filters=guard_filters, guard_by=guard_by,
        disable=disable, allow_key_env=allow_key_env, price=price, disk_price=disk_price,
    )  # fmt: skip
    with make_plans(out, asked, "plan") as plans:
        document = _document(plans, "plans", single=spec is None)
        _show(out, plans)
    if output is not None:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(output, text + "\n", "plan")
        out.note(f"plan saved; to apply it: {cli_command('apply', str(output))}")
    elif any(item.changes for item in plans) and not out.json:
        again = out.again(command="apply")
        out.note(f"nothing was changed; to apply the plan: {again}")
    out.document(document)
    return PENDING if exit_code and any(item.changes for item in plans) else 0


def _document(items: Any, name: str, *, single: bool) -> Any:
    """Plans as JSON: one document for arguments, a list for a spec file."""
    dicts = [item.to_dict() for item in items]
    return dicts[0] if single else {name: dicts}


def _show(out: Output, plans: list[Plan]) -> None:
    for at, item in enumerate(plans):
        if at:
            out.print("")
        out.print(render_plan(item, out))
    if len(plans) > 1:
        changing = sum(item.changes for item in plans)
        out.print("", styled(f"{len(plans)} plans, {changing} with changes", "bold"))


# -- apply -------------------------------------------------------------------------------------


def apply(
    out: Output,
    target: Annotated[str | None, word("PLAN.json|URL", "Saved plan, or database address.")] = None,
    collection: MaybeCollection = None,
    quantization: MaybeQuantization = None,
    spec: SpecFile = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Apply without asking for confirmation.")
    ] = False,
    vector: VectorName = None,
    metric: MetricWord = None,
    datatype: DatatypeWord = None,
    accept: AcceptWord = ACCEPTED,
    strategy: StrategyWord = None,
    guard: GuardText = None,
    guard_clients: GuardClients = None,
    guard_filters: GuardFilters = None,
    guard_by: GuardBy = None,
    price: RamPrice = None,
    disk_price: DiskPrice = None,
    disable: Disable = None,
    allow_key_env: AllowKeyEnv = None,
) -> None:
    """Apply a change and verify it on the engine.

    Asks for confirmation on a terminal. Elsewhere, --yes is required if a step blocks searches or
    cannot be rolled back. With --guard, the change is rolled back if recall is too low. If
    interrupted, run the same command again.
    """
    import qadapt as qa

    asked = PlanOptions(
        url=target, collection=collection, quantization=quantization, spec=spec, vector=vector,
        metric=metric, datatype=datatype, accept=accept, strategy=strategy, guard=guard,
        guard_clients=guard_clients, guard_filters=guard_filters, guard_by=guard_by,
        disable=disable, allow_key_env=allow_key_env, price=price, disk_price=disk_price,
    )  # fmt: skip
    saved = spec is None and target is not None and collection is None
    opened: Any
    if saved:
        loaded, variables = _load(out, asked)
        opened = contextlib.nullcontext(loaded)
    else:
        variables, opened = (), make_plans(out, asked, "apply")
    with opened as plans:
        changing = [item for item in plans if item.changes]
        _show(out, changing)
        agreed = yes or bool(changing and _confirm(out, changing))
        changes = []
        with out.progress() as on:
            applied = qa.apply_plans(
                plans,
                yes=agreed,
                progress=on,
                timeout=out.timeout or OWN_LIMIT,
                allow_key_env=variables,
            )
            for item, change in zip(plans, applied, strict=True):
                on.rest()
                _show_result(out, change, item)
                changes.append(change)
    single = len(plans) == 1 if saved else spec is None
    out.document(_document(changes, "changes", single=single))


def _load(out: Output, asked: PlanOptions) -> tuple[list[Plan], tuple[str, ...]]:
    """Saved plans, and the environment variables that they may use for keys."""
    import qadapt as qa

    path, guard = Path(str(asked.url)), read_guard(asked.guard, asked.guard_clients)
    asked.refuse_with_plan()
    if ":" in str(path) and not path.exists():
        raise InputError(
            "COLLECTION and QUANTIZATION missing",
            hint="qadapt apply URL COLLECTION QUANTIZATION, or qadapt apply PLAN.json",
        )
    data = read_json(path, "plan file")
    several = data.get("plans") if isinstance(data, dict) else None
    several = several if isinstance(several, list) else [data]
    plans = [qa.Plan.from_dict(item).priced(asked.prices) for item in several]
    if guard is not None:
        plans = [plan.replace(guard=guard) for plan in plans]
    addresses = [Address.parse(item.reopen or item.address) for item in plans]
    return plans, confirm_key_variables(out, path, addresses, asked.allow_key_env)


def _confirm(out: Output, plans: list[Plan]) -> bool:
    """Ask for confirmation on a terminal; otherwise raise an error if it is needed."""
    again = out.again("--yes")
    if not out.asks:
        if not any(item.needs_consent for item in plans):
            return False
        names = ", ".join(dict.fromkeys(item.collection for item in plans))
        raise ConsentRequiredError(
            f"changing {names} needs confirmation, and this is not a terminal",
            hint=f"review the plan, then pass --yes: {again}",
        )
    out.err.print("")
    if not out.confirm("Apply this?"):
        raise ConsentRequiredError(
            "not confirmed; nothing was changed", hint=f"to confirm: {again}"
        )
    return True


def _show_result(out: Output, change: Change, plan: Plan) -> None:
    """Print the result of a change."""
    sign, style = rendering.CHANGES.get(change.state, ("?", "magenta"))
    if change.state == "nothing":
        why = "; ".join(step.reason for step in plan.steps)
        if plan.changes:
            why = "the requested state was restored by rolling back an unfinished change"
        out.print(styled(f"{sign} {change.outcome.collection}: nothing to do: {why}", style))
        return
    took = f" in {rendering.seconds(change.seconds)}" if change.seconds is not None else ""
    head = styled(f"{sign} {change.state}", f"bold {style}")
    out.print("", head.append(f"  {change.outcome.collection}{took}", style="default"))
    pairs: list[tuple[str, Text | str]] = [("  setting", _what(change, plan))]
    if change.status is not None:
        word, color = rendering.state(change.status)
        pairs.append(("  verified", styled(word, color)))
        if change.status.reason:
            pairs.append(("  reason", out.mask(change.status.reason)))
    if change.recall_after is not None:
        before = rendering.recall(change.recall_before)
        reported = change.outcome
        of = f"; ground truth: {reported.ground_truth}" if reported.ground_truth else ""
        after = rendering.recall(change.recall_after)
        pairs.append(("  recall", f"{before} before, {after} after{of}"))
        if reported.recall_no_params not in (None, change.recall_after):
            sent = f"{rendering.recall(reported.recall_no_params)} for clients that send none"
            pairs.append(("  parameters", styled(sent, "yellow")))
        if reported.proof is not None and reported.proof.reason:
            pairs.append(("  weak", styled(reported.proof.reason, "yellow")))
    if change.state == "applied" and plan.clients is not None:
        pairs += params_facts(plan.clients, out)
    if change.state == "applied" and not out.quiet:
        back = f"qadapt undo {change.id}" if plan.reversible else "not possible"
        pairs.append(("  undo", back))
    if change.outcome.memory is not None:
        pairs.append(("  memory", str(change.outcome.memory)))
    out.print(facts(pairs))


def _what(change: Change, plan: Plan) -> str:
    ends = (plan.current, plan.target)
    before, after = ends if change.state != "undone" else ends[::-1]
    return f"{after} (before: {before})"


# -- undo -------------------------------------------------------------------------------------


def undo(
    out: Output,
    change: Annotated[
        str | None,
        word(
            "CHANGE", "Change id or a prefix of it. Default: the newest change.", completion.changes
        ),
    ] = None,
) -> None:
    """Roll back a change (default: the newest)."""
    import qadapt as qa

    with out.progress() as on:
        result = qa.undo(change, progress=on, timeout=out.timeout or OWN_LIMIT)
    out.document(result.to_dict())
    _show_result(out, result, result.plan)
