"""Write advice as a spec file."""

from __future__ import annotations

from typing import Any

from qadapt.evaluation.documents import Option, Target
from qadapt.stores.base import Store


def spec_of(
    store: Store, collection: str, name: str, option: Option, target: Target, queries: Any
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
    # A spec cannot hold arrays or texts; the guard then draws vectors of the collection.
    named = isinstance(queries, str) and queries.endswith(".npy")
    asked = queries if named or (isinstance(queries, int) and queries > 0) else 200
    reported = {f"recall@{target.k}": target.recall, "queries": asked}
    note = ""
    if option.rescore is not None:  # the recall of clients that send these parameters
        reported["clients"] = "configured"
        note = "# clients must send search parameters: see `qadapt client-params`\n"
    vectors = {"vectors": {name: wanted}} if name else wanted
    document = {
        "store": store.address.identity,
        "collections": {collection: {**vectors, "guard": reported}},
    }
    head = f"# {option.setting}: recall@{target.k} {option.recall.value:.4f} ({option.source})\n"
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return head + note + text
