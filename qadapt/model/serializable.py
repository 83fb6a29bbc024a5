"""JSON serialization of frozen dataclasses.

pydantic is imported only when a value is serialized or parsed, so that ``import qadapt`` is fast.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import QadaptError, SpecError

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from typing_extensions import Self

_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        from pydantic import TypeAdapter

        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


class Serializable:
    """Mixin with ``to_dict``, ``from_dict``, ``to_json`` and ``from_json``."""

    # Configuration of pydantic: unknown fields are errors.
    # It must be a plain dict: pydantic treats other types as its deprecated settings class.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types: dicts, lists, strings and numbers.

        Raises:
            SpecError: a value cannot be represented in JSON.
        """
        try:
            result: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")
        except (ValueError, RecursionError) as error:
            raise _not_json(self, error) from error
        return result

    def to_json(self, *, indent: int | None = 2) -> str:
        """Convert to a JSON document.

        Raises:
            SpecError: a value, such as NaN, cannot be represented in JSON.
        """
        document = self.to_dict()
        try:
            return json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            raise _not_json(self, error) from error

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse the result of ``to_dict``.

        Raises:
            SpecError: the data is invalid; the message names the field.
        """
        from pydantic import ValidationError

        try:
            value: Self = _adapter(cls).validate_python(data)
        except ValidationError as error:
            raise _shape_error(cls, error) from error
        return value

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse the result of ``to_json``.

        Raises:
            SpecError: not JSON, or the data is invalid.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(
                f"not a JSON document of a {cls.__name__}: {error}",
                hint="pass a file that was written by qadapt",
            ) from error
        return cls.from_dict(data)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON schema of the documents of ``to_json``."""
        schema: dict[str, Any] = _adapter(cls).json_schema()
        return schema

    def replace(self, **changes: Any) -> Self:
        """Copy with changed fields."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def _not_json(value: Any, error: Exception) -> SpecError:
    return SpecError(
        f"a {type(value).__name__} cannot be represented in JSON: {error}",
        hint="remove values that are not text, finite numbers, lists or mappings",
    )


def _shape_error(cls: type[Any], error: Any) -> SpecError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the document"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [field.name for field in dataclasses.fields(cls)]
        if len(first["loc"]) == 1:
            return SpecError.unknown("field", str(first["loc"][-1]), known, where=cls.__name__)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, QadaptError):
        return SpecError(f"not a {cls.__name__}: {place}: {cause.message}", hint=cause.hint)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return SpecError(
        f"not a {cls.__name__}: {place}: {first['msg']}{more}",
        hint="`qadapt schema` prints the schema of each document",
    )
