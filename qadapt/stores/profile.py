"""What qadapt knows of a store before it is opened, in one frozen object.

The entry point of a store names its profile. A profile imports without the client of the store, and
says everything that other layers ask: addresses, keys, capabilities, what a copy has to respect,
what a vector costs, how its quantizers score.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

from qadapt.errors import SpecError
from qadapt.footprint import CostModel
from qadapt.model import (
    Capabilities,
    Capability,
    Id,
    Kind,
    Quantization,
    Rule,
    Support,
    Vector,
    narrow,
)
from qadapt.model.address_form import AddressForm
from qadapt.model.capabilities import FEATURES
from qadapt.quantizers.models import QuantizerModels
from qadapt.stores.store_types import MAX_K, MappedQuantization
from qadapt.version import install_command

# The version of the interface between qadapt and stores: of ``StoreProfile`` and of what the class
# it names must have. A plug-in that was written for another version is refused by its name.
INTERFACE = 1


@dataclass(frozen=True)
class Traits:
    """What holds for every collection of a store, at every version.

    Attributes:
        normalizes_cosine: float vectors under cosine come back at length 1.
        keeps_explicit_zeros: entries of 0 of a sparse vector come back.
        allows_missing_vectors: a row may lack one of its vectors.
        keeps_payload: every entry of a payload comes back as it was written; where not,
            ``Store.payload_fidelity`` tells for each entry.
        accepts_id: whether a collection made by ``create`` accepts an id and gives it back; None
            where every id is accepted.
        partition_kind: the store's own plural for partitions that rows are in, such as
            ``tenants``; ``NAME@PARTITION`` is then one partition as a collection of its own. Empty
            where there are none.
        aliases: collections may have aliases, which ``switch_alias`` moves.
        recreates: another metric or datatype is planned as a copy and an alias that is switched.
        recreates_separately: such a plan changes no quantization at the same time.
        adds_vectors: a quantization may be given to a new vector of the same collection.
        payload_indexes_last: payload indexes are built after codes, because the state of codes
            could not be verified while they are built.
        segment_candidates: each segment of a collection contributes its own candidates to a search.
        rounds_in_searches: a search may change the last digits of stored cosine vectors.
        zero_is_positive: a sign bit of the value 0 counts as positive.
        max_k: most results of one search.
    """

    normalizes_cosine: bool = False
    keeps_explicit_zeros: bool = True
    allows_missing_vectors: bool = True
    keeps_payload: bool = True
    accepts_id: Callable[[Id], bool] | None = None
    partition_kind: str = ""
    aliases: bool = False
    recreates: bool = False
    recreates_separately: bool = False
    adds_vectors: bool = False
    payload_indexes_last: bool = False
    segment_candidates: bool = False
    rounds_in_searches: bool = False
    zero_is_positive: bool = False
    max_k: int = MAX_K


@dataclass(frozen=True)
class DoctorCheck:
    """A check that ``Store.findings`` of a store makes.

    Attributes:
        code: as its findings carry it.
        title: what is wrong when it finds something, one sentence.
        needs: what the user has to give for it: ``"options"`` for search parameters; ``""`` for
            nothing.
    """

    code: str
    title: str
    needs: str = ""


@dataclass(frozen=True)
class StoreProfile:
    """A store, as far as it is known without opening it.

    Attributes:
        interface: the version of the interface that the store was written for (``INTERFACE``); a
            number in the source of the store, never the constant itself.
        name: in addresses and tables; the same as the entry point's.
        store: the class, as ``"package.module:Class"``; imported when the store is opened.
        package: import name of the client; ``""`` for a store that needs none.
        distribution: the client's name on the package index; ``""`` for a store that needs none.
        address: transports, default ports, key variables, folders and files.
        extra: the extra of qadapt that installs the client; ``""`` where ``distribution`` does.
        family: stores of one family share the terms of a schema and of a quantization; the name
            itself where it is left out.
        deployments: how the store may be deployed, as ``Server.deployment`` says it; the first is
            the usual one.
        rules: the capabilities; by deployment where they differ. A feature that is left out is
            done by qadapt, or not at all where qadapt has no codes of that kind.
        datatypes: the datatypes that a vector may have.
        mapping: a quantization at the newest version, as ``Store.map`` gives it for a live one;
            None for a store without native codes.
        cost_model: bytes of a vector; None where they are not known.
        quantizers: what the store's codes do to scores; None where they are not modelled.
        checks: the checks of ``qadapt doctor`` that only this store makes.
        traits: what a copy, a plan or a search has to respect.
        wraps_clients: ``qa.wrap`` takes clients of ``package``.
        tested: versions that the conformance suite passes on, in sentences, for docs/support.md.
    """

    interface: int
    name: str
    store: str
    package: str
    distribution: str
    address: AddressForm
    extra: str = ""
    family: str = ""
    deployments: tuple[str, ...] = ("server",)
    rules: Sequence[Rule] | Mapping[str, Sequence[Rule]] = ()
    datatypes: tuple[str, ...] = ("float32",)
    mapping: Callable[[Quantization, Vector], MappedQuantization] | None = None
    cost_model: CostModel | None = None
    quantizers: QuantizerModels | None = None
    checks: tuple[DoctorCheck, ...] = ()
    traits: Traits = field(default_factory=Traits)
    wraps_clients: bool = False
    tested: str = ""

    def __post_init__(self) -> None:
        if not self.family:
            object.__setattr__(self, "family", self.name)

    def __repr__(self) -> str:
        return f"StoreProfile({self.name!r}, store={self.store!r})"

    def declared_capabilities(
        self, version: str | None = None, deployment: str | None = None
    ) -> Capabilities:
        """What a server can do, as declared; no connection needed.

        Args:
            version: None for the newest known.
            deployment: one of ``deployments``; None for the first.

        Raises:
            SpecError: an unknown deployment.
        """
        where = deployment or self.deployments[0]
        if where not in self.deployments:
            raise SpecError.unknown("deployment", where, self.deployments, where=self.name)
        rules = self.rules[where] if isinstance(self.rules, Mapping) else self.rules
        found = narrow(self.name, rules, version, where)
        return found.replace(features={**found.features, **_left_out(found.features)})

    @property
    def installed(self) -> bool:
        """Whether the client can be imported."""
        return not self.package or importlib.util.find_spec(self.package) is not None

    @property
    def install_command(self) -> str:
        """The command that installs the client."""
        if self.extra or not self.distribution:
            return install_command(self.extra)
        return f"pip install {self.distribution}"


def _left_out(declared: Container[str]) -> dict[str, Capability]:
    """The features that a store says nothing of: its engine does not have them."""
    ours = {*FEATURES, *(f"native-{kind.value}" for kind in (Kind.SCALAR, Kind.BINARY))}
    kinds = (f"native-{kind.value}" for kind in Kind if kind is not Kind.NONE)
    return {
        name: Capability(
            Support.CLIENT if name in ours else Support.UNSUPPORTED, "the store does not have it"
        )
        for name in (*FEATURES, *kinds)
        if name not in declared
    }
