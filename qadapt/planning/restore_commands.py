"""The commands that restore the former quantization where a change cannot be undone.

A database that cannot remove a quantization in place can still build a copy without it, and switch
an alias to the copy. Readers must use the alias, so undo does not do it.
"""

from __future__ import annotations

from dataclasses import replace

from qadapt.model import Plan
from qadapt.model.cli_commands import cli_command, vector_command
from qadapt.stores.base import Store


def restore_commands(store: Store, plan: Plan) -> str | None:
    """The commands, joined by ``&&``; None if the plan can be undone, or the store has no aliases.

    The first one creates an alias of the collection, the second one copies and switches it.
    """
    if plan.reversible or plan.new_vector or not store.traits.aliases:
        return None
    aliases = store.aliases()
    address = replace(store.address, collection=None)
    former = plan.current.replace(rescore=None)
    alias, create = plan.collection, ""
    if alias not in aliases:
        alias = _free(f"{plan.collection}_alias", {*aliases, *store.collections()})
        create = cli_command("alias", str(address), alias, plan.collection) + " && "
    return create + vector_command("apply", address, alias, plan.vector, former, yes=True)


def _free(name: str, taken: set[str]) -> str:
    """A name that no collection and no alias has."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
