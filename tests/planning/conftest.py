"""A collection in the live edge store, its initial contents, and a fake store for waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from embeddings import Embeddings

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.engines.exact import exact_scores
from qadapt.errors import StoreError
from qadapt.model import (
    Capabilities,
    Capability,
    CollectionInfo,
    Hits,
    Match,
    Metric,
    Quantization,
    SearchProvenance,
    Server,
    State,
    Status,
    Step,
    Support,
    Symbol,
    Vector,
    VectorInfo,
)
from qadapt.model.address import Address
from qadapt.model.address_form import AddressForm
from qadapt.planning import journal
from qadapt.stores.base import ChangePlan, ChangeRequest, MappedQuantization, Store
from qadapt.stores.operations import Execution, Operation, table
from qadapt.stores.profile import StoreProfile
from qadapt.testing import Sample

pytest.register_assert_rewrite("kill_world")

ROWS = 800


@pytest.fixture(scope="session")
def sample(embeddings: Embeddings) -> Sample:
    """Real embeddings with exact truth."""
    rows, queries = embeddings.docs[:ROWS], embeddings.queries[:60]
    scores = exact_scores(queries, rows, Metric.COSINE)
    return Sample(rows, queries, np.argsort(-scores, axis=1, kind="stable")[:, :10])


@pytest.fixture
def address(live: Callable[[str], str]) -> str:
    return live("edge")


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    with qa.open(address) as opened:
        yield opened


@pytest.fixture
def articles(database: Database, sample: Sample) -> Collection:
    """The sample under cosine, ids 0..n-1, payload ``group``."""
    collection = database.create("articles", dim=sample.rows.shape[1])
    payloads = [{"group": row % 5} for row in range(len(sample.rows))]
    collection.write(qa.Batch(range(len(sample.rows)), {"": sample.rows}, payloads))
    return collection


@pytest.fixture
def rows_of() -> Callable[[Collection], dict[Any, Any]]:
    """Contents of a collection, for a bitwise comparison."""
    return _rows_of


def _rows_of(collection: Collection) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for batch in collection.read():
        for at, key in enumerate(batch.ids):
            vectors = {name: array[at].tobytes() for name, array in batch.vectors.items()}
            found[key] = (vectors, (batch.payloads or [{}] * len(batch))[at])
    return found


@pytest.fixture
def recall(sample: Sample) -> Callable[..., float]:
    """Mean recall@10 of a search of the sample's queries."""

    def measure(collection: Collection, **how: Any) -> float:
        hits = collection.search(sample.queries, k=10, **how)
        found = zip(hits.ids.tolist(), sample.truth.tolist(), strict=True)
        return float(np.mean([len(set(row) & set(right)) / 10 for row, right in found]))

    return measure


@pytest.fixture
def events() -> Callable[[str], list[dict[str, Any]]]:
    """The current journal of a change on disk."""
    return lambda change: journal.find(change).events()


# -- a store with arbitrary states ----------------------------------------------------


@dataclass(frozen=True)
class SetFake(Operation):
    op: ClassVar[str] = "fake.set"

    to: str

    def run(self, at: Execution[FakeStore]) -> None:
        at.store.requests.append(self.to_request())
        if self.op in at.store.failing:
            raise at.store.failing[self.op]
        at.store.quantization = qa.Quantization.parse(self.to)


class FakeStore(Store):
    """Fake store without a database: one vector with a given status, for tests of waiting.

    Attributes:
        looks: statuses that ``info`` returns in order; the last one is repeated.
        requests: requests passed to ``run``.
        failing: ``{op: error}`` that ``run`` raises.
        reverse: of the one step that is planned.
    """

    operations = table(SetFake)
    profile = StoreProfile(
        interface=1,
        name="fake",
        store="conftest:FakeStore",
        address=AddressForm(ports={"http": 1}),
    )

    def __init__(self, address: str = "qdrant+http://fake:1", disabled: Sequence[str] = ()) -> None:
        super().__init__(Address.parse(address), disabled=disabled)
        self.quantization = qa.none()
        self.looks: list[Status] = []
        self.requests: list[Mapping[str, Any]] = []
        self.failing: dict[str, Exception] = {}
        self.reverse: Mapping[str, Any] | None = {"op": "fake.set", "to": "none"}

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> FakeStore:
        return cls(str(address), disabled)

    def close(self) -> None:
        pass

    def server(self) -> Server:
        return Server("fake", "1.0")

    def capabilities(self) -> Capabilities:
        native = Capability(Support.NATIVE)
        features = {"native-quantization": native, "native-rescore": native}
        return Capabilities("fake", "1.0", "server", features).disable(self.disabled)

    def collections(self) -> list[str]:
        return ["articles"]

    def info(self, collection: str) -> CollectionInfo:
        none = self.quantization == qa.none()
        status = Status(State.ABSENT if none else State.ACTIVE)
        if self.looks and not none:
            status = self.looks[0] if len(self.looks) == 1 else self.looks.pop(0)
        vector = VectorInfo(
            "", 4, Metric.DOT, "float32", 3, {}, self.quantization, status, code_bytes=0
        )
        config = {"quantization": str(self.quantization)}
        return CollectionInfo(collection, 3, {"": vector}, self.server(), config)

    def count(self, collection: str, filter: Any = None) -> int:
        return 3

    def read(self, collection: str, *_: Any) -> Iterator[qa.Batch]:
        yield qa.Batch([1, 2, 3], {"": np.eye(3, 4)})

    def fetch(self, collection: str, ids: Sequence[Any], **_: Any) -> qa.Batch:
        rows = np.eye(3, 4, dtype=np.float32)
        return qa.Batch(list(ids), {"": rows[[key - 1 for key in ids]]})

    def search(self, collection: str, queries: Any, search: Any) -> Hits:
        how = SearchProvenance("store", "none", 1, 0, "none", "exact")
        return Hits.from_rows([[(1, 1.0)] for _ in queries], search.k, how)

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return MappedQuantization({}, quantization, Match.of())

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        wanted, now = request.codes, request.inspection.info.vectors[""].quantization
        if wanted is None or now == wanted:
            return ChangePlan()
        made = SetFake(str(wanted)).to_request()
        return ChangePlan((Step(Symbol.BACKGROUND, "set it", "asked for", made, self.reverse),))

    def create(self, *_: Any) -> None:
        raise StoreError("fake")

    drop = write = delete = create  # type: ignore[assignment]


@pytest.fixture
def fake() -> FakeStore:
    return FakeStore()


@pytest.fixture
def fake_at() -> Callable[..., FakeStore]:
    """A fake store at an address of choice."""
    return FakeStore


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between polls."""
    monkeypatch.setattr("qadapt.stores.polling.PAUSE", 0)


@pytest.fixture
def state_texts(state_folder: Path) -> Callable[[], str]:
    """Contents of the state folder, as one text."""

    def texts() -> str:
        files = [path for path in sorted(state_folder.rglob("*")) if path.is_file()]
        return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)

    return texts
