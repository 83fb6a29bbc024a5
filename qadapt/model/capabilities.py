"""Capabilities of a database for one version and deployment, each with a reason."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from qadapt.errors import SpecError
from qadapt.model.serializable import Serializable
from qadapt.model.table import Table, Tabular

# Features that every store declares, in addition to ``native-<kind>``. The bit width follows
# a colon if support depends on it: ``native-binary:1.5``.
FEATURES = {
    "native-quantization": "the database stores and searches quantized vectors",
    "native-rescore": "the database rescores candidates with the original vectors",
    "native-oversampling": "oversampling can be set per query",
    "native-undo": "quantization can be removed in place",
    "native-filter": "filters are applied during the search",
    "named-vectors": "multiple vectors per collection",
}


# How a capability was checked without running the engine: ``contract`` by recorded responses or
# exact requests, ``declared`` by no test. Results of live runs are in the matrix.
Checked = Literal["contract", "declared"]


class Support(str, Enum):
    """Implemented by the database, by qadapt, or not supported."""

    NATIVE = "native"
    CLIENT = "client"
    UNSUPPORTED = "unsupported"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Capability(Serializable):
    """One feature: its support, the reason, and how it was checked without a live run."""

    support: Support
    reason: str = ""
    checked: Checked = "declared"


@dataclass(frozen=True)
class Rule:
    """Support of one feature, and the versions and deployments that it applies to.

    Attributes:
        feature: name, such as ``native-quantization`` or ``native-binary:1.5``.
        support: support if the rule applies.
        reason: explanation.
        since, until: first version with the feature, first version without it; None for no limit.
        deployments: deployments that the rule applies to; empty for all.
        otherwise: support if the rule does not apply.
        checked: ``contract`` or ``declared``.
    """

    feature: str
    support: Support
    reason: str = ""
    since: str | None = None
    until: str | None = None
    deployments: tuple[str, ...] = ()
    otherwise: Support = Support.CLIENT
    checked: Checked = "declared"


@dataclass(frozen=True)
class Capabilities(Tabular, Serializable):
    """Capabilities of one server.

    ``caps["native-rescore"]`` is a Capability; an unknown name raises an error.
    """

    store: str
    version: str | None
    deployment: str
    features: Mapping[str, Capability]
    disabled: tuple[str, ...] = ()

    def table(self) -> Table:
        """One row per feature."""
        rows = tuple(
            (name, each.support.value, each.reason) for name, each in self.features.items()
        )
        title = f"{self.store} {self.version or ''} ({self.deployment})".replace("  ", " ")
        return Table(("Feature", "Support", "Why"), rows, title)

    def __getitem__(self, feature: str) -> Capability:
        try:
            return self.features[feature]
        except KeyError:
            raise SpecError.unknown("feature", feature, self.features, where=self.store) from None

    def native(self, feature: str) -> bool:
        """Whether the database implements the feature."""
        return self[feature].support is Support.NATIVE

    def disable(self, names: Iterable[str]) -> Capabilities:
        """Copy with some native features disabled, which forces the client-side fallback.

        Raises:
            SpecError: the store does not declare the feature.
        """
        features = dict(self.features)
        for name in names:
            self[name]
            for feature in features:
                if feature == name or feature.startswith(name + ":"):
                    features[feature] = Capability(Support.CLIENT, "disabled by the user")
            if name == "native-quantization":
                # Without codes in the database there are no candidates to rescore.
                _switch_off_what_needs_codes(features)
        return self.replace(features=features, disabled=tuple(sorted({*self.disabled, *names})))


def _switch_off_what_needs_codes(features: dict[str, Capability]) -> None:
    for feature in ("native-rescore", "native-oversampling"):
        if feature in features:
            features[feature] = Capability(
                Support.CLIENT, "native-quantization is disabled by the user"
            )


def by_contract(*rules: Rule) -> tuple[Rule, ...]:
    """Mark rules as checked by contract tests."""
    return tuple(dataclasses.replace(rule, checked="contract") for rule in rules)


def narrow(store: str, rules: Sequence[Rule], version: str | None, deployment: str) -> Capabilities:
    """Evaluate the rules for one version and deployment."""
    features = {rule.feature: _apply(rule, version, deployment) for rule in rules}
    return Capabilities(store, version, deployment, features)


def _apply(rule: Rule, version: str | None, deployment: str) -> Capability:
    if rule.deployments and deployment not in rule.deployments:
        return Capability(
            rule.otherwise, f"unavailable in the deployment {deployment!r}", rule.checked
        )
    if rule.since and version is not None and older(version, rule.since):
        why = f"requires {rule.since} or newer; this is {version}"
        return Capability(rule.otherwise, why, rule.checked)
    if rule.until and version is not None and not older(version, rule.until):
        why = f"removed in {rule.until}; this is {version}"
        return Capability(rule.otherwise, why, rule.checked)
    return Capability(rule.support, rule.reason, rule.checked)


@functools.lru_cache(maxsize=1024)
def older(version: str, than: str) -> bool:
    """Whether ``version`` is older than ``than``; letters and build tags are ignored."""
    left, right = _numbers(version), _numbers(than)
    width = max(len(left), len(right))
    pad = (0,) * width
    return (left + pad)[:width] < (right + pad)[:width]


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)
