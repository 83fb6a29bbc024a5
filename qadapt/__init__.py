"""qadapt: vector quantization for any vector database, verified on the engine.

    import qadapt as qa

    db = qa.open("edge:./data")
    plan = db["articles"].plan(qa.binary(rescore=4, codes="ram", originals="disk"))
    print(plan)
    change = plan.apply(yes=True, guard=qa.Guard(recall=0.95, clients="configured"))
    change.undo()

Database clients, pydantic and other optional packages are imported when they are used.
"""

from qadapt.version import __version__

# Known to type checkers. `typing` is not imported, because Ctrl-C is not handled before the command
# line itself runs.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from qadapt.api import (
        AsyncCollection,
        AsyncDatabase,
        Change,
        Collection,
        Database,
        Plan,
        abandon,
        aopen,
        apply_plans,
        history,
        load_plan,
        open,
        plan_spec,
        undo,
        wrap,
    )
    from qadapt.api.doctor import doctor
    from qadapt.api.text_index import Indexed, index, search_text
    from qadapt.code_index import CodeIndex
    from qadapt.codecs import Calibration, quantize
    from qadapt.costing import Prices, cost
    from qadapt.encoder import Encoder
    from qadapt.errors import QadaptError
    from qadapt.evaluation.documents import Target
    from qadapt.evaluation.simulate_arrays import simulate
    from qadapt.files import export_file, import_file
    from qadapt.integrations.store_arguments import StoreArguments, client_params
    from qadapt.migration import Migration, MigrationPlan, check, migrate, plan_migration
    from qadapt.model import (
        Batch,
        Guard,
        Hits,
        Kind,
        Metric,
        Quantization,
        Rescore,
        State,
        Vector,
        binary,
        float16,
        none,
        product,
        rotational,
        scalar,
    )
    from qadapt.model.spec import load_spec
    from qadapt.reporting.report import report

# Modules of the names that are imported when they are used.
_LAZY = {
    "QadaptError": "qadapt.errors",
    **dict.fromkeys(
        (
            "Batch",
            "Guard",
            "Hits",
            "Kind",
            "Metric",
            "Quantization",
            "Rescore",
            "State",
            "Vector",
            "binary",
            "float16",
            "none",
            "product",
            "rotational",
            "scalar",
        ),
        "qadapt.model",
    ),
    "AsyncCollection": "qadapt.api",
    "AsyncDatabase": "qadapt.api",
    "aopen": "qadapt.api",
    "Change": "qadapt.api",
    "Collection": "qadapt.api",
    "Database": "qadapt.api",
    "Plan": "qadapt.api",
    "abandon": "qadapt.api",
    "history": "qadapt.api",
    "apply_plans": "qadapt.api",
    "load_plan": "qadapt.api",
    "load_spec": "qadapt.model.spec",
    "plan_spec": "qadapt.api",
    "open": "qadapt.api",
    "simulate": "qadapt.evaluation.simulate_arrays",
    "Target": "qadapt.evaluation.documents",
    "undo": "qadapt.api",
    "wrap": "qadapt.api",
    "Calibration": "qadapt.codecs",
    "quantize": "qadapt.codecs",
    "CodeIndex": "qadapt.code_index",
    "export_file": "qadapt.files",
    "import_file": "qadapt.files",
    "Migration": "qadapt.migration",
    "MigrationPlan": "qadapt.migration",
    "check": "qadapt.migration",
    "migrate": "qadapt.migration",
    "plan_migration": "qadapt.migration",
    "Encoder": "qadapt.encoder",
    "Prices": "qadapt.costing",
    "cost": "qadapt.costing",
    "doctor": "qadapt.api.doctor",
    "Indexed": "qadapt.api.text_index",
    "index": "qadapt.api.text_index",
    "search_text": "qadapt.api.text_index",
    "report": "qadapt.reporting",
    "StoreArguments": "qadapt.integrations.store_arguments",
    "client_params": "qadapt.integrations.store_arguments",
}

__all__ = [
    "AsyncCollection",
    "AsyncDatabase",
    "Batch",
    "Calibration",
    "Change",
    "CodeIndex",
    "Collection",
    "Database",
    "Encoder",
    "Guard",
    "Hits",
    "Indexed",
    "Kind",
    "Metric",
    "Migration",
    "MigrationPlan",
    "Plan",
    "Prices",
    "QadaptError",
    "Quantization",
    "Rescore",
    "State",
    "StoreArguments",
    "Target",
    "Vector",
    "__version__",
    "abandon",
    "aopen",
    "apply_plans",
    "binary",
    "check",
    "client_params",
    "cost",
    "doctor",
    "export_file",
    "float16",
    "history",
    "import_file",
    "index",
    "load_plan",
    "load_spec",
    "migrate",
    "none",
    "open",
    "plan_migration",
    "plan_spec",
    "product",
    "quantize",
    "report",
    "rotational",
    "scalar",
    "search_text",
    "simulate",
    "undo",
    "wrap",
]


def __getattr__(name: str) -> "Any":
    import importlib

    if name in _LAZY:
        found = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = found  # later lookups do not call this function
        return found
    if name in ("errors", "model"):  # also available without a separate import
        return importlib.import_module(f"qadapt.{name}")
    raise AttributeError(f"module 'qadapt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
