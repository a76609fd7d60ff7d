"""Parts of keys that cannot be file names, written as names that can be, and back (``--escape-keys``).

====================================  ===========================
part of a key                         name
====================================  ===========================
empty (``a//b``, ``a/``, ``/a``)      ``%``
``.`` and ``..``                      ``%2E`` and ``%2E%2E``
``%`` and NUL within                  ``%25`` and ``%00``
like an unfinished file of keepstep   ``%2Ekeepstep-….part``
everything else                       itself
====================================  ===========================

So every key has one name, and every name that this writes is of one key. What is too long for a name stays so.
"""

from __future__ import annotations

import re

from keepstep.stores.local_paths import TEMPORARY

_CODES = {"%25": "%", "%2E": ".", "%00": "\0"}
_CODE = re.compile("|".join(_CODES))


def escaped(key: str) -> str:
    """The names of a key's parts, joined as the parts are."""
    return "/".join(map(_escaped, key.split("/")))


def unescaped(name: str) -> str | None:
    """The part that a name stands for; None when it stands for none, for :func:`escaped` would not write it."""
    if "%" not in name:
        return name if name not in (".", "..") else None
    part = "" if name == "%" else _CODE.sub(lambda found: _CODES[found[0]], name)
    return part if _escaped(part) == name else None


def _escaped(part: str) -> str:
    if part in ("", ".", ".."):
        return part.replace(".", "%2E") or "%"
    name = part.replace("%", "%25").replace("\0", "%00")
    return "%2E" + name[1:] if TEMPORARY.match(name) else name
