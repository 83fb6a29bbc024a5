"""The next run removes leftovers of a killed import, export, migration or eval."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.local.state import state_dir
from qadapt.migration.idset import PREFIX

pytest.importorskip("qdrant_edge")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX: SIGKILL")

HEAD = """
    import os, signal, sys
    import numpy as np
    import qadapt as qa

    def dies(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    source, target, folder = sys.argv[1:4]
"""


def killed(code: str, *words: str) -> None:
    script = textwrap.dedent(HEAD) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, str, str]:
    """Addresses of a source with rows and of a target, and a folder for files."""
    source, target = f"edge:{tmp_path / 'source'}", f"edge:{tmp_path / 'target'}"
    with qa.open(source) as database:
        made = database.create("docs", dim=8, metric="dot")
        made.write(qa.Batch(range(300), {"": np.random.default_rng(0).random((300, 8))}))
    (tmp_path / "out").mkdir()
    return source, target, str(tmp_path / "out")


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_an_export(words: tuple[str, str, str]) -> None:
    source, _, folder = words
    killed(
        """
        from qadapt.files import arrays
        arrays.Writer.write = dies
        qa.export_file(source + "#docs", folder + "/docs.npy")
        """,
        *words,
    )
    assert len(names(folder)) == 2
    (Path(folder) / ".docs.npy.mine").write_text("x")
    qa.export_file(f"{source}#docs", f"{folder}/docs.npy")
    assert names(folder) == [".docs.npy.mine", "docs.npy", "docs.npy.ids"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_vectors_do_not_appear_before_their_ids(
    words: tuple[str, str, str], overwrite: bool
) -> None:
    """Without ``.ids`` the ids of a ``.npy`` are the numbers of its rows: other rows."""
    source, _, folder = words
    if overwrite:
        for name in ("docs.npy", "docs.npy.ids"):
            (Path(folder) / name).write_text("of an earlier export")
    killed(
        f"""
        from pathlib import Path
        whole, calls = Path.replace, []

        def replace(self, target):
            if calls:
                dies()
            calls.append(target)
            return whole(self, target)

        Path.replace = replace
        qa.export_file(source + "#docs", folder + "/docs.npy", overwrite={overwrite})
        """,
        *words,
    )
    assert [name for name in names(folder) if not name.startswith(".")] == ["docs.npy.ids"]
    qa.export_file(f"{source}#docs", f"{folder}/docs.npy")
    assert names(folder) == ["docs.npy", "docs.npy.ids"]


@pytest.mark.parametrize("moment", ["collections.configure", "shutil.rmtree"])
def test_a_collection_during_creation_or_drop(words: tuple[str, str, str], moment: str) -> None:
    _, target, _ = words
    killed(
        f"""
        from qadapt.stores.qdrant.edge import collections, store
        import shutil
        db = qa.open(target)
        {"" if "configure" in moment else 'db.create("x", dim=4)'}
        {moment} = dies
        {
            'db.create("x", dim=4, quantization="binary")'
            if "configure" in moment
            else 'db.drop("x")'
        }
        """,
        *words,
    )
    left = names(target.removeprefix("edge:"))
    assert [name[:8] for name in left] == [".making-" if "configure" in moment else ".dropped"]
    with qa.open(target) as database:
        database.create("x", dim=4)
    assert names(target.removeprefix("edge:")) == ["x"]


def test_files_that_the_engine_was_writing(words: tuple[str, str, str]) -> None:
    """It replaces its configuration each time that it opens a collection (qdrant-edge-py 0.9.0)."""
    source = words[0]
    docs = Path(source.removeprefix("edge:")) / "docs"
    (segment,) = (docs / "segments").iterdir()
    before = [names(docs), names(segment)]
    for folder in (docs, segment):
        (folder / ".atomicwriteAbCdEf").mkdir()
        (folder / ".atomicwriteAbCdEf" / "tmpfile.tmp").write_text("{}")
    with qa.open(source) as database:
        assert database.collections() == ["docs"]
        assert database["docs"].count() == 300
    assert [names(docs), names(segment)] == before


def test_the_trial_copy_of_a_migration(words: tuple[str, str, str]) -> None:
    source, target, _ = words
    killed(
        """
        from qadapt.migration import trial_copy
        trial_copy.write_bisecting = dies
        qa.migrate(source + "#docs", target + "#docs")
        """,
        *words,
    )
    with qa.open(target) as database:
        assert [name[:13] for name in database.collections()] == ["Qadapt_trial_"]
    assert qa.migrate(f"{source}#docs", f"{target}#docs").state == "done"
    with qa.open(target) as database:
        assert database.collections() == ["docs"]
    assert not list((state_dir() / "copies").glob("*.json"))


def test_the_copies_of_an_eval(words: tuple[str, str, str]) -> None:
    source, _, _ = words
    killed(
        """
        from qadapt.evaluation import candidates
        candidates.CandidateRunner._measured = dies
        with qa.open(source) as db:
            db["docs"].evaluate("binary", queries=20, concurrency=())
        """,
        *words,
    )
    with qa.open(source) as database:
        assert len(database.collections()) == 2
        found = database["docs"].evaluate("none", queries=20, concurrency=())
        assert any("removed copies of an interrupted call" in note for note in found.notes)
        assert database.collections() == ["docs"]
    assert not list((state_dir() / "copies").glob("*.json"))


def test_ids_on_disk(words: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = words[2]
    monkeypatch.setenv("TMPDIR", folder)
    killed(
        """
        from qadapt.migration import idset
        idset._BLOCK = 1
        idset.IdSet.duplicates = idset.IdSet.difference = dies
        qa.migrate(source + "#docs", target + "#docs")
        """,
        *words,
    )
    assert [name[: len(PREFIX)] for name in names(folder)] == [PREFIX]
    script = textwrap.dedent(HEAD) + 'qa.migrate(source + "#docs", target + "#docs")'
    subprocess.run([sys.executable, "-c", script, *words], check=True)
    assert names(folder) == []
    assert tempfile.gettempdir() != folder
