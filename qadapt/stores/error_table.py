"""Errors of a client, a server or a file, turned into those of qadapt by a table."""

from __future__ import annotations

import re
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


@dataclass(frozen=True)
class AnswerRule:
    """One line of the table of a server's answers; fits when all that it states does.

    Attributes:
        target_vector: the error of qadapt.
        hint: what to do next; ``""`` for none.
        status: statuses of HTTP or names of statuses of gRPC, one of which it is; empty for any.
        least: the status of HTTP is not below.
        words: regular expressions, one of which the message contains, in lower case; empty for
            any message.
        names: one of which the class of the client's exception has; empty for any.
    """

    target_vector: type[QadaptError]
    hint: str = ""
    status: tuple[int | str, ...] = ()
    least: int = 0
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def fits(self, status: int | str, words: str, name: str) -> bool:
        """Whether it fits an answer; ``words`` are in lower case."""
        if self.status and status not in self.status:
            return False
        if self.least and not (isinstance(status, int) and status >= self.least):
            return False
        if self.names and name not in self.names:
            return False
        return not self.words or any(re.search(each, words) for each in self.words)


def by_table(
    rules: Sequence[AnswerRule],
    message: str,
    *,
    status: int | str = 0,
    words: str = "",
    name: str = "",
) -> QadaptError | None:
    """The error of the first rule that fits; None where none does.

    Args:
        message: of the error.
        status: of HTTP, or the name of a gRPC status.
        words: what the server says.
        name: the class of the client's exception.
    """
    low = words.lower()
    for rule in rules:
        if rule.fits(status, low, name):
            return rule.target_vector(message, hint=rule.hint or None)
    return None
