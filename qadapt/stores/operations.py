"""The operations that the steps of a plan consist of.

A plan file and a journal hold an operation as JSON, ``{"op": "edge.configure", ...}``: its request.
A store declares the classes of its operations; the base reads a request, refuses one that is
unknown or malformed before anything is touched, and runs it.
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
AGAIN = "make the plan again: `qadapt plan`"


class Keep(str):
    """The type of ``KEEP``."""


# The default of a field that leaves a setting as it is, where None takes it out.
KEEP = Keep("keep")


@dataclass(frozen=True)
class Execution(Generic[S]):
    """What an operation is carried out with.

    Attributes:
        store: the store that declares the operation.
        collection: its name.
        progress: called as the work goes on.
        deadline: when it must be done.
    """

    store: S
    collection: str
    progress: OnProgress
    deadline: Deadline

    @property
    def wait(self) -> Wait:
        """For ``poll``."""
        return Wait(self.progress, self.deadline)


class Operation(abc.ABC):
    """One operation of a store: a frozen dataclass, whose fields are those of its request.

    A field that holds its default is left out of the request.

    Attributes:
        op: its name, such as ``edge.configure``.
        keys: names in the request, of fields that have another one in Python.
    """

    op: ClassVar[str]
    keys: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def run(self, at: Execution[Any]) -> None:
        """Carry it out to its end; twice is the same as once.

        Raises:
            StoreTimeoutError: not done by the deadline.
            StoreError: the engine refused.
        """

    def reverse(self, snapshot: Any) -> Operation | None:
        """The operation that brings back what ``snapshot`` shows; None where there is none."""
        return None

    def to_request(self) -> dict[str, Any]:
        """The request, as JSON."""
        request: dict[str, Any] = {"op": self.op}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not field.default:
                request[self.keys.get(field.name, field.name)] = _plain(value)
        return request

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Self:
        """The operation of a request.

        Raises:
            SpecError: a key is missing, unknown, or of another type.
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
                    raise SpecError(f"a request of {cls.op} has no {key!r}", hint=AGAIN)
                continue
            if not _fits(request[key], hints[field.name]):
                raise SpecError(f"{key!r} of {cls.op} is {request[key]!r:.80}", hint=AGAIN)
            given[field.name] = request[key]
        return cls(**given)


Operations = Mapping[str, type[Operation]]


def table(*operations: type[Operation]) -> Operations:
    """The operations of a store by their names."""
    return {each.op: each for each in operations}


def read(request: Any, known: Operations, store: str) -> Operation:
    """The operation of a request.

    Args:
        store: its name, for the message.

    Raises:
        SpecError: an unknown operation, or a malformed request.
    """
    op = request.get("op") if isinstance(request, Mapping) else None
    if not isinstance(op, str) or not op:
        raise SpecError(f"the request {request!r:.80} names no operation", hint=AGAIN)
    if op not in known:
        raise SpecError.unknown("operation", op, known, where=store)
    return known[op].from_request(request)


@cache
def _hints(cls: type[Operation]) -> dict[str, Any]:
    # By the globals of its code: two plug-ins may have modules of one name.
    annotations = {each.name: each.type for each in dataclasses.fields(cls)}  # type: ignore[arg-type]
    fields = types.SimpleNamespace(__annotations__=annotations)
    return typing.get_type_hints(fields, cls.run.__globals__)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of a type."""
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
