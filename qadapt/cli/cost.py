"""Command ``cost``: RAM, disk and monthly cost of settings and databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import rendering
from qadapt.cli.arguments import open_database
from qadapt.cli.command import command
from qadapt.cli.options import (
    DiskPrice,
    MaybeCollection,
    MaybeQuantization,
    MaybeUrl,
    RamPrice,
    VectorName,
    optional,
)
from qadapt.cli.output import Output, facts, fitting, styled, table
from qadapt.errors import InputError, SpecError
from qadapt.model.option_checks import refuse_pairs

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.costing import Cost, Line


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "cost",
        examples="qadapt cost edge:./data articles binary:rescore=4,originals=disk --price 3.8\n"
        "qadapt cost --rows 10000000 --dim 768 --price 3.8 --disk-price 0.1",
    )(cost)


def cost(
    out: Output,
    url: MaybeUrl = None,
    collection: MaybeCollection = None,
    quantization: MaybeQuantization = None,
    vector: VectorName = None,
    rows: Annotated[
        int | None, optional("--rows", help="Number of rows, instead of a collection.")
    ] = None,
    dim: Annotated[int | None, optional("--dim", help="Number of dimensions, with --rows.")] = None,
    setting: Annotated[
        list[str] | None,
        optional(
            "--setting",
            metavar="QUANTIZATION",
            help="Setting to compare. Can be repeated.",
        ),
    ] = None,
    price: RamPrice = None,
    disk_price: DiskPrice = None,
    replicas: Annotated[int, typer.Option("--replicas", help="Number of replicas.")] = 1,
    scales: Annotated[
        str, typer.Option("--scales", metavar="1,10,100", help="Multiples of the collection size.")
    ] = "1,10,100",
) -> None:
    """Estimate RAM, disk and monthly cost.

    Compares the current setting with the requested one, and all databases. Prices must be given
    with --price and --disk-price.
    """
    from qadapt.costing import Prices

    prices = Prices(price, disk_price)
    options: dict[str, Any] = {
        "prices": prices,
        "replicas": replicas,
        "scales": _scales(scales),
        "settings": setting or None,
    }
    found = _of(url, collection, quantization, vector, rows, dim, options)
    out.document(found.to_dict())
    if not out.json:
        _show(out, found)


def _of(
    url: str | None,
    collection: str | None,
    quantization: str | None,
    vector: str | None,
    rows: int | None,
    dim: int | None,
    options: dict[str, Any],
) -> Cost:
    from qadapt.costing import cost as of_numbers

    refuse_pairs(
        (url is not None and rows is not None, "--rows", "with a URL", "the collection has rows"),
        (url is not None and dim is not None, "--dim", "with a URL", "it has dimensions"),
        (vector is not None and rows is not None, "--vector", "with --rows",
         "there is one vector"),
    )  # fmt: skip
    if rows is not None and dim is not None and url is None:
        return of_numbers(rows, dim, **options)
    if rows is None and dim is None and url is not None and collection is not None:
        with open_database(url) as db:
            return db[collection].cost(quantization, vector=vector, **options)
    raise InputError(
        "no collection and no size given",
        hint="qadapt cost URL COLLECTION [QUANTIZATION], or qadapt cost --rows N --dim D",
    )


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SpecError(
            f"--scales takes a list such as 1,10,100; got {text!r}",
            hint="for example --scales 1,10",
        ) from None


def _show(out: Output, found: Cost) -> None:
    head = styled(found.collection or "a collection", "bold")
    copies = f", {found.replicas} replicas" if found.replicas > 1 else ""
    about = f"  {found.rows:,} rows of {found.dim:,} dimensions, {found.metric}{copies}"
    out.print(head.append(about, style="default"))
    _show_change(out, found)
    _show_lines(out, found)
    out.print("")
    for note in found.notes:
        out.print(styled(note, "dim"))
    if found.engine_memory is not None:
        out.print(styled(str(found.engine_memory), "dim"))
    if out.verbose:
        _show_parts(out, found)


def _factors(found: Cost) -> list[float]:
    return [each.factor for each in next(iter(x.scales for x in found.lines if x.scales), ())]


def _show_change(out: Output, found: Cost) -> None:
    pairs = [("current", found.before), ("requested", found.after)]
    rows: list[list[Text | str]] = []
    for label, line in pairs:
        if line is None:
            continue
        row: list[Text | str] = [label, line.setting]
        for scale in line.scales:
            row.append(_amount(scale.ram, scale.disk, scale.monthly))
        rows.append(row if line.scales else [label, line.setting, line.unsupported_reason])
    if not rows:
        return
    factors = [f"{each:g}x: RAM + disk" for each in _factors(found)]
    columns: list[Any] = ["", "Setting", *((name, "right") for name in factors)]
    width = len(columns)
    rows = [[*row, *[""] * (width - len(row))] for row in rows]
    out.print("", fitting(out.out.width, columns, rows, drop=factors[:0:-1]))
    for line in (found.before, found.after):
        for note in line.footprint.notes if line is not None and line.footprint else ():
            out.print(styled(f"{line.setting}: {note}" if line else note, "yellow"))


def _amount(ram: int, disk: int, monthly: float | None) -> str:
    money = "" if monthly is None else f" = {_money(monthly)}"
    return f"{rendering.size(ram)} + {rendering.size(disk)}{money}"


def _money(value: float | None) -> str:
    return rendering.DASH if value is None else f"{value:,.2f}"


def _show_lines(out: Output, found: Cost) -> None:
    """Table of all databases: RAM and cost at each scale, disk at the first."""
    priced = found.prices.given
    columns: list[Any] = ["Store", "Setting"]
    for at, factor in enumerate(_factors(found)):
        columns += [(f"RAM {factor:g}x", "right")]
        columns += [(f"Disk {factor:g}x", "right")] if at == 0 else []
        columns += [(f"Per month {factor:g}x", "right")] if priced else []
    rows = [_row(line, len(columns), priced) for line in found.lines]
    drop = [column[0] for column in columns[:1:-1] if not isinstance(column, str)]
    out.print("", fitting(out.out.width, columns, rows, drop=drop))
    made = [(f"{line.store} {line.setting}", text) for line in found.lines if (text := _made(line))]
    if made:
        out.print("", styled("how each database implements it", "dim"))
        out.print(facts([(f"  {name}", text) for name, text in made]))


def _row(line: Line, width: int, priced: bool) -> list[Text | str]:
    row: list[Text | str] = [line.store, line.setting]
    for at, scale in enumerate(line.scales):
        row.append(rendering.size(scale.ram))
        row += [rendering.size(scale.disk)] if at == 0 else []
        row += [_money(scale.monthly)] if priced else []
    return [*row, *[rendering.DASH] * (width - len(row))]


def _made(line: Line) -> str:
    """Native configuration of a setting, if it differs from the request."""
    if line.footprint is None:
        return line.unsupported_reason
    differences = "; ".join(line.footprint.differences)
    target = str(line.footprint.target.replace(native={}, codes=None, originals=None))
    return "" if target == line.setting else f"{target}{': ' * bool(differences)}{differences}"


def _show_parts(out: Output, found: Cost) -> None:
    """Print the derivation of each figure."""
    for line in [found.before, found.after, *found.lines]:
        if line is None or line.footprint is None:
            continue
        rows: list[list[Text | str]] = [
            [f"  {p.name}", rendering.size(p.ram), rendering.size(p.disk), p.formula, p.source]
            for p in line.footprint.components
        ]
        columns: list[Any] = ["  Part", ("RAM", "right"), ("Disk", "right"), "How", "Source"]
        out.print("", styled(f"{line.store} {line.setting}", "bold"), table(columns, rows))
