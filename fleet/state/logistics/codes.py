"""What scanners and cameras type: a label's code, a link that ends in one, or a barcode with a serial number in it.

Medical devices carry their serial number inside a longer code (GS1, application identifier 21). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

MAX_CODE = 200
_SEPARATOR = "\x1d"
_BRACKETED = re.compile(r"\(21\)([^()]{1,20})")
_BARE = re.compile(r"01[0-9]{14}(?:1[1-7][0-9]{6}|10[^\x1d]{1,20}\x1d)*21([^\x1d]{1,20})", re.ASCII)
_SYMBOLOGY = re.compile(r"\](?:C1|d2|Q3|e0)", re.ASCII)


def readings(typed: str) -> list[str]:
    """What may be meant by `typed`, the most literal first; empty when it is no code."""
    plain = typed.strip()
    if len(plain) > MAX_CODE or not plain.replace(_SEPARATOR, "").isprintable():
        return []
    return list(dict.fromkeys(each.strip() for each in _readings(plain) if each.strip().isprintable() and each.strip()))


def _readings(plain: str) -> Iterator[str]:
    if plain.startswith(("http://", "https://")):
        # The name stands last in the path of the address of a thing.
        yield unquote(urlsplit(plain).path.rstrip("/").rsplit("/", 1)[-1])
        return
    yield plain
    bare = _SYMBOLOGY.sub("", plain, count=1).lstrip(_SEPARATOR)
    for pattern in (_BRACKETED, _BARE):
        if found := pattern.search(bare) if pattern is _BRACKETED else pattern.match(bare):
            yield found[1]
