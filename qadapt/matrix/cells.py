"""Cells of the matrix from capabilities and live runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qadapt.matrix.live_runs import LiveRun
from qadapt.model import Capabilities, Kind, Support
from qadapt.model.serializable import Serializable
from qadapt.stores.profile import StoreProfile

PREFIX = "native-"
_KINDS = {kind.value for kind in Kind}


@dataclass(frozen=True)
class Cell(Serializable):
    """Cell: one kind and width, store, version, deployment and index.

    Attributes:
        version: None for the newest known.
        width: bits, or the ratio of product codes; ``""`` if there is none, or for any width.
        index: native name of the index; ``""`` if it was not run live.
        checked: ``live_runs`` (live engine), ``contract`` (contract tests), or ``declared``.
        live_runs: record of the run.
    """

    store: str
    deployment: str
    version: str | None
    kind: str
    width: str
    index: str
    support: Support
    reason: str
    checked: Literal["verified", "contract", "declared"]
    live_runs: LiveRun | None = None


def cells(stores: Mapping[str, StoreProfile], live_runs: Sequence[LiveRun]) -> list[Cell]:
    """All cells: those of live runs, and of each deployment at the newest known version.

    The newest is omitted if it has the same capabilities as a version with a live run.
    """
    result: list[Cell] = []
    for name, store in sorted(stores.items()):
        for deployment in store.deployments:
            runs = [s for s in live_runs if (s.store, s.deployment) == (name, deployment)]
            newest = store.declared_capabilities(None, deployment)
            known = []
            for version in sorted({run.version for run in runs}):
                known.append(store.declared_capabilities(version, deployment))
                result += _of_point(known[-1], [run for run in runs if run.version == version])
            if not any(can.features == newest.features for can in known):
                result += _of_point(newest, [])
    return result


def _of_point(can: Capabilities, live_runs: Sequence[LiveRun]) -> Iterable[Cell]:
    for feature, kind, width in _features(can):
        capability = can[feature]
        runs = [s for s in live_runs if _answers(s, kind, width)]
        common = (can.store, can.deployment, can.version, kind)
        reported = (capability.support, capability.reason)
        for run in runs:
            yield Cell(*common, run.width, run.index, *reported, "verified", run)
        if not runs:
            yield Cell(*common, width, "", *reported, capability.checked)


def _answers(live_runs: LiveRun, kind: str, width: str) -> bool:
    return live_runs.kind == kind and width in ("", live_runs.width)


def _features(can: Capabilities) -> Iterable[tuple[str, str, str]]:
    """Feature, kind and width; a kind with widths is listed by width."""
    for feature in can.features:
        kind, _, width = feature.removeprefix(PREFIX).partition(":")
        widths = any(each.startswith(f"{feature}:") for each in can.features)
        if feature.startswith(PREFIX) and kind in _KINDS and not widths:
            yield feature, kind, width


def of_feature(cells: Iterable[Cell], store: str, feature: str) -> list[Cell]:
    """Cells of one store for a feature such as ``native-binary:1.5``."""
    kind, _, width = feature.removeprefix(PREFIX).partition(":")
    return [c for c in cells if (c.store, c.kind) == (store, kind) and width in ("", c.width)]
