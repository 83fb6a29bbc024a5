"""``python -m qadapt.matrix``: see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qadapt.errors import QadaptError
from qadapt.matrix.cells import cells
from qadapt.matrix.live_runs import forget, load, merge, read_records
from qadapt.matrix.pages import pages
from qadapt.stores import registry


def main(arguments: list[str] | None = None) -> None:
    """Merge records of live runs, or write the pages."""
    parser = argparse.ArgumentParser(prog="python -m qadapt.matrix", description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb")
    reported = "merge records of runs into live_runs.json"
    verbs.add_parser("merge", help=reported).add_argument("records", nargs="+", type=Path)
    gone = verbs.add_parser("forget", help="remove one cell from live_runs.json")
    gone.add_argument(
        "key", nargs=6, metavar=("STORE", "DEPLOYMENT", "VERSION", "KIND", "WIDTH", "INDEX")
    )
    verbs.add_parser("write", help="write the pages").add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    try:
        if given.verb == "merge":
            merged = merge([each for file in given.records for each in read_records(file)])
            sys.stdout.write(f"{len(merged)} cells were run live\n")
        elif given.verb == "forget":
            sys.stdout.write(f"{len(forget(given.key))} cells were run live\n")
        else:
            write(given.folder)
    except (QadaptError, OSError) as error:
        sys.exit(f"error: {error}")


def write(folder: Path) -> None:
    """Write all pages atomically."""
    for name, text in current().items():
        (folder / name).write_text(text, encoding="utf-8")


def current() -> dict[str, str]:
    """Current text of the pages.

    Raises:
        QadaptError: a store cannot be loaded, so the matrix would be incomplete.
    """
    stores, broken = registry.load_all()
    for error in broken.values():
        raise error
    ours = {name: each for name, each in stores.items() if each.store.startswith("qadapt.")}
    tested = [each.tested for each in ours.values() if each.tested]
    return dict(pages(cells(ours, load()), tested))


if __name__ == "__main__":
    main()
