"""Shell commands in messages, findings and documents."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from qadapt.model.address import Address
from qadapt.model.quantization import Quantization


def cli_command(verb: str, *arguments: str, **options: str | bool | None) -> str:
    """The command ``qadapt VERB ARGUMENTS OPTIONS``, quoted for a POSIX shell.

    Args:
        verb: name of the command.
        arguments: positional arguments. If one starts with a dash, all are preceded by ``--``.
        options: ``disk_price="0.1"`` becomes ``--disk-price 0.1`` and ``drop=True`` becomes
            ``--drop``; empty strings, None and False are left out.
    """
    flags: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif value:
            flags += [f"{flag}={value}"] if value.startswith("-") else [flag, value]
    if any(argument.startswith("-") for argument in arguments):
        return shlex.join(["qadapt", verb, *flags, "--", *arguments])
    return shlex.join(["qadapt", verb, *arguments, *flags])


def vector_command(
    verb: str,
    address: Address,
    collection: str,
    vector: str,
    quantization: Quantization | None = None,
    **options: str | bool | None,
) -> str:
    """The command ``qadapt VERB URL COLLECTION [QUANTIZATION] [--vector NAME]``, keys masked."""
    named = [] if quantization is None else [str(quantization)]
    return cli_command(verb, str(address), collection, *named, vector=vector, **options)


def repeated_command(words: Sequence[str], more: Iterable[str] = ()) -> str:
    """The command with the words that a user typed and more options, quoted for a POSIX shell."""
    at = words.index("--") if "--" in words else len(words)
    return shlex.join(["qadapt", *words[:at], *more, *words[at:]])
