"""Real faults of real processes: apply, search and write end in the correct state or a clear error.

"Clear" is an error of ``qadapt.errors``: any other exception
fails. Acknowledged rows must exist afterwards; others may.
"""

from __future__ import annotations

import pytest
from proxies import Haproxy, Toxiproxy
from rigs import ROWS, Rig, attempt, during, eventually

import qadapt as qa
from qadapt.errors import PlanError, QadaptError, StoreTimeoutError, UnreachableError

pytestmark = pytest.mark.timeout(600)
ACTIONS = ("search", "write", "apply")


def done_in_the_end(rig: Rig, action: str) -> None:
    """After the fault, the operation can be repeated, and no earlier row is lost."""
    eventually(lambda: rig.collection.count())
    eventually(lambda: getattr(rig, action)())
    if action == "apply":
        eventually(rig.scalar_is_active)
    end = 2 * ROWS if action == "write" else ROWS
    assert eventually(lambda: rig.rows_are_whole(end)) == end
    assert eventually(rig.collection.count) == end


@pytest.mark.parametrize("action", ACTIONS)
def test_a_short_outage_is_retried(action, container, rig) -> None:
    use = rig(container.url)
    container.inner.pause()
    order: list[str] = []

    def act() -> None:
        getattr(use, action)()
        order.append("done")

    def resume() -> None:
        order.append("resumed")
        container.inner.unpause()

    error = during(act, resume, after=3)
    assert error is None, error
    assert order == ["resumed", "done"], "the engine was not paused"
    done_in_the_end(use, action)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_long_outage_is_an_error(action, container, rig) -> None:
    use = rig(container.url, timeout=5)
    container.inner.pause()
    error = attempt(getattr(use, action))
    container.inner.unpause()
    assert isinstance(error, StoreTimeoutError | UnreachableError), error
    done_in_the_end(use, action)


@pytest.mark.parametrize("after", [0.2])
@pytest.mark.parametrize("action", ACTIONS)
def test_killed_in_the_middle(action, after, container, rig) -> None:
    use = rig(container.url)
    error = during(getattr(use, action), container.inner.kill, after)
    again = attempt(use.search)
    assert isinstance(again, UnreachableError), again
    container.inner.start()
    container.wait()
    assert error is None or isinstance(error, QadaptError)
    done_in_the_end(use, action)


def test_a_restart_between_two_calls(container, rig) -> None:
    use = rig(container.url)
    use.search()
    container.inner.restart()
    container.wait()
    done_in_the_end(use, "search")
    done_in_the_end(use, "apply")


def test_an_apply_interrupted_by_a_kill_is_rolled_back_or_completed(engine, container, rig) -> None:
    """From another address, like a new process. Weaviate's codes cannot be removed."""
    use = rig(container.url)
    kill = iter([container.inner.kill])
    error = attempt(lambda: use.apply(progress=lambda _: next(kill, lambda: None)()))
    assert error is not None, "the process was killed at its first step"
    assert qa.history()[0].state != "applied"
    container.inner.start()
    container.wait()
    eventually(use.collection.count)
    if engine == "weaviate":
        with pytest.raises(PlanError, match="cannot be rolled back"):
            qa.undo()
        eventually(use.apply)
        use.scalar_is_active()
    else:
        qa.undo()
        vector = eventually(use.collection.info).vectors[""]
        assert vector.quantization.kind is qa.Kind.NONE
    eventually(use.search)


# -- proxies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_slow_responses_are_waited_for(action, container, proxied, rig) -> None:
    proxy = proxied(Toxiproxy, container)
    use = rig(proxy.url)
    proxy.delay(300)
    getattr(use, action)()
    proxy.mend()
    done_in_the_end(use, action)


@pytest.mark.parametrize("after", [0.0, 0.2])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_cut_connection(action, after, container, proxied, rig) -> None:
    proxy = proxied(Toxiproxy, container)
    use = rig(proxy.url, timeout=10)
    if not after:
        proxy.cut()
        error = attempt(getattr(use, action))
        assert isinstance(error, UnreachableError), error
    else:
        during(getattr(use, action), proxy.cut, after)
    proxy.mend()
    done_in_the_end(use, action)


@pytest.mark.parametrize("action", ACTIONS)
def test_503(action, container, proxied, rig) -> None:
    proxy = proxied(Haproxy, container)
    use = rig(proxy.url, timeout=10)
    proxy.refuse()
    error = attempt(getattr(use, action))
    assert isinstance(error, QadaptError), "the call succeeded"
    proxy.mend()
    done_in_the_end(use, action)


# -- disk ------------------------------------------------------------------------------------------

DISK = {"milvus": "400m", "weaviate": "32m", "elasticsearch": "64m", "opensearch": "64m"}


def test_a_full_disk(engine, small, rig) -> None:
    """Writes until it is full: a clear error, and all that was acknowledged can be read."""
    use = rig(small(DISK[engine]).url, timeout=20)
    written, error = 1, None
    while error is None:
        begin = written * ROWS
        assert written < 100, "the disk was never full"
        error = attempt(lambda at=begin: use.collection.write(use.batch(at, at + ROWS)))
        written += error is None
    there = attempt(lambda: use.rows_are_whole(written * ROWS))
    if there is None:
        assert use.rows_are_whole(written * ROWS) == written * ROWS
