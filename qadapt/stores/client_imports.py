"""Imports of client packages without the deprecation warnings of their dependencies.

``warnings.catch_warnings`` changes the filters of the whole process and is not thread-safe. It is
therefore entered only while a client is imported or opened, by one thread at a time, and never for
a request. An "ignore" filter alone is not sufficient: authlib adds an "always" filter for its own
warnings at import, before any existing filter.
"""

from __future__ import annotations

import importlib
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qadapt.errors import MissingExtraError

_LOCK = threading.RLock()
_OF_PACKAGING = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
# UserWarnings: setuptools about its pkg_resources, protobuf about generated code.
_TEXTS = re.compile(r"pkg_resources is deprecated|Protobuf gencode version")


def load(name: str) -> Any:
    """Import a module of a client package; cached after the first call.

    Args:
        name: such as ``weaviate.proto.v1``.

    Raises:
        ImportError
    """
    found = sys.modules.get(name)
    if found is None:
        with quiet():
            return importlib.import_module(name)
    if not getattr(found.__spec__, "_initializing", False):
        return found
    return importlib.import_module(name)  # waits for another thread that is importing it


def load_client(name: str, distribution: str, extra: str) -> Any:
    """Import a module of the client of a store on first use.

    Args:
        distribution: the name of the package for pip.
        extra: of qadapt, which has the name of the store.

    Raises:
        MissingExtraError
    """
    try:
        return load(name)
    except ImportError as error:
        raise MissingExtraError(distribution, extra, purpose=f"the store {extra!r}") from error


@contextmanager
def quiet(*, every: bool = False) -> Iterator[None]:
    """Suppress deprecation warnings of dependencies and re-issue other warnings at the end.

    Args:
        every: suppress all warnings of a call that qadapt reports itself.
    """
    with _LOCK:
        with warnings.catch_warnings(record=True) as reported:
            warnings.simplefilter("always")
            yield
        for each in reported:
            if not (every or issubclass(each.category, _OF_PACKAGING) or _packaging(each.message)):
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _packaging(message: Warning | str) -> bool:
    return _TEXTS.search(str(message)) is not None


def silence(text: str, module: str) -> None:
    """Suppress one warning of a client in calls from qadapt; the user's own calls still show it.

    Args:
        text: the start of the message.
        module: the module that the client's ``stacklevel`` attributes it to.
    """
    with _LOCK:
        warnings.filterwarnings("ignore", re.escape(text), UserWarning, re.escape(module))
