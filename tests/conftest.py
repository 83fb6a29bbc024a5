"""Fixtures of all tests: live engines (``live.plugin``), real embeddings, a state folder."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import blas_threads  # noqa: F401 - before numpy
import hypothesis
import pytest
from embeddings import Embeddings, load
from slow import examples, left_out, mark_slow

from qadapt import used_keys
from qadapt.evaluation import latency

pytest_plugins = ["live.plugin", "skips"]

# On CI the same examples in each run, so that only changes cause failures; elsewhere new ones.
EXAMPLES = examples(100)
hypothesis.settings.register_profile("qadapt", deadline=None, max_examples=EXAMPLES)
hypothesis.settings.register_profile(
    "qadapt-ci", deadline=None, max_examples=EXAMPLES, derandomize=True
)
hypothesis.settings.load_profile("qadapt-ci" if os.environ.get("CI") else "qadapt")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "extended: another variant on servers; not in .ci/run")
    config.addinivalue_line("markers", "slow: tests more cases with QADAPT_SLOW=1 (slow.py)")
    config.addinivalue_line("markers", "long: runs with QADAPT_SLOW=1 only (slow.py)")


def pytest_itemcollected(item: pytest.Item) -> None:
    mark_slow(item)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out long tests, after ``live.plugin`` has marked those that need a server."""
    long = [item for item in items if left_out(item)]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not left_out(item)]


def pytest_collection() -> None:
    """Collect no garbage while modules are imported: there is none, and each time took longer."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave modules and collected tests to no garbage collection: each took half a second."""
    gc.freeze()
    gc.set_threshold(10_000)  # instead of 700: it took 3 % of the time
    gc.enable()


# -- state ---------------------------------------------------------------------------------------

_STATES = count()


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate state folder for each test, so that the user's is never changed."""
    # Numbered here: pytest lists the folders of all earlier tests to find the next number.
    folder = tmp_path_factory.mktemp(f"state-{next(_STATES)}", numbered=False)
    monkeypatch.setenv("QADAPT_STATE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def forgotten_keys() -> Iterator[None]:
    """Forget the keys that a test used: from then on they would be masked everywhere."""
    yield
    used_keys._used.clear()


@pytest.fixture(scope="session", autouse=True)
def short_timings() -> Iterator[None]:
    """Time at most 20 queries instead of 2,000 where a test measures latency."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "COLD", 10)
        patched.setattr(latency, "FEWEST", 10)
        patched.setattr(latency, "MOST", 20)
        patched.setattr(latency, "CLIENT_FEWEST", 5)
        patched.setattr(latency, "CLIENT_SECONDS", 0.0)
        yield


# -- real embeddings -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def embeddings() -> Embeddings:
    """5,000 real embeddings with queries and relevance labels; see ``embeddings.load``."""
    from live.plugin import clock_stopped

    with clock_stopped():
        return load()
