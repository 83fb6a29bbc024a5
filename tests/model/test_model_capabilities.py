"""Capabilities of a store by version and deployment, and disabled by the user."""

from __future__ import annotations

import pytest

from qadapt.errors import SpecError
from qadapt.model import Capabilities, Rule, Support, narrow
from qadapt.model.capabilities import older

N, C, U = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED

RULES = (
    Rule("native-quantization", N, "has codes"),
    Rule("native-rescore", N, since="1.8"),
    Rule("native-oversampling", N),
    Rule("native-binary", N, until="2.0", otherwise=U),
    Rule("native-binary:1.5", N, since="1.15"),
    Rule("native-binary-wide", N),
    Rule("named-vectors", N, deployments=("server", "cloud"), otherwise=U),
)


def _caps(version: str | None = "1.16", deployment: str = "server") -> Capabilities:
    return narrow("toy", RULES, version, deployment)


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        ("1.8", "1.16", True),  # numbers, not letters
        ("1.16", "1.8", False),
        ("1.8.0", "1.8", False),
        ("1.8", "1.8.0", False),
        ("1.8", "1.8.1", True),
        ("v2.5.4", "2.5.5", True),
        ("v2.6.0-rc1", "2.6.0", False),
        ("2.6-dev", "2.6.1", True),
        ("milvus-2.4", "2.5", True),
        ("unknown", "0.1", True),
    ],
)
def test_older(version: str, than: str, expected: bool) -> None:
    assert older(version, than) is expected


def test_narrow() -> None:
    caps = _caps()
    assert (caps.store, caps.version, caps.deployment, caps.disabled) == (
        "toy",
        "1.16",
        "server",
        (),
    )
    assert all(caps.native(rule.feature) for rule in RULES)
    assert caps["native-quantization"].reason == "has codes"


@pytest.mark.parametrize(
    ("version", "deployment", "feature", "support", "reason"),
    [
        ("1.7", "server", "native-rescore", C, "requires 1.8 or newer; this is 1.7"),
        ("1.8", "server", "native-rescore", N, ""),
        ("1.10", "server", "native-binary:1.5", C, "requires 1.15 or newer; this is 1.10"),
        ("1.99", "server", "native-binary", N, ""),
        ("2.0", "server", "native-binary", U, "removed in 2.0; this is 2.0"),
        (None, "server", "native-binary", N, ""),
        (None, "server", "native-rescore", N, ""),
        ("1.16", "cloud", "named-vectors", N, ""),
        ("1.16", "local", "named-vectors", U, "unavailable in the deployment 'local'"),
    ],
)
def test_narrowed(
    version: str | None, deployment: str, feature: str, support: Support, reason: str
) -> None:
    found = _caps(version, deployment)[feature]
    assert (found.support, found.reason) == (support, reason)


def test_unknown_feature() -> None:
    with pytest.raises(SpecError, match="in toy") as caught:
        _ = _caps()["native-rescor"]
    assert "did you mean 'native-rescore'?" in str(caught.value)


def test_disable() -> None:
    caps = _caps()
    less = caps.disable(["native-rescore"])
    assert less["native-rescore"].support is C
    assert less["native-rescore"].reason == "disabled by the user"
    assert less.native("native-oversampling") and less.native("native-quantization")
    assert less.disabled == ("native-rescore",)
    assert caps.native("native-rescore") and caps.disabled == ()  # the first one is unchanged
    assert less.disable(["native-binary"]).disabled == ("native-binary", "native-rescore")
    assert caps.disable([]) == caps


def test_disabling_a_kind_disables_its_widths() -> None:
    less = _caps().disable(["native-binary"])
    assert not less.native("native-binary") and not less.native("native-binary:1.5")
    assert less.native("native-binary-wide")
    width = _caps().disable(["native-binary:1.5"])
    assert width.native("native-binary") and not width.native("native-binary:1.5")


def test_without_native_quantization_there_is_no_native_rescoring() -> None:
    less = _caps().disable(["native-quantization"])
    for feature in ("native-rescore", "native-oversampling"):
        assert less[feature].support is C
        assert "native-quantization is disabled" in less[feature].reason
    assert less.native("named-vectors")
    bare = narrow("toy", RULES[:1], None, "server").disable(["native-quantization"])
    assert set(bare.features) == {"native-quantization"}


def test_disabling_an_unknown_feature_is_refused() -> None:
    with pytest.raises(SpecError, match="unknown feature 'native'"):
        _caps().disable(["native"])
