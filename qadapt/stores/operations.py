"""The operations in the steps of a plan.

A plan file and a journal store an operation as a JSON request, ``{"op": "edge.configure", ...}``. A
store declares the classes of its operations; the base class parses a request, rejects unknown and
malformed requests before anything is changed, and runs it.
"""

from __future__ import annotations

import abc
import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from qadapt.errors import SpecError
from qadapt.stores.polling import Deadline, Wait
from qadapt.stores.store_types import OnProgress

if TYPE_CHECKING:
    from typing_extensions import Self

S = TypeVar("S")
AGAIN = "create a new plan with `qadapt plan`"


class Keep(str):
    """The type of ``KEEP``."""


# The default of a field that keeps a setting, whereas None removes it.
KEEP = Keep("keep")


@dataclass(frozen=True)
class Execution(Generic[S]):
    """The context in which an operation runs.

    Attributes:
        store: the store that declares the operation.
        collection: the name of the collection.
        progress: called during the work.
        deadline: the time limit.
    """

    store: S
    collection: str
    progress: OnProgress
    deadline: Deadline

    @property
    def wait(self) -> Wait:
        """The arguments of ``poll``."""
        return Wait(self.progress, self.deadline)


class Operation(abc.ABC):
    """One operation of a store: a frozen dataclass with the fields of its request.

    Fields with their default value are omitted from the request.

    Attributes:
        op: its name, such as ``edge.configure``.
        keys: names in the request for fields that have another name in Python.
    """

    op: ClassVar[str]
    keys: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def run(self, at: Execution[Any]) -> None:
        """Run the operation to its end; idempotent.

        Raises:
            StoreTimeoutError: not finished by the deadline.
            StoreError: the engine rejected the operation.
        """

    def reverse(self, snapshot: Any) -> Operation | None:
        """The operation that restores the state of ``snapshot``; None if there is none."""
        return None

    def to_request(self) -> dict[str, Any]:
        """The request as JSON."""
        request: dict[str, Any] = {"op": self.op}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not field.default:
                request[self.keys.get(field.name, field.name)] = _plain(value)
        return request

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Self:
        """Parse a request.

        Raises:
            SpecError: a field is missing, unknown, or has the wrong type.
        """
        fields = {
            cls.keys.get(each.name, each.name): each
            for each in dataclasses.fields(cls)  # type: ignore[arg-type]
        }
        for key in request:
            if key != "op" and key not in fields:
                raise SpecError.unknown("key", str(key), sorted(fields), where=cls.op)
        hints = _hints(cls)
        given = {}
        for key, field in fields.items():
            if key not in request:
                if field.default is dataclasses.MISSING:
                    raise SpecError(f"a request of {cls.op} has no field {key!r}", hint=AGAIN)
                continue
            if not _fits(request[key], hints[field.name]):
                raise SpecError(
                    f"the field {key!r} of {cls.op} has an invalid value: {request[key]!r:.80}",
                    hint=AGAIN,
                )
            given[field.name] = request[key]
        return cls(**given)


Operations = Mapping[str, type[Operation]]


def table(*operations: type[Operation]) -> Operations:
    """The operations of a store by name."""
    return {each.op: each for each in operations}


def read(request: Any, known: Operations, store: str) -> Operation:
    """Parse a request into the matching operation.

    Args:
        store: the store's name, for the message.

    Raises:
        SpecError: the operation is unknown or malformed.
    """
    op = request.get("op") if isinstance(request, Mapping) else None
    if not isinstance(op, str) or not op:
        raise SpecError(f"the request {request!r:.80} does not name an operation", hint=AGAIN)
    if op not in known:
        raise SpecError.unknown("operation", op, known, where=store)
    return known[op].from_request(request)


@cache
def _hints(cls: type[Operation]) -> dict[str, Any]:
    # By the globals of its code: two plug-ins may have modules with the same name.
    annotations = {each.name: each.type for each in dataclasses.fields(cls)}  # type: ignore[arg-type]
    fields = types.SimpleNamespace(__annotations__=annotations)
    return typing.get_type_hints(fields, cls.run.__globals__)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has a type."""
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in typing.get_args(hint))
    if hint is type(None):
        return value is None
    if origin is not None and issubclass(origin, Mapping):
        _, inner = typing.get_args(hint)
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and _fits(each, inner) for key, each in value.items()
        )
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value
