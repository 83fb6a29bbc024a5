"""The error tree matches its docstring, and every message has a hint."""

from __future__ import annotations

import ast
import errno
import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qadapt import errors
from qadapt.errors import NotFoundError, QadaptError, SpecError

CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, QadaptError) and not name.startswith("_")
}
EXIT_CODES = {
    "InputError": 2,
    "PlanStaleError": 4,
    "ConsentRequiredError": 4,
    "GuardMissedError": 3,
}

_SPECIAL: dict[str, Callable[[], QadaptError]] = {
    "NonFiniteError": lambda: errors.NonFiniteError([3, 5]),
    "ZeroVectorError": lambda: errors.ZeroVectorError([3, 5]),
    "DimensionError": lambda: errors.DimensionError(3, 4),
    "MissingExtraError": lambda: errors.MissingExtraError("pymilvus", "milvus", purpose="milvus"),
}


def _make(name: str) -> QadaptError:
    return _SPECIAL[name]() if name in _SPECIAL else CLASSES[name]("what is", hint="what to do")


def _drawn() -> dict[str, tuple[str | None, str]]:
    """Name -> (parent, text) of the tree in the docstring."""
    found: dict[str, tuple[str | None, str]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        at = re.fullmatch(r"(\s*(?:[│ ]*[├└]── )?)([A-Z]\w+)(.*)", line)
        if at is None or at[2] not in CLASSES:
            continue
        while above and above[-1][0] >= len(at[1]):
            above.pop()
        found[at[2]] = (above[-1][1] if above else None, at[3])
        above.append((len(at[1]), at[2]))
    return found


def test_every_error_is_in_the_diagram() -> None:
    assert set(_drawn()) == set(CLASSES)
    assert len(CLASSES) > 20


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_each_error_is_below_its_parent(name: str) -> None:
    parent, text = _drawn()[name]
    if parent is None:
        assert name == "QadaptError"
        return
    bases = [base.__name__ for base in CLASSES[name].__mro__[1:] if base.__name__ in CLASSES]
    assert bases[0] == parent
    builtin = re.search(r"\(([A-Z]\w+Error)\)", text)
    if builtin:
        assert issubclass(CLASSES[name], getattr(__import__("builtins"), builtin[1]))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_exit_codes(name: str) -> None:
    ancestors = [cls.__name__ for cls in CLASSES[name].__mro__]
    expected = next((EXIT_CODES[cls] for cls in ancestors if cls in EXIT_CODES), 1)
    assert CLASSES[name].exit_code == _make(name).exit_code == expected
    drawn = re.search(r"exit (\d)", _drawn()[name][1])
    assert (int(drawn[1]) if drawn else None) == EXIT_CODES.get(name)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_text_contains_the_hint(name: str) -> None:
    error = _make(name)
    assert error.hint
    assert str(error) == f"{error.message}\n  {error.hint}"
    assert error.args == (error.message,)
    with pytest.raises(QadaptError):
        raise error


def test_without_a_hint_there_is_no_second_line() -> None:
    assert str(QadaptError("what is")) == "what is"


def test_only_transient_errors_are_retried() -> None:
    transient = {name for name, cls in CLASSES.items() if issubclass(cls, errors.TransientError)}
    assert transient == {"TransientError", "UnreachableError", "BusyError", "StoreTimeoutError"}


def test_rows_are_named() -> None:
    error = errors.NonFiniteError(list(range(100)), 5000, what="queries")
    assert str(error).startswith("NaN or infinite values in queries, rows: 0, 1, 2,")
    assert "9, ... (5000 in total)" in str(error)
    assert (error.rows, error.total) == (list(range(100)), 5000)
    few = errors.ZeroVectorError([7])
    assert (few.rows, few.total) == ([7], 1) and "rows: 7\n" in str(few)


def test_did_you_mean() -> None:
    error = SpecError.unknown("option", "bit", ["bits", "rescore"], where="binary")
    assert error.message == "unknown option 'bit' in binary"
    assert error.hint == "did you mean 'bits'? known: bits, rescore"
    far = SpecError.unknown("option", "zzz", ["bits"])
    assert far.hint == "known: bits" and far.message == "unknown option 'zzz'"
    assert SpecError.unknown("option", "x", []).hint == "known: none"
    assert type(errors.AddressError.unknown("a", "b", [])) is errors.AddressError


def test_unknown_names_list_the_existing_ones() -> None:
    error = NotFoundError.missing("collection", "artcles", ["notes", "articles"])
    assert error.message == "collection 'artcles' does not exist"
    assert error.hint == "did you mean 'articles'? existing: articles, notes"
    assert NotFoundError.missing("collection", "x", []).hint == "no collections exist"
    many = NotFoundError.missing("collection", "x", [f"c{n:02}" for n in range(50)])
    assert many.hint is not None and many.hint.endswith("c19, ...")


def test_a_missing_extra_has_an_install_hint() -> None:
    assert "pip install 'qadapt-vectors[milvus]'" in str(_make("MissingExtraError"))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_errors_are_pickled_between_processes(name: str) -> None:
    error = _make(name)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_each_error_has_a_hint() -> None:
    """All places that raise an error of qadapt say what to do next."""
    package = Path(errors.__file__).parent
    calls = [
        (file, call)
        for file in sorted(package.rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    ]
    without = [
        f"{file.relative_to(package)}:{call.lineno} {call.func.id}"
        for file, call in calls
        if call.func.id in set(CLASSES) - set(_SPECIAL)  # those write their hint themselves
        and not any(keyword.arg in ("hint", None) for keyword in call.keywords)
    ]
    assert len(calls) > 10_000
    assert without == []
    rules = [
        f"{file.relative_to(package)}:{call.lineno}"
        for file, call in calls
        if call.func.id == "AnswerRule"
        and len(call.args) < 2
        and not any(keyword.arg == "hint" for keyword in call.keywords)
    ]
    assert rules == []


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOTDIR])
def test_a_file_in_place_of_a_folder_has_the_hint_of_the_caller_or_a_general_one(
    number: int,
) -> None:
    problem = OSError(number, "reason of the system", "/x")
    assert errors.StorageError.of(problem, hint="set the variable").hint == "set the variable"
    assert errors.StorageError.of(problem).hint == "choose another path, or move the file away"
