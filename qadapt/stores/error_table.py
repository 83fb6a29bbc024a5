"""Tables that translate errors of a client, a server or a file to those of qadapt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from qadapt.errors import QadaptError, StoreError

SERVER_LOG = "the log of the server has more about this error"


class TooLargeError(StoreError):
    """The request was larger than the server accepts; a smaller one may succeed."""


@dataclass(frozen=True)
class ErrorRule:
    """One rule of the table for exceptions.

    Attributes:
        when: the client's exception.
        raised: the error class of qadapt.
        text: a part of the exception's message, in lower case; ``""`` for any message.
        hint: what to do next.
    """

    when: type[Exception]
    raised: type[QadaptError]
    text: str = ""
    hint: str = ""


@contextmanager
def translated(rules: Sequence[ErrorRule], doing: str) -> Iterator[None]:
    """Raise the error of the first rule that matches an exception; errors of qadapt pass.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    try:
        yield
    except QadaptError:
        raise
    except Exception as error:
        for rule in rules:
            if isinstance(error, rule.when) and rule.text in str(error).lower():
                raise rule.raised(f"could not {doing}: {error}", hint=rule.hint or None) from error
        raise


@dataclass(frozen=True)
class AnswerRule:
    """One rule of the table for server responses; matches if all its conditions do.

    Attributes:
        raised: the error class of qadapt.
        hint: what to do next; ``""`` for none.
        status: HTTP status codes or gRPC status names; empty for any.
        least: the smallest HTTP status code.
        words: regular expressions for the message in lower case, of which one must match; empty for
            any message.
        names: class names of the client's exception, of which one must match; empty for any.
    """

    raised: type[QadaptError]
    hint: str = ""
    status: tuple[int | str, ...] = ()
    least: int = 0
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def fits(self, status: int | str, words: str, name: str) -> bool:
        """Whether the rule matches a response; ``words`` are in lower case."""
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
    """The error of the first rule that matches; None if none does.

    Args:
        message: the message of the error.
        status: the HTTP status code, or the name of a gRPC status.
        words: the server's message.
        name: the class name of the client's exception.
    """
    low = words.lower()
    for rule in rules:
        if rule.fits(status, low, name):
            return rule.raised(message, hint=rule.hint or None)
    return None
