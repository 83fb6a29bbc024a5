"""Live engines for the tests, and the ladder by which each is found.

1. an address in the environment: ``QADAPT_TEST_<ENGINE>_URL``
2. a container, where ``QADAPT_TEST_CONTAINERS=1`` or a Docker engine answers (``live.containers``)
3. a server of our own, started from a package (``live.milvus``, ``live.weaviate``)
4. else the tests are skipped and say why; ``--require-live`` turns that into a failure

A rung is a function ``start(engine)``. It gives an object with ``url``, ``version`` and ``stop()``,
or raises ``Unavailable`` with the reason; ``live.ladder`` tries one after the other. With
pytest-xdist the controller owns the ladder, so that all workers share one server an engine.
"""

from __future__ import annotations


class Unavailable(Exception):  # noqa: N818 - it is no error: the next rung is tried
    """Why an engine cannot be had by this way."""
