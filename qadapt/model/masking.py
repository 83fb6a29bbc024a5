"""Secrets that are hidden when printed, and masking of keys in text."""

from __future__ import annotations

import re

from qadapt.used_keys import MASK, mask_used

_LONG = r"[\w-]*(?:api[-_]?key|token|password|passwd|secret|authorization)|pwd"
# Names of options that contain a key.
SECRET_NAME = re.compile(rf"{_LONG}|key", re.IGNORECASE)

# A value in quotes (which are preserved), an already masked value, or a value up to a space.
_VALUE = (
    r"(?:b?(?P<quote>[\"'])(?:\\.|(?!(?P=quote)).)*(?P=quote)|\*{3}(?=[,;)}\]]*(?:\s|$))"
    r"|(?:bearer|basic)\s+[^\s&#\"']+|[\"']?[^\s&#\"']+)"
)
_USER = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)?://(?P<login>[^\s\"'<>]*)@")
# "key:" alone is common in messages; "key" is only recognized before "=" or in quotes.
_OPTION = re.compile(
    rf"(?<![\w-])(?P<name>(?:{_LONG})[\"']?\s*[=:]\s*|key[\"']?\s*=\s*|key[\"']\s*:\s*){_VALUE}",
    re.IGNORECASE,
)
# A path up to its last component, and the colon after a path.
_PATH = re.compile(r"[/\\][^\s\"'=,;(){}<>/\\]*\Z")
_COLON = re.compile(r":\s+\Z")
_BEARER = re.compile(r"(bearer\s+)[^\s\"']+", re.IGNORECASE)
_QUERY = re.compile(rf"([?&](?:{SECRET_NAME.pattern})=)[^&]*", re.IGNORECASE)

# Schemes of URLs whose login is a user and a password; in other URLs, it is a key.
_with_user: set[str] = set()


def keep_user(scheme: str) -> None:
    """Register a scheme of URLs in which only the password is a secret."""
    _with_user.add(scheme)


def _mask_login(found: re.Match[str]) -> str:
    scheme, login = found["scheme"] or "", found["login"]
    user, colon, _ = login.partition(":")
    if scheme.lower() not in _with_user or "@" in login or "/" in login:
        return f"{scheme}://{MASK}@"
    return f"{scheme}://{user}{':' + MASK if colon else ''}@"


def mask(text: str) -> str:
    """Replace keys with ``***``: in URLs, after ``api_key=``, and all keys that were used.

    For log lines and errors of other packages. In doubt, text is masked.
    """
    text = mask_used(text)
    text = _USER.sub(_mask_login, text)
    text = _OPTION.sub(_masked_option, text)
    return _BEARER.sub(rf"\1{MASK}", text)


def _masked_option(at: re.Match[str]) -> str:
    if _PATH.search(at.string, 0, at.start()) and _COLON.search(at["name"]):
        return at[0]  # the end of a path, such as "/etc/passwd: not a database"
    return "{0}{1}{2}{1}".format(at["name"], at["quote"] or "", MASK)


def shown(text: str) -> str:
    """Mask an invalid address for its error message."""
    if "@" in text:
        head, found, rest = text.partition("://")
        text = (head + found if found else "") + MASK + "@" + (rest or head).rpartition("@")[2]
    text = _QUERY.sub(rf"\1{MASK}", text)
    return text if len(text) <= 200 else text[:200] + "..."


class Secret:
    """Key that is hidden in ``str`` and ``repr``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the key."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))
