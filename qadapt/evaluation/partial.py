"""Interrupted calls: the document of what was measured, and results that a later call reuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qadapt
from qadapt.durable import private_folder
from qadapt.errors import SpecError, StorageError
from qadapt.evaluation.cache_keys import cache_key, change_count
from qadapt.evaluation.results import Result
from qadapt.local.cache import cache_dir

if TYPE_CHECKING:
    from qadapt.evaluation.ground_truth import Queries
    from qadapt.evaluation.options import EvaluationOptions
    from qadapt.model import CollectionInfo
    from qadapt.stores.base import Store

FORMAT = "qadapt.results/1"
INTERRUPTED = "interrupted: {} of {} settings were {}; --resume (resume=True) continues"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C after something was measured.

    Attributes:
        document: the ``EvaluationDocument`` of what was measured so far; its ``partial`` is true.
    """

    def __init__(self, document: Any) -> None:
        super().__init__("interrupted")
        self.document = document


class SavedResults:
    """The results of one call on disk, one line for each setting, written after its measurement.

    Args:
        path: the file.
        resume: use the results that the file has; otherwise they are discarded.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        self._known: dict[tuple[str, str], Result] = {}
        if resume:
            self._known = _read(path)
        else:
            path.unlink(missing_ok=True)

    @classmethod
    def of(
        cls,
        store: Store,
        info: CollectionInfo,
        name: str,
        queries: Queries,
        options: EvaluationOptions,
        **about: Any,
    ) -> SavedResults:
        """The results of the same measurements of the same collection.

        Args:
            about: what else the results depend on, JSON values.
        """
        vector = info.vectors[name]
        about |= {
            "version": qadapt.__version__,
            "changes": change_count(store, info.name),
            "live": [str(vector.quantization), str(vector.status.state), dict(vector.index)],
            "options": {word: getattr(options, word) for word in _OPTIONS},
        }
        text = json.dumps(about, sort_keys=True, default=str)
        key = cache_key(store, info.name, name, vector.vector, queries, info.count, text)
        return cls(cache_dir() / "results" / f"{key}.jsonl", resume=options.resume)

    def find(self, setting: str, where: str) -> Result | None:
        """The result of an earlier call; None without one."""
        return self._known.get((setting, where))

    def add(self, result: Result) -> Result:
        """Append a result; returns it.

        Raises:
            StorageError: the file cannot be written.
        """
        line = json.dumps({"format": FORMAT, "result": result.to_dict()})
        try:
            private_folder(self._path.parent)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(file, "a", encoding="utf-8") as opened:
                opened.write(line + "\n")
        except OSError as error:
            raise StorageError.of(
                error,
                f"a result cannot be saved in {self._path.parent}",
                hint="set QADAPT_CACHE_DIR to another folder",
            ) from error
        return result


# The options that results depend on.
_OPTIONS = ("k", "rows", "copy_rows", "sample_rows", "segments", "concurrency", "seconds", "accept",
            "seed")  # fmt: skip


def _read(path: Path) -> dict[tuple[str, str], Result]:
    """The results in a file. A damaged line, such as the last one of a killed process, is
    ignored: its setting is measured again."""
    known: dict[tuple[str, str], Result] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            document = json.loads(line)
            if document["format"] == FORMAT:
                result = Result.from_dict(document["result"])
                known[result.setting, result.where] = result
        except (ValueError, KeyError, TypeError, SpecError):
            continue
    return known
