"""Command ``doctor``: problems and fixes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import completion, rendering
from qadapt.cli.arguments import open_collection
from qadapt.cli.command import command
from qadapt.cli.options import MaybeCollection, Url, VectorName, optional
from qadapt.cli.output import MISSED, Output, facts, styled
from qadapt.errors import InputError, QadaptError, SpecError

if TYPE_CHECKING:
    from qadapt.diagnosis import Diagnosis
    from qadapt.model import Finding

SIGNS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("·", "cyan")}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "doctor",
        examples="qadapt doctor edge:./data articles\n"
        "qadapt doctor edge:./data --fail-on error --json\n"
        """qadapt doctor edge:./data docs --search-params '{"exact": false}'""",
    )(doctor)


def doctor(
    out: Output,
    url: Url,
    collection: MaybeCollection = None,
    vector: VectorName = None,
    fail_on: Annotated[
        str | None,
        optional(
            "--fail-on",
            metavar="info|warning|error",
            help="Exit with code 3 on findings of this severity or higher.",
            complete=completion.words(("info", "warning", "error")),
        ),
    ] = None,
    search_params: Annotated[
        str | None,
        optional(
            "--search-params",
            metavar="JSON",
            help="Native search parameters that your application sends.",
        ),
    ] = None,
    model_metric: Annotated[
        str | None,
        optional(
            "--model-metric",
            metavar="cosine|dot|euclidean",
            help="Metric that your embedding model was trained for.",
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", help="Number of sampled rows.")
    ] = 1000,
    check: Annotated[
        list[str] | None,
        optional("--check", metavar="CODE", help="Run only this check. Can be repeated."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        optional("--skip", metavar="CODE", help="Skip this check. Can be repeated."),
    ] = None,
) -> int:
    """Find settings without effect and bad vectors.

    Each finding comes with evidence and a fix. Nothing is changed. Without COLLECTION, all
    collections are checked.
    """
    from qadapt.model import Severity

    bar = None if fail_on is None else Severity.of(fail_on)
    options: dict[str, Any] = {
        "vector": vector,
        "options": _params(search_params),
        "model_metric": model_metric,
        "sample": sample,
        "only": tuple(check or ()),
        "skip": tuple(skip or ()),
    }
    found: list[Diagnosis] = []
    failed: dict[str, QadaptError] = {}
    with open_collection(out, url) as (db, on):
        for name in db.collections() if collection is None else [collection]:
            try:
                found.append(db[name].doctor(**options, progress=on))
            except InputError:
                raise
            except QadaptError as error:
                if collection is not None:
                    raise
                failed[name] = error  # continue with the other collections
    missed = bar is not None and any(each.at_least(bar) for each in found)
    out.document(
        {
            "collections": [each.to_dict() for each in found],
            "failed": {name: out.mask(each.message) for name, each in failed.items()},
            "fail_on": None if bar is None else str(bar),
            "missed": missed,
        }
    )
    if not out.json:
        for each in found:
            _show(out, each)
        for name, problem in failed.items():
            out.print(styled(f"{name}: {out.mask(problem.message)}", "red"))
            if problem.hint:
                out.print(styled(out.mask(problem.hint), "dim"), indent=2)
    return 1 if failed else MISSED if missed else 0


_PARAMS = """for example --search-params '{"quantization": {"oversampling": 3}}'"""


def _params(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"--search-params is not JSON: {error}", hint=_PARAMS) from None
    if not isinstance(given, dict):
        raise SpecError(f"--search-params must be a JSON object, got {text}", hint=_PARAMS)
    return given


def _show(out: Output, found: Diagnosis) -> None:
    head = styled(found.collection, "bold").append(f"  {found.rows:,} rows", style="default")
    out.print(head.append(f"  {len(found.checked)} checks", style="dim"))
    for item in found.findings:
        _show_finding(out, item)
    for left in found.skipped if out.verbose else ():
        out.print(styled(f"skipped {left.code}: {left.reason}", "dim"), indent=2)
    if found.skipped and not out.verbose:
        count = len(found.skipped)
        out.print(styled(f"{count} checks were skipped (-v shows the reasons)", "dim"), indent=2)
    if found.healthy:
        out.print(styled("✓ no findings", "green"), indent=2)
    out.print("")


def _show_finding(out: Output, item: Finding) -> None:
    sign, style = SIGNS[item.severity.value]
    title = styled(f"{sign} {item.severity}", style).append(f"  {item.code}", style="bold")
    out.print(title.append(f"  {item.vector}" if item.vector else "", style="dim"), indent=2)
    out.print(out.mask(item.message), indent=4)
    if item.command:
        out.print(styled(f"fix: {out.mask(item.command)}", "cyan"), indent=4)
    if out.verbose:
        pairs = [(each.signal, rendering.value(each.value)) for each in item.evidence]
        out.print(facts([*pairs, ("source", item.source)]), indent=4)
