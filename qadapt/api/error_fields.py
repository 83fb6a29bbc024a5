"""Fill the fields of errors that leave the public interface."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from qadapt.errors import InputError, QadaptError

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)

# Methods that call ``check_open`` and ``fill_error`` themselves.
_own: set[Callable[..., Any]] = set()


def fills_own_errors(method: _Method) -> _Method:
    """Exempt a method from ``error_fields``; it calls ``check_open`` and ``fill_error`` itself."""
    _own.add(method)
    return method


def error_fields(cls: _Class) -> _Class:
    """Decorate the public methods of a class, so that their errors carry ``store``, ``collection``
    and ``operation``, and so that they fail after the connection is closed.

    The class has an attribute ``_store`` and may have ``name``, the name of a collection. If public
    methods call each other, ``operation`` is the outermost, ``store`` and ``collection`` those of
    the innermost.
    """
    for name, member in list(vars(cls).items()):
        public = not name.startswith("_") or name == "__getitem__"
        if public and inspect.isfunction(member) and member not in _own:
            setattr(cls, name, _decorated(member))
    return cls


def _decorated(method: _Method) -> _Method:
    if inspect.isgeneratorfunction(method):

        @functools.wraps(method)
        def generator(self: Any, *args: Any, **options: Any) -> Any:
            try:
                check_open(self)
                return (yield from method(self, *args, **options))
            except QadaptError as error:
                fill_error(error, self, method.__name__, args)
                raise

        return generator  # type: ignore[return-value]

    closes = method.__name__ == "close"

    @functools.wraps(method)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        try:
            if not closes:
                check_open(self)
            return method(self, *args, **options)
        except QadaptError as error:
            fill_error(error, self, method.__name__, args)
            raise

    return call  # type: ignore[return-value]


def check_open(owner: Any) -> None:
    """Raise an error if the connection of a database or collection is closed.

    Raises:
        InputError
    """
    store = getattr(owner, "_store", None)
    if store is not None and store.closed:
        raise InputError(
            f"the connection to {store.address} is closed",
            hint="open it again with qa.open(...), and use it inside the `with` block",
        )


def fill_error(error: QadaptError, owner: Any, operation: str, args: tuple[Any, ...] = ()) -> None:
    """Set the store, the collection and the operation of an error."""
    store = getattr(owner, "_store", None)
    collection = getattr(owner, "name", None)
    if collection is None and args and isinstance(args[0], str):
        collection = args[0]  # Database.create("articles", ...), Database.drop("articles")
    error.operation = operation.strip("_")
    error.collection = error.collection or collection
    if store is not None:
        error.store = error.store or store.name
