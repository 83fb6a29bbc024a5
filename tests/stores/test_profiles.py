"""A profile matches its store, and invalid profiles are refused."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from qadapt import plugins
from qadapt.errors import QadaptError, SpecError
from qadapt.model import Kind, Quantization, Support, Vector
from qadapt.model.address import Address
from qadapt.model.address_form import AddressForm, form_of
from qadapt.model.capabilities import FEATURES
from qadapt.stores import registry
from qadapt.stores.base import Store
from qadapt.stores.bulk_copy import BulkCopy
from qadapt.stores.profile import INTERFACE, StoreProfile

NAMES = sorted(registry.names())
BARE = StoreProfile(
    interface=1,
    name="bare",
    store="collections:OrderedDict",
    address=AddressForm(local="folder"),
)
NEWER = replace(BARE, interface=INTERFACE + 1)
OLDER = replace(BARE, interface=INTERFACE - 1)


def overrides(store: type[Store], name: str, base: type = Store) -> bool:
    """Whether a class overrides a method."""
    return getattr(store, name) is not getattr(base, name)


@pytest.mark.parametrize("name", NAMES)
def test_traits_match_the_methods_of_the_class(name: str) -> None:
    profile, store = registry.profile(name), registry.load(name)
    assert store.profile is profile
    traits = profile.traits
    assert traits.aliases is overrides(store, "switch_alias")
    assert traits.keeps_payload is not overrides(store, "payload_fidelity", BulkCopy)
    assert bool(traits.partition_kind) is overrides(store, "create_partitions", BulkCopy)
    assert profile.wraps_clients is (store.wrap.__func__ is not Store.wrap.__func__)
    assert not overrides(store, "accepts_id", BulkCopy), "a trait, so that it is known unopened"


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_complete(name: str) -> None:
    profile = registry.profile(name)
    assert isinstance(profile.interface, int)
    for deployment in profile.deployments:
        features = profile.declared_capabilities(None, deployment).features
        assert set(FEATURES) <= set(features)
        assert {f"native-{kind.value}" for kind in Kind if kind is not Kind.NONE} <= set(features)
    assert profile.cost_model is not None and profile.quantizers is not None
    assert profile.mapping is not None
    assert profile.mapping(Quantization(Kind.NONE), Vector(8)).target.kind is Kind.NONE
    with pytest.raises(SpecError, match="deployment"):
        profile.declared_capabilities(None, "moon")


def test_checks_of_the_same_code_have_the_same_title() -> None:
    titles: dict[str, set[tuple[str, str]]] = {}
    for profile in registry.profiles().values():
        for check in profile.checks:
            titles.setdefault(check.code, set()).add((check.title, check.needs))
    assert all(len(each) == 1 for each in titles.values()), titles


def test_profiles_and_addresses_need_no_client() -> None:
    packages = [each.package for each in registry.profiles().values()]
    code = (
        "import sys\n"
        f"for package in {packages!r}: sys.modules[package] = None\n"
        "from qadapt.model.address import Address\n"
        "from qadapt.stores import registry\n"
        "known, broken = registry.load_all()\n"
        f"assert sorted(known) == {NAMES!r} and not broken, broken\n"
        "for name, each in known.items():\n"
        "    for transport in each.address.ports:\n"
        "        assert Address.parse(f'{name}+{transport}://host').port\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- plug-ins that cannot be used ------------------------------------------------------------------


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Adds an entry point ``bare`` that names something in this module."""

    def add(attribute: str) -> None:
        point = EntryPoint("bare", f"{__name__}:{attribute}", plugins.GROUP)
        real = importlib.metadata.entry_points

        def found(**wanted: str) -> list[EntryPoint]:
            return [*real(**wanted), *([point] if wanted.get("name") in (None, "bare") else [])]

        monkeypatch.setattr(importlib.metadata, "entry_points", found)
        monkeypatch.setattr(plugins, "_loaded", {})
        monkeypatch.setattr(plugins, "_scanned", {})
        monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])

    return add


@pytest.mark.parametrize(
    ("attribute", "message", "hint"),
    [
        ("NEWER", "'bare' has version 2 of the store interface", "upgrade qadapt"),
        ("OLDER", "'bare' has version 0 of the store interface", "upgrade the package"),
        ("NAMES", "not a StoreProfile", "must name a"),
    ],
)
def test_a_plug_in_of_another_interface_is_refused_by_name(
    plugin: Any, attribute: str, message: str, hint: str
) -> None:
    plugin(attribute)
    with pytest.raises(QadaptError, match=message) as refused:
        registry.open_store("bare:./data")
    assert hint in (refused.value.hint or "")
    known, broken = registry.load_all()
    assert sorted(known) == NAMES and list(broken) == ["bare"]


def test_a_profile_of_another_name_is_refused(plugin: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys.modules[__name__], "BARE", replace(BARE, name="other"))
    plugin("BARE")
    with pytest.raises(QadaptError, match="profile named 'other'"):
        registry.profile("bare")


def test_a_profile_whose_class_is_no_store_is_refused_when_it_is_opened(plugin: Any) -> None:
    plugin("BARE")
    assert form_of("bare") is BARE.address
    with pytest.raises(QadaptError, match="not a qadapt Store"):
        registry.open_store("bare:./data")


def test_omitted_features_are_unsupported() -> None:
    features = BARE.declared_capabilities().features
    assert features["native-quantization"].support is Support.CLIENT
    assert features["native-binary"].support is Support.CLIENT
    assert features["native-rotational"].support is Support.UNSUPPORTED


def test_an_address_of_a_missing_store_is_parsed() -> None:
    address = Address.parse("absent+http://Host:1/prefix?x=1")
    assert address.identity == "absent+http://host:1/prefix?x=1"
    assert address.secret({"QADAPT_API_KEY": ""}) is None
    with pytest.raises(SpecError, match="absent"):
        registry.open_store(address)
