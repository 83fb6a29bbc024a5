"""The profile of a store: everything that qadapt knows before it opens the store.

The entry point of a store names its profile. A profile imports without the client of the store. It
holds what the other layers need: addresses, keys, capabilities, traits, cost model, quantizer
models.
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
from qadapt.stores.client_form import ClientForm
from qadapt.stores.store_types import MAX_K, MappedQuantization
from qadapt.version import install_command

# The version of the interface between qadapt and stores: ``StoreProfile`` and the class that it
# names. The registry refuses a plug-in with another version.
INTERFACE = 1


@dataclass(frozen=True)
class Traits:
    """Properties of all collections of a store, at every version.

    Attributes:
        normalizes_cosine: float vectors with the cosine metric are stored at length 1.
        keeps_explicit_zeros: explicit zeros of a sparse vector are stored.
        allows_missing_vectors: a row may lack one of its vectors.
        counts_vectors: ``VectorInfo.count`` is the number of rows with the vector; otherwise it is
            the number of rows of the collection.
        keeps_payload: all payload fields are stored without loss; otherwise
        ``Store.payload_fidelity``
            decides for each field.
        accepts_id: whether a collection created by ``create`` can store an id unchanged; None if
            every id can be stored.
        partition_kind: the store's own plural for partitions, such as ``tenants``;
            ``NAME@PARTITION`` addresses one partition as a collection. Empty if the store has no
            partitions.
        aliases: the store has aliases, and ``switch_alias`` moves them.
        recreates: the metric or datatype can be changed by a copy and an alias switch.
        recreates_separately: the plan cannot change the quantization at the same time.
        adds_vectors: the strategy ``vector`` is available: a quantized copy of a vector in the
            same collection.
        payload_indexes_last: payload indexes are built after codes, because the status of codes
            cannot be verified during their build.
        segment_candidates: each segment contributes its own candidates to a search.
        rounds_cosine: float vectors with the cosine metric keep their length and are stored with an
            error of one rounding step.
        rounds_in_searches: a search may change the last digits of stored cosine vectors.
        zero_is_positive: the sign bit of the value 0 is that of a positive value.
        shortens_codes: ``dims`` is a property of the codes, while the vectors keep all dimensions;
            otherwise the vectors themselves are cut.
        lowercase_names: names of collections must be in lower case.
        max_k: the largest number of results of one search.
    """

    normalizes_cosine: bool = False
    keeps_explicit_zeros: bool = True
    allows_missing_vectors: bool = True
    counts_vectors: bool = True
    keeps_payload: bool = True
    accepts_id: Callable[[Id], bool] | None = None
    partition_kind: str = ""
    aliases: bool = False
    recreates: bool = False
    recreates_separately: bool = False
    adds_vectors: bool = False
    payload_indexes_last: bool = False
    segment_candidates: bool = False
    rounds_cosine: bool = False
    rounds_in_searches: bool = False
    zero_is_positive: bool = False
    shortens_codes: bool = False
    lowercase_names: bool = False
    max_k: int = MAX_K

    @property
    def keeps_full_vectors(self) -> bool:
        """Whether a plan of fewer dimensions adds a vector, and keeps the one with all of them."""
        return self.adds_vectors and not self.recreates


@dataclass(frozen=True)
class DoctorCheck:
    """A check in ``Store.findings`` of a store.

    Attributes:
        code: the code of its findings.
        title: the problem that it detects, in one sentence.
        needs: the input that it requires: ``"options"`` for search parameters; ``""`` for none.
    """

    code: str
    title: str
    needs: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class StoreProfile:
    """Describes a store without opening it.

    Attributes:
        interface: the version of the interface that the store implements, as a literal number:
            importing ``INTERFACE`` would defeat the check.
        name: the name in addresses and tables; equals the name of the entry point.
        store: the class, as ``"package.module:Class"``; imported when the store is opened.
        address: transports, default ports, key variables, folder or file.
        package: import name of the client; ``""`` for a store that needs none.
        distribution: the client's name on the package index; ``""`` for a store that needs none.
        extra: the extra of qadapt that installs the client; ``""`` where ``distribution`` does.
        family: stores of one family share schema and quantization formats; default: the name.
        deployments: the values of ``Server.deployment``; the first is the default.
        rules: the capabilities, or a mapping of deployments to capabilities. An omitted feature
            is provided by qadapt, or unsupported if qadapt has no codes of that kind.
        datatypes: the supported datatypes of vectors.
        mapping: maps a quantization for the newest version, as ``Store.map`` does for a live
            store; None for a store without native codes.
        cost_model: computes the bytes of a vector; None if unknown.
        quantizers: models of the store's quantizers; None without models.
        checks: checks of ``qadapt doctor`` that this store provides.
        traits: properties of all collections.
        client_forms: the forms of ``qadapt client-params``, the usual one first.
        wraps_clients: ``qa.wrap`` accepts clients of ``package``.
        tested: a sentence for docs/support.md with the versions that pass the conformance suite.
    """

    interface: int
    name: str
    store: str
    address: AddressForm
    package: str = ""
    distribution: str = ""
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
    client_forms: tuple[ClientForm, ...] = ()
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
        """The declared capabilities of a server; no connection needed.

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
    """Capabilities of the features that a store does not declare."""
    ours = {*FEATURES, *(f"native-{kind.value}" for kind in (Kind.SCALAR, Kind.BINARY))}
    kinds = (f"native-{kind.value}" for kind in Kind if kind is not Kind.NONE)
    return {
        name: Capability(
            Support.CLIENT if name in ours else Support.UNSUPPORTED, "not declared by the store"
        )
        for name in (*FEATURES, *kinds)
        if name not in declared
    }
