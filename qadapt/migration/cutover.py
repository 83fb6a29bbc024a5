"""Switching an alias to the target after the check has passed."""

from __future__ import annotations

from dataclasses import replace

from qadapt.errors import UnsupportedError
from qadapt.local import bulk_writes
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.report import Cutover
from qadapt.model.cli_commands import cli_command


def refuse_cutover(target: Endpoint) -> None:
    """Refuse a cutover, before anything is copied, where the store has no aliases.

    Raises:
        UnsupportedError
    """
    if not target.store.traits.aliases:
        raise UnsupportedError(
            f"{target.store.name} does not support aliases, so none can be switched to the copy",
            hint="leave out cutover (--cutover)",
        )


def cut_over(target: Endpoint, alias: str) -> Cutover:
    """Switch an alias to the target."""
    previous = target.store.aliases().get(alias)
    target.store.switch_alias(alias, target.name)
    if previous != target.name:
        bulk_writes.alias_moved(target.store, alias, target.name)
    address = str(replace(target.store.address, collection=None))
    arguments = [address, alias, *([previous] if previous else [])]
    rollback = cli_command("alias", *arguments, drop=not previous)
    return Cutover(alias, previous, target.name, rollback)
