"""Uniform random samples of ids from pages, in memory for the sample only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from qadapt.model import Id


def sample_ids(pages: Iterable[Sequence[Id]], n: int, seed: int) -> list[Id]:
    """A uniform random sample of ``n`` ids, in random order; all ids if there are fewer.

    Each id gets a random number, and the ids with the lowest are kept. Memory holds ``n`` ids and a
    page.
    """
    chance = np.random.default_rng(seed)
    numbers = np.empty(0)
    kept = np.empty(0, dtype=object)
    for page in pages:
        fresh = chance.random(len(page))
        worst = np.inf if len(kept) < n else numbers.max()
        low = np.flatnonzero(fresh < worst)
        if not len(low):
            continue
        ids = np.empty(len(low), dtype=object)
        ids[:] = [page[at] for at in low.tolist()]
        numbers, kept = np.concatenate([numbers, fresh[low]]), np.concatenate([kept, ids])
        if len(kept) > n:
            best = np.argpartition(numbers, n - 1)[:n]
            numbers, kept = numbers[best], kept[best]
    order = np.argsort(numbers)
    found: list[Id] = kept[order].tolist()
    return found
