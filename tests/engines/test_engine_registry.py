"""The choice of an engine, what is used without one, and threads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qadapt import jit, threads
from qadapt.engines import engine_names, get_engine, installed_engines, registry, use_threads
from qadapt.errors import MissingExtraError, SpecError, UnsupportedError

ROOT = Path(__file__).parents[2]


def in_new_process(code: str, **environment: str) -> str:
    """Standard output of a Python program."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_process_starts_another_engine_when_its_scans_add_up() -> None:
    code = """
        from qadapt.engines import get_engine, registry
        print([get_engine(work=registry.STARTING_PAYS * 2 // 5).name for _ in range(3)])
        print(get_engine(work=1).name)
    """
    several, one = in_new_process(code).splitlines()
    fastest = installed_engines()[0]
    assert several == str(["numpy", "numpy", fastest])
    assert one == fastest


def test_the_fastest_installed_engine_scans_large_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "numpy" in installed_engines()
    assert get_engine(work=10**9).name == installed_engines()[0]
    monkeypatch.setattr(registry, "_missing", lambda name: None if name == "numpy" else "gone")
    assert get_engine(work=10**9).name == "numpy"


def test_an_unknown_engine_lists_the_engines() -> None:
    with pytest.raises(SpecError, match=r"unknown engine 'numpi'\s+did you mean 'numpy'"):
        get_engine("numpi")
    assert engine_names() == ["faiss", "numba", "numpy", "usearch"]


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_installed", lambda name: name != "faiss")
    with pytest.raises(MissingExtraError, match="faiss-cpu") as caught:
        get_engine("faiss")
    assert "[faiss]" in str(caught.value.hint)


def test_an_engine_without_planes_is_refused_for_queries_of_several_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Plain:
        name, version = "plain", "1"

        def hamming_topk(self, *_: object) -> None: ...

    with pytest.raises(UnsupportedError, match="'plain' compares sign bits with queries of 1 bit"):
        registry.with_planes(Plain())  # type: ignore[arg-type]


def test_numba_disable_jit_means_no_numba() -> None:
    code = """
        from qadapt.engines import get_engine, installed_engines
        from qadapt.errors import QadaptError
        try:
            get_engine("numba")
        except QadaptError as error:
            print(error.message)
        print("numba" in installed_engines())
    """
    found = in_new_process(code, NUMBA_DISABLE_JIT="1").splitlines()
    assert found[-1] == "False"
    assert "NUMBA_DISABLE_JIT is set" in found[0] or "not installed" in found[0]


def test_creating_an_index_imports_no_engine(tmp_path: Path) -> None:
    code = """
        import sys
        from qadapt.code_index import CodeIndex
        CodeIndex.create(sys.argv[1] if len(sys.argv) > 1 else "{}", 64).close()
        print([name for name in ("numba", "faiss", "usearch") if name in sys.modules])
    """
    assert in_new_process(code.replace("{}", str(tmp_path / "i"))) == "[]"


def test_threads_are_one_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    assert threads.scan_threads() == 1
    monkeypatch.setenv(threads.VARIABLE, "3")
    assert threads.scan_threads() == 3
    use_threads(0)
    try:
        assert threads.scan_threads() == threads.cores() >= 1
    finally:
        use_threads(None)
    monkeypatch.setenv(threads.VARIABLE, "many")
    with pytest.raises(SpecError, match="QADAPT_THREADS must be an integer"):
        threads.scan_threads()
    with pytest.raises(SpecError, match="threads must be an integer of at least 0; got -1"):
        use_threads(-1)


def test_every_extra_is_imported_by_the_package() -> None:
    """An extra that installs packages which nothing imports promises what it does not do."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {"faiss_cpu": "faiss", "qdrant_edge_py": "qdrant_edge",
               "weaviate_client": "weaviate", "pysqlite3_binary": "pysqlite3",
               "llama_index_core": "llama_index", "haystack_ai": "haystack",
               "opensearch_py": "opensearchpy", "opentelemetry_api": "opentelemetry"}  # fmt: skip
    for_tests = ("all", "dev", "engines", "integrations")
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "qadapt").rglob("*.py"))
    unused = []
    for extra, packages in project["optional-dependencies"].items():
        for package in packages if extra not in for_tests else ():
            name = re.split(r"[^\w.-]", package)[0].replace("-", "_")
            module = modules.get(name, name)
            # An import statement, or the name of a module for importlib.
            pattern = rf"^\s*(import|from) {module}\b|\"{module}\""
            if name != "qadapt_vectors" and not re.search(pattern, source, re.MULTILINE):
                unused.append(f"{extra}: {package}")
    assert unused == []


# -- numba -----------------------------------------------------------------------------------


needs_numba = pytest.mark.skipif(
    jit.unavailable_reason() is not None, reason=f"optional engine: {jit.unavailable_reason()}"
)
SCAN = """
    import sys
    import numpy as np
    from qadapt import jit
    from qadapt.engines import get_engine
    jit.announce_with(lambda name, done: print(name, done))
    words = np.arange(100, dtype=np.uint64)[:, None]
    print(get_engine("numba").hamming_topk(words[7:8], words, 2)[0].tolist())
"""


@pytest.mark.long
@needs_numba
@pytest.mark.timeout(600)  # a few seconds of CPU time, which a loaded machine stretches
def test_a_kernel_is_compiled_once_and_kept_in_the_cache_folder(tmp_path: Path) -> None:
    """As in an installation whose folder is read-only."""
    code = "from qadapt import jit; jit._writable = lambda folder: False\n" + textwrap.dedent(SCAN)
    environment = {"QADAPT_CACHE_DIR": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    first = in_new_process(code, **environment).splitlines()
    assert first == ["scan of bits False", "scan of bits True", "[[7, 3]]"]
    assert list((tmp_path / "numba").rglob("*.nbi"))
    if os.name == "posix":
        assert (tmp_path / "numba").stat().st_mode & 0o077 == 0
    assert in_new_process(code, **environment).splitlines() == ["[[7, 3]]"]
