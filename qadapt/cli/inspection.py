"""Commands ``stores``, ``matrix`` and ``inspect``."""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import completion, rendering
from qadapt.cli.arguments import open_database
from qadapt.cli.client_params import params_facts
from qadapt.cli.command import command
from qadapt.cli.options import MaybeCollection, Url, word
from qadapt.cli.output import Output, facts, fitting, styled, table
from qadapt.errors import QadaptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.text import Text

    from qadapt.api import Database
    from qadapt.matrix import Cell, LiveRun
    from qadapt.model import Capabilities, CollectionInfo, Server, UnknownDimension, VectorInfo
    from qadapt.model.address import Address
    from qadapt.model.client_params import ClientParams

_SUPPORT = {"native": "green", "client": "cyan", "unsupported": "dim"}
_NAME, _CELL = 24, 11  # aligns the columns of all tables of a matrix
_SUPPORT_LEGEND = "native: by the database   client: by qadapt   -: not supported"
_CHECKED = {"verified": "✓", "contract": "○", "declared": ""}
_CHECKED_LEGEND = "✓ verified on a live engine   ○ contract tests   no mark: declared only"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "stores", examples="qadapt stores")(stores)
    command(app, "matrix", examples="qadapt matrix\nqadapt matrix edge")(matrix)
    command(
        app,
        "inspect",
        examples="qadapt inspect edge:./data\n"
        "qadapt inspect qdrant+http://localhost:6333 articles -v",
    )(inspect)


# -- stores and matrix -------------------------------------------------------------------------


def stores(out: Output) -> None:
    """List supported databases and installed clients."""
    from qadapt.stores import registry

    known, broken = registry.load_all()
    rows: list[dict[str, Any]] = []
    for name, store in known.items():
        rows.append(
            {
                "name": name,
                "package": store.package,
                "installed": store.installed,
                "version": _version(store.distribution) if store.installed else None,
                "install": None if store.installed else store.install_command,
            }
        )
    reported = {name: error.message for name, error in broken.items()}
    out.document({"stores": rows, "broken": reported})
    for error in broken.values():
        out.warn(error.message)
    out.print(table(["Store", "Client", "Version", "Installed"], [_store_row(row) for row in rows]))


def _store_row(row: dict[str, Any]) -> list[Text | str]:
    there = styled("✓ yes", "green") if row["installed"] else styled("· no", "yellow")
    if row["install"]:
        there.append(f": {row['install']}")
    return [row["name"], row["package"] or rendering.DASH, row["version"] or rendering.DASH, there]


def _version(distribution: str) -> str | None:
    if not distribution:  # the database needs no client
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:  # installed without a package manager
        return None


def matrix(
    out: Output,
    store: Annotated[
        str | None,
        word("STORE", "Show the matrix of one database, with reasons.", completion.stores),
    ] = None,
) -> None:
    """Show what each database supports and how it was tested.

    Features are those of the newest known version; an older server may support fewer. With STORE,
    the reasons and the results of runs on live engines are shown. To switch a feature off in other
    commands, use --disable, for example --disable native-rescore.
    """
    from qadapt.matrix import cells, load
    from qadapt.stores import registry

    if store is None:
        chosen, broken = registry.load_all()
        for error in broken.values():
            out.warn(error.message)
    else:
        chosen = {store: registry.profile(store)}
    declared = {name: each.declared_capabilities() for name, each in chosen.items()}
    known = cells(chosen, load())
    out.document(
        {
            "stores": {name: can.to_dict() for name, can in declared.items()},
            "cells": [cell.to_dict() for cell in known],
        }
    )
    if out.json:
        return
    if store is not None:
        _one_store(out, declared[store], known)
    else:
        _all_stores(out, declared, known)
    if not out.quiet:
        out.print(styled(_SUPPORT_LEGEND, "dim"), styled(_CHECKED_LEGEND, "dim"))


def _all_stores(out: Output, declared: dict[str, Capabilities], known: list[Cell]) -> None:
    features = list(dict.fromkeys(name for can in declared.values() for name in can.features))
    versions: list[Text | str] = [styled(can.version or "", "dim") for can in declared.values()]
    first: list[list[Text | str]] = [["", *versions]] if any(map(str, versions)) else []
    for title, names in _groups(features):
        rows = list(first)
        for feature in names:
            row = [_support(can, feature, known) for can in declared.values()]
            rows.append([_feature(feature), *row])
        out.print(table([title.ljust(_NAME), *declared], rows), "")
        first = []


def _one_store(out: Output, can: Capabilities, known: list[Cell]) -> None:
    for title, names in _groups(can.features):
        rows: list[list[Text | str]] = [
            [_feature(name), _support(can, name, known), can[name].reason] for name in names
        ]
        out.print(table([title.ljust(_NAME), can.store.ljust(_CELL), "Why"], rows), "")
    runs = [cell.live_runs for cell in known if cell.live_runs is not None]
    if runs:
        columns: list[Any] = ["Verified".ljust(_NAME), "Engine", "Index"]
        columns += [("Without rescoring", "right"), ("With", "right")]
        out.print(table(columns, [_run(run) for run in runs]), "")


