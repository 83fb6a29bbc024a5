"""What a plan says about the cut-over: the source's aliases, and what clients change."""

from __future__ import annotations

from dataclasses import replace

from qadapt.migration.endpoint import Endpoint
from qadapt.model.cli_commands import cli_command


def aliases_of(source: Endpoint) -> tuple[str, ...]:
    """The aliases of the source's collection, sorted."""
    aliases = source.store.aliases()
    collection = aliases.get(source.name, source.name)
    return tuple(sorted(alias for alias, of in aliases.items() if of == collection))


def cutover_text(source: Endpoint, target: Endpoint, aliases: tuple[str, ...]) -> str:
    """What cut-over means for clients of the source.

    Args:
        aliases: of the source.
    """
    address = str(replace(target.store.address, collection=None))
    if not target.store.traits.aliases:
        return (
            f"{target.store.name} has no aliases: clients open {target.name!r} at {address}; the "
            "source remains until you drop it"
        )
    alias = aliases[0] if aliases else "ALIAS"
    moved = ", ".join(
        cli_command("alias", address, each, target.name) for each in aliases or (alias,)
    )
    if str(source.store.address.identity) == str(target.store.address.identity):
        if aliases:
            return f"clients that use an alias follow it after --cutover {alias}, or {moved}"
        return (
            "the source has no alias: clients that use its name change to the new name, or to an "
            f"alias that --cutover ALIAS creates, as {moved} does"
        )
    return (
        f"clients change their address to {address}; --cutover {alias} creates the alias there "
        f"after the check, as {moved} does"
    )
