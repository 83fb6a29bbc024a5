"""Operations of a plan that qadapt executes; all others are those of the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from qadapt.errors import QadaptError, SpecError
from qadapt.local import client_codes
from qadapt.local.settings import read_settings, write_settings
from qadapt.local.state import VectorSettings
from qadapt.model import Quantization, Rescore, Step, Symbol
from qadapt.stores import operations
from qadapt.stores.base import OnProgress, Store
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Deadline


@dataclass(frozen=True)
class BuildCodes(Operation):
    """Build client-side codes of a vector."""

    op: ClassVar[str] = "qadapt.build_codes"

    vector: str
    quantization: str

    def __post_init__(self) -> None:
        Quantization.parse(self.quantization)

    def run(self, at: Execution[Store]) -> None:
        wanted = Quantization.parse(self.quantization)
        client_codes.build_and_register(at.store, at.collection, self.vector, wanted, at.progress)


@dataclass(frozen=True)
class DropCodes(Operation):
    """Delete client-side codes of a vector."""

    op: ClassVar[str] = "qadapt.drop_codes"

    vector: str

    def run(self, at: Execution[Store]) -> None:
        # The setting is deleted first: a crash in between leaves an unused folder.
        settings = read_settings(at.store, at.collection)
        changed = settings.of(self.vector).replace(client=None)
        write_settings(at.store, at.collection, settings.with_vector(self.vector, changed))
        client_codes.remove(at.store, at.collection, self.vector)


@dataclass(frozen=True)
class Remember(Operation):
    """Set the default search parameters of a vector; None resets them."""

    op: ClassVar[str] = "qadapt.remember"

    vector: str
    rescore: str | None

    def __post_init__(self) -> None:
        Rescore.of(self.rescore)

    def run(self, at: Execution[Store]) -> None:
        settings = read_settings(at.store, at.collection)
        changed = settings.of(self.vector).replace(rescore=Rescore.of(self.rescore))
        write_settings(at.store, at.collection, settings.with_vector(self.vector, changed))


@dataclass(frozen=True)
class RememberDims(Operation):
    """Record the dimensions of the model, of which the collection holds the first.

    Attributes:
        full_dim: None if the collection holds all.
        full_vector: the vector of the same rows with all dimensions; None if there is none.
    """

    op: ClassVar[str] = "qadapt.remember_dims"

    vector: str
    full_dim: int | None
    full_vector: str | None = None

    def run(self, at: Execution[Store]) -> None:
        settings = read_settings(at.store, at.collection)
        changed = settings.of(self.vector).replace(
            full_dim=self.full_dim, full_vector=self.full_vector
        )
        write_settings(at.store, at.collection, settings.with_vector(self.vector, changed))


@dataclass(frozen=True)
class Forget(Operation):
    """Delete the settings and codes of a vector that does not exist."""

    op: ClassVar[str] = "qadapt.forget"

    vector: str

    def run(self, at: Execution[Store]) -> None:
        settings = read_settings(at.store, at.collection)
        changed = settings.with_vector(self.vector, VectorSettings())
        write_settings(at.store, at.collection, changed)
        client_codes.remove(at.store, at.collection, self.vector)

    def reverse(self, snapshot: Any) -> Forget:
        """Return the same operation: the settings had no effect, so nothing is restored."""
        return self


CLIENT_OPERATIONS = operations.table(BuildCodes, DropCodes, Remember, RememberDims, Forget)


def is_client_operation(request: Mapping[str, Any]) -> bool:
    """Whether qadapt executes a request, without a change in the store."""
    return str(request.get("op")) in CLIENT_OPERATIONS


def read_operation(store: Store, request: Mapping[str, Any]) -> Operation:
    """Operation of a request, of qadapt or the store.

    Raises:
        SpecError: unknown or malformed.
    """
    if is_client_operation(request):
        return operations.read(request, CLIENT_OPERATIONS, "qadapt")
    return store.operation(request)


def check(store: Store, steps: Iterable[Step]) -> None:
    """Reject steps with an unknown or malformed request before any step is run.

    Raises:
        SpecError
    """
    for step in steps:
        if step.symbol is Symbol.NOTHING:
            continue
        for request in (step.request, step.reverse):
            if request is not None:
                read_operation(store, request)


def run(
    store: Store,
    collection: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    timeout: float,
) -> None:
    """Execute a request of qadapt or the store.

    Raises:
        SpecError: a field is missing or has another type, as in an edited plan file.
    """
    try:
        if is_client_operation(request):
            wanted = read_operation(store, request)
            wanted.run(Execution(store, collection, progress, Deadline(timeout)))
        else:
            store.run(collection, request, progress, timeout)
    except QadaptError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        # Requests planned by qadapt are well-formed; those of a file may not be.
        raise SpecError(
            f"{store.name} cannot execute the request {dict(request)!r:.300}: "
            f"{type(error).__name__}: {error}",
            hint="create a new plan: `qadapt plan`; "
            "if the file was not edited, this is a bug in qadapt",
        ) from error
