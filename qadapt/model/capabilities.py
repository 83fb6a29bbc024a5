"""What a store can do, at this version and in this deployment, each with a reason."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from qadapt.errors import SpecError
from qadapt.model.serializable import Serializable

# The features that every store declares. ``native-<kind>`` stands beside them, with the width
# behind a colon where widths differ: ``native-binary:1.5``.
FEATURES = {
    "native-quantization": "the store keeps and searches codes of its own",
    "native-rescore": "the store scores candidates again by the originals",
    "native-oversampling": "the number of candidates can be chosen for each query",
    "native-undo": "quantization can be taken back in place",
    "native-filter": "the store filters while it searches",
    "named-vectors": "several vectors in one collection",
}


# How a claim was checked without a run on the engine it is about: ``contract`` is by recorded
# answers or the exact requests, ``declared`` not by a test. What a run saw stands in the matrix.
Checked = Literal["contract", "declared"]


class Support(str, Enum):
    """By the store, by us, or not at all."""

    NATIVE = "native"
    CLIENT = "client"
    UNSUPPORTED = "unsupported"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Capability(Serializable):
    """One feature: who does it, why so, and how that was checked where no engine was run."""

    support: Support
    reason: str = ""
    checked: Checked = "declared"


@dataclass(frozen=True)
class Rule:
    """One declared line of a store: a feature, and from which version or where it holds.

    Attributes:
        feature: its name, such as ``native-quantization`` or ``native-binary:1.5``.
        support: what holds where the rule applies.
        reason: in words.
        since, until: first version that has it, first that has it no more; None for no limit.
        deployments: where it holds; empty for everywhere.
        otherwise: what holds where the rule does not apply.
        checked: by contract tests, or declared alone.
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
class Capabilities(Serializable):
    """The features of one server.

    ``caps["native-rescore"]`` is a Capability; an unknown name is an error.
    """

    store: str
    version: str | None
    deployment: str
    features: Mapping[str, Capability]
    disabled: tuple[str, ...] = ()

    def __getitem__(self, feature: str) -> Capability:
        try:
            return self.features[feature]
        except KeyError:
            raise SpecError.unknown("feature", feature, self.features, where=self.store) from None

    def native(self, feature: str) -> bool:
        """Whether the store itself does it."""
        return self[feature].support is Support.NATIVE

    def disable(self, names: Iterable[str]) -> Capabilities:
        """A copy in which some native features are switched off, which forces the fallback.

        Raises:
            SpecError: a name that the store does not declare.
        """
        features = dict(self.features)
        for name in names:
            self[name]
            for feature in features:
                if feature == name or feature.startswith(name + ":"):
                    features[feature] = Capability(Support.CLIENT, "switched off by the user")
            if name == "native-quantization":
                # Without codes in the store there is nothing for it to rescore.
                _switch_off_what_needs_codes(features)
        return self.replace(features=features, disabled=tuple(sorted({*self.disabled, *names})))


def _switch_off_what_needs_codes(features: dict[str, Capability]) -> None:
    for feature in ("native-rescore", "native-oversampling"):
        if feature in features:
            features[feature] = Capability(
                Support.CLIENT, "native-quantization is switched off by the user"
            )


def by_contract(*rules: Rule) -> tuple[Rule, ...]:
    """These rules, marked as held by contract tests."""
    return tuple(dataclasses.replace(rule, checked="contract") for rule in rules)


def narrow(store: str, rules: Sequence[Rule], version: str | None, deployment: str) -> Capabilities:
    """The declared rules, narrowed to one version and deployment."""
    features = {rule.feature: _apply(rule, version, deployment) for rule in rules}
    return Capabilities(store, version, deployment, features)


def _apply(rule: Rule, version: str | None, deployment: str) -> Capability:
    if rule.deployments and deployment not in rule.deployments:
        return Capability(rule.otherwise, f"not in the deployment {deployment!r}", rule.checked)
    if rule.since and version is not None and older(version, rule.since):
        why = f"needs {rule.since} or newer, this is {version}"
        return Capability(rule.otherwise, why, rule.checked)
    if rule.until and version is not None and not older(version, rule.until):
        why = f"gone since {rule.until}, this is {version}"
        return Capability(rule.otherwise, why, rule.checked)
    return Capability(rule.support, rule.reason, rule.checked)


def older(version: str, than: str) -> bool:
    """Whether ``version`` comes before ``than``; letters and build tags are left out."""
    left, right = _numbers(version), _numbers(than)
    width = max(len(left), len(right))
    pad = (0,) * width
    return (left + pad)[:width] < (right + pad)[:width]


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)