def _run(run: LiveRun) -> list[Text | str]:
    knob = "ratio" if run.kind == "product" else "bits"
    setting = f"{run.kind}:{knob}={run.width}" if run.width else run.kind
    recalls = [f"{run.without:.3f}", f"{run.lifted:.3f}"]
    return [setting, f"{run.deployment} {run.version}", run.index, *recalls]


def _groups(features: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Group the features: quantization strings, then other features."""
    from qadapt.model import FEATURES

    listed = list(features)
    kinds = [name for name in listed if name not in FEATURES]
    others = [name for name in listed if name in FEATURES]
    return [pair for pair in (("Quantization", kinds), ("Feature", others)) if pair[1]]


def _feature(name: str) -> str:
    """Convert ``native-binary:1.5`` to the quantization string ``binary:bits=1.5``."""
    from qadapt.model import FEATURES

    if name in FEATURES:
        return name
    kind, colon, width = name.removeprefix("native-").partition(":")
    if not colon:
        return kind
    return f"  {kind}:{'ratio' if kind == 'product' else 'bits'}={width}"


def _support(can: Capabilities, feature: str, known: list[Cell]) -> Text:
    from qadapt.matrix import of_feature

    there = can.features.get(feature)
    if there is None or there.support.value == "unsupported":
        return styled(rendering.DASH, "dim")
    ways = {cell.checked for cell in of_feature(known, can.store, feature)}
    mark = next((sign for way, sign in _CHECKED.items() if way in ways), "")
    return styled(f"{there.support.value} {mark}".rstrip(), _SUPPORT[there.support.value])


# -- inspect -----------------------------------------------------------------------------------


def inspect(out: Output, url: Url, collection: MaybeCollection = None) -> int:
    """Show configured and verified quantization.

    Without COLLECTION, all collections are listed. With -v, the evidence is shown.
    """
    from qadapt.model.address import Address

    with open_database(url) as db:
        if collection is None:
            with db.survey():
                read, failed = _read(db, db.collections(), strict=False)
        else:
            read, failed = _read(db, [collection], strict=True)
        server = db.server()
        clients = {} if collection is None else _clients(db, read[0])
    out.document(
        {
            "address": str(Address.parse(url)),
            "server": server.to_dict(),
            "collections": [info.to_dict() for info in read],
            "clients": {name: each.to_dict() for name, each in clients.items()},
            "failed": {
                name: {"message": out.mask(error.message), "hint": out.mask(error.hint or "")}
                for name, error in failed.items()
            },
        }
    )
    if out.json:
        return 1 if failed else 0
    if collection is not None:
        _one_collection(out, read[0], clients)
        return 0
    address = Address.parse(url)
    out.print(_place(str(address), server))
    if read or not failed:
        out.print("", _all_vectors(read, out.out.width) if read else _none(address))
    for name, error in failed.items():
        out.print("", styled(f"{name}: {out.mask(error.message)}", "red"))
        if error.hint:
            out.print(out.mask(error.hint), indent=2)
    problems = sorted({v.status.state.value for i in read for v in i.vectors.values()})
    if {"ignored", "unknown", "building"} & set(problems) and not out.quiet:
        out.print("", styled("`qadapt inspect URL COLLECTION` shows the reason", "dim"))
    return 1 if failed else 0


def _read(
    db: Database, names: list[str], *, strict: bool
) -> tuple[list[CollectionInfo], dict[str, QadaptError]]:
    """Read all collections; errors are reported per collection."""
    read, failed = [], {}
    for name in names:
        try:
            read.append(db[name].info())
        except QadaptError as error:
            if strict:
                raise
            failed[name] = error
    return read, failed


def _place(address: str, server: Server) -> Text:
    text = styled(address, "bold")
    return text.append(f"  {_server(server)}", style="dim")


def _server(server: Server) -> str:
    return f"{server.store} {server.version or '(version unknown)'}, {server.deployment}"


def _all_vectors(infos: list[CollectionInfo], width: int) -> Any:
    rows: list[list[Text | str]] = []
    for info in infos:
        for vector in info.vectors.values():
            word, style = rendering.state(vector.status)
            row: list[Text | str] = [info.name, rendering.vector(vector.name)]
            row += [rendering.number(info.count), str(vector.dim), str(vector.metric)]
            row += [rendering.size(vector.code_bytes or None), rendering.size(vector.float_bytes)]
            rows.append([*row, styled(word, style), str(vector.quantization)])
        for name, seen in info.unknown_dimensions.items():
            row = [info.name, rendering.vector(name), rendering.number(info.count)]
            rows.append(
                [
                    *row,
                    *[rendering.DASH] * 4,
                    styled(rendering.unmeasured(seen), "dim"),
                    rendering.DASH,
                ]
            )
    columns: list[Any] = ["Collection", "Vector", ("Rows", "right"), ("Dim", "right"), "Metric"]
    columns += [("Codes", "right"), ("Vectors", "right"), "Verified", "Configured"]
    unnamed = not any(name for info in infos for name in (*info.vectors, *info.unknown_dimensions))
    if unnamed:
        columns, rows = columns[:1] + columns[2:], [row[:1] + row[2:] for row in rows]
    return fitting(width, columns, rows, drop=["Metric", "Vectors", "Dim", "Codes"])


def _none(address: Address) -> str:
    """Report that there are no collections, or that the folder does not exist."""
    if address.is_local and not address.path.exists():
        return f"no collections: folder {address.path} does not exist"
    return "no collections"


def _clients(db: Database, info: CollectionInfo) -> dict[str, ClientParams]:
    """What clients must send, by vector; vectors that need nothing are omitted."""
    found = {name: db[info.name].client_params(vector=name) for name in info.vectors}
    bare = {name: each.replace(code={}) for name, each in found.items()}
    return {name: each for name, each in bare.items() if each.needed or not each.reachable}


def _one_collection(out: Output, info: CollectionInfo, clients: Mapping[str, ClientParams]) -> None:
    head = styled(info.name, "bold").append(
        f"  {rendering.number(info.count)} rows", style="default"
    )
    out.print(head.append(f"  {_server(info.server)}", style="dim"))
    for vector in info.vectors.values():
        more = params_facts(clients[vector.name], out) if vector.name in clients else []
        out.print("", _vector_title(vector), vector_facts(vector, out, more))
    for name, seen in info.unknown_dimensions.items():
        title = styled(rendering.vector(name), "bold").append(
            "  dimension unknown", style="default"
        )
        out.print(
            "", title, facts([("  verified", rendering.unmeasured(seen)), ("  reason", _why(seen))])
        )
    for note in info.notes:
        out.print("", styled(f"note: {out.mask(note)}", "yellow"))
    if out.verbose:
        for vector in info.vectors.values():
            out.print("", evidence_of(vector))
        out.print("", styled("native configuration", "bold"))
        out.print(json.dumps(info.config, indent=2, ensure_ascii=False, default=str), indent=2)


def _why(seen: UnknownDimension) -> str:
    rows = f"{rendering.number(seen.rows_read)} rows"
    return (
        f"none of the {rows} has this vector"
        if seen.complete
        else f"none of the {rows} that were read has this vector"
    )


def _vector_title(vector: VectorInfo) -> Text:
    text = styled(rendering.vector(vector.name), "bold")
    return text.append(f"  {vector.dim} dimensions, {vector.metric}, {vector.datatype}")


def vector_facts(vector: VectorInfo, out: Output, more: Iterable[tuple[str, str]] = ()) -> Any:
    """Tables of configured and observed quantization, and more lines."""
    status = vector.status
    word, style = rendering.state(status)
    whose = "  (client-side codes)" if vector.quantized_by == "qadapt" else ""
    pairs: list[tuple[str, Text | str]] = [
        ("  configured", f"{vector.quantization}{whose}"),
        ("  verified", styled(word, style)),
    ]
    if status.reason:
        pairs.append(("  reason", out.mask(status.reason)))
    if status.advice:
        pairs.append(("  advice", styled(out.mask(status.advice), "yellow")))
    pairs += [("  note", styled(out.mask(note), "yellow")) for note in vector.notes]
    if vector.quantization.kind.value != "none":
        pairs.append(("  rescore", rendering.rescore(vector.default_rescore)))
    pairs.append(("  codes", _codes(vector)))
    pairs.append(("  vectors", rendering.size(vector.float_bytes)))
    if vector.index:
        pairs.append(
            ("  index", ", ".join(f"{k} {rendering.value(v)}" for k, v in vector.index.items()))
        )
    return facts([*pairs, *more])


def _codes(vector: VectorInfo) -> str:
    if not vector.code_bytes:
        return rendering.DASH if vector.code_bytes is None else "none"
    text = rendering.size(vector.code_bytes)
    if vector.code_bytes and vector.float_bytes:
        ratio = vector.float_bytes / vector.code_bytes
        word = "smaller" if ratio >= 1 else "larger"
        text += f"  ({max(ratio, 1 / ratio):.1f}x {word} than the vectors)"
    return text


def evidence_of(vector: VectorInfo) -> Any:
    """Table of the observed signals."""
    title = styled(f"evidence, {rendering.vector(vector.name)}", "bold")
    pairs = [(f"  {item.signal}", rendering.value(item.value)) for item in vector.status.evidence]
    from rich.console import Group

    return Group(title, facts(pairs) if pairs else "  none")
