"""The keys that this process has used, which no message may show."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote

MASK = "***"
# In every encoding that a server may repeat them in.
_used: set[str] = set()
_SHORT = 8  # characters; shorter keys are only masked as whole words


def remember(key: str) -> None:
    """Register a key, so that ``mask_used`` replaces it everywhere."""
    forms = {key, quote(key, safe=""), json.dumps(key)[1:-1]}
    forms.add(base64.b64encode(key.encode()).decode())
    _, colon, password = key.partition(":")
    if colon and len(password) >= _SHORT:
        forms.add(password)
    _used.update(form for form in forms if form.strip())


def mask_used(text: str) -> str:
    """Replace keys that this process has used with ``***``."""
    for key in sorted(_used, key=len, reverse=True):
        if len(key) >= _SHORT:
            text = text.replace(key, MASK)
        elif key in text:
            text = re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", MASK, text)
    return text
