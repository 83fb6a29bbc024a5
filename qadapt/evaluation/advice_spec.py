"""Write advice as a spec file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.evaluation.documents import Option, Target
from qadapt.evaluation.options import EvaluationOptions
from qadapt.model.filter_documents import saved_filter
from qadapt.stores.base import Store


def guard_of(target: Target, options: EvaluationOptions) -> dict[str, Any]:
    """The guard of a spec file: the target recall, and the rows that it applies to.

    Raises:
        SpecError: a filter that cannot be saved.
    """
    # A spec cannot hold arrays or texts; the guard then draws vectors of the collection.
    queries = options.queries
    named = isinstance(queries, str) and queries.endswith(".npy")
    asked = queries if named or (isinstance(queries, int) and queries > 0) else 200
    guard: dict[str, Any] = {f"recall@{target.k}": target.recall, "queries": asked}
    if isinstance(options.filter, (list, tuple)):
        guard["filter"] = [saved_filter(each) for each in options.filter]
    elif options.filter is not None:
        guard["filter"] = saved_filter(options.filter)
    if options.by is not None:
        guard.update(by=options.by, by_limit=options.by_limit)
    return guard


def spec_of(
    store: Store,
    collection: str,
    name: str,
    option: Option,
    target: Target,
    guard: Mapping[str, Any],
) -> str:
    """A spec file for ``qadapt plan -f``: the setting, and a guard with the target recall.

    A setting with rescoring was measured with its search parameters, so the guard judges clients
    that send them.
    """
    import yaml

    chosen = option.quantization
    wanted: dict[str, Any] = {
        "quantization": str(chosen.replace(rescore=None, codes=None, originals=None))
    }
    if option.rescore is not None:
        key, _, value = option.rescore.option.partition("=")
        wanted[key] = value if value == "off" else yaml.safe_load(value)
    for place in ("codes", "originals"):
        if getattr(chosen, place) is not None:
            wanted[place] = getattr(chosen, place)
    reported = dict(guard)
    note = ""
    if option.rescore is not None:  # the recall of clients that send these parameters
        reported["clients"] = "configured"
        note = "# clients must send search parameters: see `qadapt client-params`\n"
    vectors = {"vectors": {name: wanted}} if name else wanted
    document = {
        "store": store.address.spec_text,
        "collections": {collection: {**vectors, "guard": reported}},
    }
    head = f"# {option.setting}: recall@{target.k} {option.recall.value:.4f} ({option.source})\n"
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return head + note + text
