"""Errors of a client or a file, turned into those of qadapt by a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from qadapt.errors import QadaptError


@dataclass(frozen=True)
class ErrorRule:
    """One line of the table.

    Attributes:
        when: the client's exception.
        target_vector: the error of qadapt.
        text: a part of the exception's message, in lower case; ``""`` for any message.
        hint: what to do next.
    """

    when: type[Exception]
    target_vector: type[QadaptError]
    text: str = ""
    hint: str = ""


@contextmanager
def translated(rules: Sequence[ErrorRule], doing: str) -> Iterator[None]:
    """Raise the error of the first rule that fits an exception; errors of qadapt pass.

    Args:
        doing: what was done, such as ``"write to 'articles'"``.
    """
    try:
        yield
    except QadaptError:
        raise
    except Exception as error:
        for rule in rules:
            if isinstance(error, rule.when) and rule.text in str(error).lower():
                raise rule.target_vector(
                    f"could not {doing}: {error}", hint=rule.hint or None
                ) from error
        raise
