"""Checks of options that belong together."""

from __future__ import annotations

from qadapt.errors import InputError


def refuse_pairs(*pairs: tuple[bool, str, str, str]) -> None:
    """Reject options that would have no effect in combination.

    Args:
        pairs: whether both were given, the option, the other option after "with" or "without", and
            the reason.

    Raises:
        InputError: for the first such pair; the message names both options.
    """
    for wrong, word, other, why in pairs:
        if wrong:
            raise InputError(f"{word} has no effect {other}: {why}", hint="remove one of them")
