"""Records of conformance runs on live engines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qadapt.errors import SpecError
from qadapt.model.serializable import Serializable

FILE = Path(__file__).with_name("live_runs.json")


@dataclass(frozen=True)
class LiveRun(Serializable):
    """Record of one setting on one live engine: applied, read back, measured.

    Attributes:
        store, version, deployment: the engine, as it reported itself.
        kind, width: the requested kind and width; ``""`` if the kind has no width.
        index: native name of the searched index.
        codes: the configuration that was read back, in common terms.
        differences: between the requested and the native configuration.
        state: of the vector, by evidence.
        evidence: names of the signals.
        code_bytes, float_bytes: size of codes and original vectors of the collection.
        data: source of the vectors; rows, dim, queries, k: size of the test.
        without: mean recall@k without rescoring.
        without_by: ``off``; or ``x1`` for a store that always rescores, with k candidates only.
        lifted: mean recall@k with ``oversampling`` x k rescored candidates.
        rescorer: ``store`` or ``qadapt``.
        day: date of the run, UTC.
        ground_truth: vectors for the exact scores.
    """

    store: str
    version: str
    deployment: str
    kind: str
    width: str
    index: str
    codes: str
    differences: tuple[str, ...]
    state: str
    evidence: tuple[str, ...]
    code_bytes: int
    float_bytes: int
    data: str
    rows: int
    dim: int
    queries: int
    k: int
    without: float
    without_by: str
    lifted: float
    oversampling: float
    rescorer: str
    day: str
    ground_truth: str = "original vectors (float32)"

    @property
    def key(self) -> tuple[str, ...]:
        """Key of its cell."""
        return (self.store, self.deployment, self.version, self.kind, self.width, self.index)

    def problem(self) -> str | None:
        """Why the record proves nothing; None if the setting was verified active."""
        if self.state != "active":
            return f"the state was {self.state}"
        if not self.evidence:
            return "no signals were observed"
        if not self.code_bytes:
            return "no codes were observed"
        if not 0 < self.without < 1:
            return f"without rescoring the recall was {self.without:g}: codes may not be in use"
        if not self.without < self.lifted <= 1:
            return f"rescoring did not improve recall: {self.without:g} to {self.lifted:g}"
        return None


def load(file: Path = FILE) -> list[LiveRun]:
    """Read the records of a file, sorted by cell.

    Raises:
        SpecError: not a file of records, or a record that proves nothing.
    """
    if not file.exists():
        return []
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SpecError(
            f"{file} is not valid JSON: {error}", hint="restore the file from the repository"
        ) from error
    return _checked((LiveRun.from_dict(entry) for entry in entries), str(file))


def read_records(file: Path) -> list[LiveRun]:
    """Read the records of a run, one per line.

    Raises:
        SpecError: not a record, or one that proves nothing.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    return _checked((LiveRun.from_json(line) for line in lines if line.strip()), str(file))


def append(record: LiveRun, file: Path) -> None:
    """Append a record of a run; several processes may do so at the same time.

    Raises:
        SpecError: it proves nothing.
    """
    _checked([record], "this run")
    with file.open("a", encoding="utf-8") as out:
        out.write(record.to_json(indent=None) + "\n")


def merge(records: Sequence[LiveRun], file: Path = FILE) -> list[LiveRun]:
    """Merge records into a file; a record replaces an older one of the same cell."""
    kept = {each.key: each for each in load(file)}
    kept.update({each.key: each for each in records})
    return _write([kept[key] for key in sorted(kept)], file)


def forget(key: Sequence[str], file: Path = FILE) -> list[LiveRun]:
    """Remove a cell, such as one with a wrong index name.

    Raises:
        SpecError: the cell does not exist.
    """
    there = load(file)
    left = [each for each in there if each.key != tuple(key)]
    if len(left) == len(there):
        raise SpecError(
            f"{' '.join(key)} is not in {file.name}",
            hint="name a cell of the file",
        )
    return _write(left, file)


def _write(records: list[LiveRun], file: Path) -> list[LiveRun]:
    text = json.dumps([each.to_dict() for each in records], indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    return records


def _checked(records: Iterable[LiveRun], where: str) -> list[LiveRun]:
    result = sorted(records, key=lambda each: each.key)
    for each in result:
        problem = each.problem()
        if problem is not None:
            raise SpecError(
                f"{where}: {' '.join(each.key)} was not verified active: {problem}",
                hint="run the cell again",
            )
    return result
