"""Options of ``plan`` and ``apply``, and the plans that they describe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qadapt.cli.arguments import check_accept, confirm_key_variables, open_database, read_guard
from qadapt.errors import InputError
from qadapt.model.option_checks import refuse_pairs

if TYPE_CHECKING:
    from qadapt.api import Plan
    from qadapt.cli.output import Output
    from qadapt.model import Prices

ACCEPTED = "differs"  # default


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Arguments of a planned change, as typed; None where nothing was given.

    Attributes:
        url, collection, quantization: the positional arguments.
        spec: path of a spec file, instead of these.
        price, disk_price: of one GiB of RAM and of disk, per month.
    """

    url: str | None
    collection: str | None
    quantization: str | None
    spec: Path | None
    vector: str | None
    metric: str | None
    datatype: str | None
    accept: str
    strategy: str | None
    guard: str | None
    guard_clients: str | None
    guard_filters: list[str] | None
    guard_by: str | None
    disable: list[str] | None
    allow_key_env: list[str] | None
    price: float | None
    disk_price: float | None

    @property
    def prices(self) -> Prices:
        """Prices of RAM and disk; without prices if none were given."""
        from qadapt.model import Prices

        return Prices(self.price, self.disk_price)

    def refuse_with_spec(self, command: str) -> None:
        """Raise an error for arguments that a spec file contains.

        Raises:
            InputError
        """
        wrong = (
            self.url, self.collection, self.quantization, self.vector, self.metric, self.datatype,
            self.guard, self.guard_clients, self.guard_filters, self.guard_by, self.disable,
            self.strategy,
        )  # fmt: skip
        if any(wrong):
            raise InputError(
                "with -f, address, vectors, quantization and guard are read from the spec file",
                hint=f"qadapt {command} -f {self.spec}",
            )

    def refuse_with_plan(self) -> None:
        """Raise an error for options that a saved plan contains.

        Raises:
            InputError
        """
        accept = self.accept if self.accept != ACCEPTED else None
        if any((self.vector, self.metric, self.datatype, self.strategy, self.disable, accept)):
            raise InputError(
                "--vector, --metric, --datatype, --strategy, --accept and --disable cannot be used "
                "with PLAN.json: the saved plan contains them",
                hint="create another plan with `qadapt plan`, or pass URL COLLECTION QUANTIZATION",
            )


@contextlib.contextmanager
def make_plans(out: Output, asked: PlanOptions, command: str) -> Iterator[list[Plan]]:
    """Plan from arguments, or all plans of a spec file; connections are open within the block.

    Args:
        command: name of the command, for error messages.

    Raises:
        InputError, SpecError: invalid arguments.
    """
    if asked.spec is not None:
        with _plans_of_spec(out, asked, asked.spec, command) as plans:
            yield [plan.priced(asked.prices) for plan in plans]
        return
    refuse_pairs(
        (
            bool(asked.allow_key_env),
            "--allow-key-env",
            "with an address on the command line",
            "its ?key_env=NAME is always used",
        )
    )
    allowed = check_accept(asked.accept)
    url, collection = _place(asked, command)
    from qadapt.model import Metric, Quantization

    if asked.quantization is not None:  # before the connection is opened
        Quantization.parse(asked.quantization)
    measure = None if asked.metric is None else Metric.of(asked.metric)
    bar = read_guard(asked.guard, asked.guard_clients, asked.guard_filters, asked.guard_by)
    prices = asked.prices
    with open_database(url, asked.disable) as db:
        made = db[collection].plan(
            asked.quantization,
            vector=asked.vector,
            metric=measure,
            datatype=cast("Any", asked.datatype),
            accept=allowed,
            guard=bar,
            strategy=cast("Any", asked.strategy),
            prices=prices,
        )
        yield [made]


@contextlib.contextmanager
def _plans_of_spec(
    out: Output, asked: PlanOptions, spec: Path, command: str
) -> Iterator[list[Plan]]:
    import qadapt as qa

    asked.refuse_with_spec(command)
    allowed = check_accept(asked.accept)
    read = qa.load_spec(spec)
    addresses = [each.store for each in read.stores]
    variables = confirm_key_variables(out, spec, addresses, asked.allow_key_env)
    with qa.plan_spec(read, accept=allowed, allow_key_env=variables) as plans:
        yield plans


def _place(asked: PlanOptions, command: str) -> tuple[str, str]:
    """Address and collection.

    Raises:
        InputError: one of them, or what changes, is missing.
    """
    changed = asked.quantization or asked.metric or asked.datatype
    if asked.url is not None and asked.collection is not None and changed:
        return asked.url, asked.collection
    given = {"URL": asked.url, "COLLECTION": asked.collection, "QUANTIZATION": changed}
    missing = [word for word, value in given.items() if not value]
    raise InputError(
        f"{' and '.join(missing)} missing",
        hint=f"qadapt {command} URL COLLECTION QUANTIZATION, or qadapt {command} -f SPEC.yaml",
    )
