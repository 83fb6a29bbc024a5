"""Keys that do not show themselves, and the masking of keys in any text."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote

MASK = "***"

_LONG = r"[\w-]*(?:api[-_]?key|token|password|passwd|secret|authorization)|pwd"
# The name of an option that holds a key.
SECRET_NAME = re.compile(rf"{_LONG}|key", re.IGNORECASE)

# In quotes, which stay; masked before; or up to a blank.
_VALUE = (
    r"(?:b?(?P<quote>[\"'])(?:\\.|(?!(?P=quote)).)*(?P=quote)|\*{3}(?=[,;)}\]]*(?:\s|$))"
    r"|(?:bearer|basic)\s+[^\s&#\"']+|[\"']?[^\s&#\"']+)"
)
_USER = re.compile(r"(://)[^\s\"'<>]*@")
# A bare "key:" is an everyday word of messages; it counts with "=" or in quotes only.
_OPTION = re.compile(
    rf"(?<![\w-])(?P<name>(?:{_LONG})[\"']?\s*[=:]\s*|key[\"']?\s*=\s*|key[\"']\s*:\s*){_VALUE}",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(bearer\s+)[^\s\"']+", re.IGNORECASE)
_QUERY = re.compile(rf"([?&](?:{SECRET_NAME.pattern})=)[^&]*", re.IGNORECASE)

# Keys that this process has used, in each form in which a server may repeat them.
_used: set[str] = set()
_SHORT = 8  # characters; a shorter key is masked as a whole word only


def remember(key: str) -> None:
    """Have ``mask`` replace a key wherever it appears, also where nothing marks it as a key."""
    forms = {key, quote(key, safe=""), json.dumps(key)[1:-1]}
    forms.add(base64.b64encode(key.encode()).decode())
    _, colon, password = key.partition(":")
    if colon and len(password) >= _SHORT:
        forms.add(password)
    _used.update(form for form in forms if form.strip())


def mask_used(text: str) -> str:
    """Replace the keys that this process has used by ``***``."""
    for key in sorted(_used, key=len, reverse=True):
        if len(key) >= _SHORT:
            text = text.replace(key, MASK)
        elif key in text:
            text = re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", MASK, text)
    return text


def mask(text: str) -> str:
    """Replace what looks like a key by ``***``: in URLs, in ``api_key=...``, and any used key.

    For log lines and for errors of other packages. It masks rather too much than too little.
    """
    text = mask_used(text)
    text = _USER.sub(rf"\1{MASK}@", text)
    text = _OPTION.sub(lambda at: "{0}{1}{2}{1}".format(at["name"], at["quote"] or "", MASK), text)
    return _BEARER.sub(rf"\1{MASK}", text)


def shown(text: str) -> str:
    """An address that could not be read, for its error message: too much masked, never a key."""
    if "@" in text:
        head, found, rest = text.partition("://")
        text = (head + found if found else "") + MASK + "@" + (rest or head).rpartition("@")[2]
    text = _QUERY.sub(rf"\1{MASK}", text)
    return text if len(text) <= 200 else text[:200] + "..."


class Secret:
    """A key that does not show itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))
