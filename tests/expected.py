"""Marks for tests that are expected to fail on one engine, strict and with the exception named.

``notimpl``: not implemented by qadapt; ``notyet``: not supported by the engine. A test that passes,
or fails with another exception, is a failure.
"""

from __future__ import annotations

import pytest


def notimpl(reason: str, *, raises: type[Exception]) -> pytest.MarkDecorator:
    """qadapt does not do this yet."""
    return _expected("notimpl", reason, raises)


def notyet(reason: str, *, raises: type[Exception]) -> pytest.MarkDecorator:
    """The engine does not do this, or does it wrong."""
    return _expected("notyet", reason, raises)


def _expected(kind: str, reason: str, raises: type[Exception]) -> pytest.MarkDecorator:
    if not reason.strip():
        raise ValueError(f"{kind} needs a reason")
    return pytest.mark.xfail(reason=f"{kind}: {reason}", raises=raises, strict=True)
