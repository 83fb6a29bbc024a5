"""Phrases that were replaced by plain English do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = Path(__file__).parent

PHRASES = (
    "make your vector database obey",
    "was seen to obey",
    "seen to be obeyed",
    "has only a cousin of",
    "nobody is there to agree to it",
    "only with your consent",
    "in a process of its own that alone may open the folder",
    "remember for searches:",
    "the store has no place for it",
    "forget how searches rescore",
    "stops searches and writes",
    "recall as searches are now",
    "taking back",
    "agree yes",
    "each left out of its own results",
    "are taken off each time",
    "kept in eval.json",
    "what the stores make of it",
    "as those of the others are by themselves",
    "money is for ram alone",
    "when one is ill",
    "words beside one another",
    "of what is drawn.",
    "of how many results.",
    "no exact truth of an earlier call",
    "where it shall stand",
    "not one that qdrant can have",
    "is not there yet",
    "hint: there: none",
    "unknown ending of a file",
    "so without a direction",
    "is said twice",
    "words about the run itself can wait",
    "gets their own back",
    "shards are at it",
    "the alias stands at it",
    "front door",
    "mend: ",
    "beside one another",
    "it shall",
    "each one's own",
    "consent is needed",
    "needs your consent",
    "sign of life",
    "signs of life",
    "give back",
    "given back",
    "the words of the command",
)

# Words that a plainer one replaces, as regular expressions.
HOUSE_WORDS = (
    "another [a-z]+ than",
    "(?<!there )(?:is|are) no (?:clone|column|copy|filter|floats?|records?|vectors?)",
    "as it is",
    "as they are",
    "asleep",
    "by itself",
    "by themselves",
    "cousins?",
    "faces",
    "floors",
    "for ever",
    "foretold",
    "ill",
    "in force",
    "in silence",
    "meanwhile",
    "mend(?:s|ed)?(?!\\()",
    "nobody",
    "no such",
    "obey(?:s|ed)?",
    "of (?:its|their) own(?! [a-z])",
    "on its own",
    "says? so",
    "seen to",
    "somebody",
    "stands",
    "stood",
    "strangers?",
    "such a",
    "takes? back",
    "theirs",
    "told",
    "way back",
    "way out",
    "whatever",
    "wherever",
    "whoever",
    "without a word",
)
_HOUSE = re.compile(rf"\b({'|'.join(HOUSE_WORDS)})\b")

# Names that contain a replaced phrase and belong to the code.
NAMES: tuple[str, ...] = ()


def words(text: str) -> str:
    """Text in lower case with single spaces, so that line breaks do not hide a phrase."""
    return " ".join(text.split()).lower()


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string, docstring and comment; adjacent comments are one text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value for part in node.values if isinstance(part, ast.Constant))
            yield node.lineno, "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    start, last, comment = 0, -1, ""
    for line, text in comments(source):
        if line != last + 1:
            yield start, comment
            start, comment = line, ""
        last, comment = line, comment + " " + text.lstrip("#")
    yield start, comment


def comments(source: str) -> Iterator[tuple[int, str]]:
    """The rest of each line from the first ``#`` on, which may be in a string: a tokenizer takes
    as long as everything else here."""
    for line, text in enumerate(source.splitlines(), 1):
        if "#" in text:
            yield line, text[text.index("#") :]


def findings(name: str, found: Iterator[tuple[int, str]]) -> list[str]:
    wrong = []
    spellings = [(line, words(text)) for line, text in found]
    whole = "\n".join(spelled for _, spelled in spellings)
    phrases = [phrase for phrase in PHRASES if phrase in whole]
    for line, spelled in spellings:
        if spelled in NAMES:
            continue
        hits = [phrase for phrase in phrases if phrase in spelled]
        hits += [match.group() for match in _HOUSE.finditer(spelled)]
        wrong += [f"{name}:{line}: {hit}" for hit in hits]
    return wrong


def descriptions(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of docstrings and comments, without other strings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text
    yield from comments(source)


def test_the_package_contains_no_replaced_phrase() -> None:
    wrong: list[str] = []
    for path in sorted((ROOT / "qadapt").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        wrong += findings(name, texts(path.read_text(encoding="utf-8")))
    assert wrong == []


def test_the_pages_contain_no_replaced_phrase() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    pages += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docker").glob("*.md")]
    wrong: list[str] = []
    for path in sorted(pages):
        name = path.relative_to(ROOT).as_posix()
        wrong += findings(name, iter([(1, path.read_text(encoding="utf-8"))]))
    assert wrong == []


def test_test_names_contain_no_replaced_phrase() -> None:
    wrong: list[str] = []
    for path in sorted((*TESTS.rglob("*.py"), *(ROOT / "qadapt/testing").glob("*.py"))):
        names = re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
        spelled = ((1, each.replace("_", " ")) for each in names)
        wrong += findings(path.relative_to(ROOT).as_posix(), spelled)
    assert wrong == []


def test_docstrings_and_comments_of_tests_contain_no_replaced_phrase() -> None:
    wrong: list[str] = []
    for path in sorted(TESTS.rglob("*.py")):
        if path != Path(__file__):
            name = path.relative_to(ROOT).as_posix()
            wrong += findings(name, descriptions(path.read_text(encoding="utf-8")))
    assert wrong == []


def test_strings_docstrings_and_comments_are_checked() -> None:
    source = (
        'def f(x):\n    """What the Stores\n    make of it."""\n'
        "    # what the stores\n    # make of it\n"
        "    return f'{x} what the stores ' 'make of it'\n"
    )
    places = [f"f.py:{line}: what the stores make of it" for line in (2, 4, 6)]
    assert sorted(set(findings("f.py", texts(source)))) == places


def test_house_words_are_found_as_words() -> None:
    text = [(1, "It says so,\nand nobody obeyed; fill the untold.")]
    assert findings("x", iter(text)) == ["x:1: says so", "x:1: nobody", "x:1: obeyed"]
    assert list(descriptions('"""A."""\nx = "told"  # b\n')) == [(1, "A."), (2, "# b")]
