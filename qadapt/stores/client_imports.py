"""Client packages, imported once, without the deprecation warnings of what they depend on.

``warnings.catch_warnings`` changes the filters of the whole process and is not safe in threads. So
it is entered only while a client is imported or opened, by one thread at a time, and never for a
request. An "ignore" alone is not enough: authlib adds an "always" for its own warnings as it is
imported, in front of any filter that was set before.
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

_LOCK = threading.RLock()
_OF_PACKAGING = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
# A UserWarning by its category: setuptools of its pkg_resources, protobuf of generated code.
_TEXTS = re.compile(r"pkg_resources is deprecated|Protobuf gencode version")


def load(name: str) -> Any:
    """A module of a client package; only its first import does any work.

    Args:
        name: such as ``weaviate.proto.v1``.

    Raises:
        ImportError
    """
    if sys.modules.get(name) is None:
        with quiet():
            return importlib.import_module(name)
    return importlib.import_module(name)  # waits for another thread that imports it just now


@contextmanager
def quiet(*, every: bool = False) -> Iterator[None]:
    """Drop deprecation warnings of dependencies; others are issued again at the end.

    Args:
        every: drop all warnings, of a call that qadapt reports about in its own words.
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
    """Drop one warning of a client where a call of qadapt raised it; the user's own calls still
    show it.

    Args:
        text: how it begins.
        module: from which it is raised, by the client's ``stacklevel``.
    """
    with _LOCK:
        warnings.filterwarnings("ignore", re.escape(text), UserWarning, re.escape(module))
