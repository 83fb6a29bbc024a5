"""Live engines for the tests, and the order in which each is searched for.

1. an address in the environment: ``QADAPT_TEST_<ENGINE>_URL``
2. a container, where ``QADAPT_TEST_CONTAINERS=1`` or a Docker engine answers (``live.containers``)
3. a server started from a package (``live.milvus``, ``live.weaviate``)
4. else the tests are skipped with the reason; ``--require-live`` turns that into a failure

A rung is a function ``start(engine)``. It returns an object with ``url``, ``version`` and
``stop()``, or raises ``Unavailable`` with the reason; ``live.ladder`` tries one after the other.
With pytest-xdist the controller owns the ladder, so that all workers share one server per engine.
"""

from __future__ import annotations


class Unavailable(Exception):  # noqa: N818 - it is no error: the next rung is tried
    """Raised with the reason why an engine is not available in this way."""
