"""A part kept out, the same in every program that asks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
FIFTH = 5


def held_out(
    items: Sequence[Item], *, key: Callable[[Item], str], one_in: int = FIFTH
) -> tuple[list[Item], list[Item]]:
    """Return those to learn from and those kept out, about one in `one_in`.

    An item is kept out where sha256 of its key, as a number, is a multiple of `one_in`: this depends on nothing but
    the key, so that training and evaluation agree without a list.
    """
    kept: tuple[list[Item], list[Item]] = ([], [])
    for item in items:
        digest = hashlib.sha256(key(item).encode(errors="surrogateescape")).digest()  # a name may be no UTF-8
        kept[int.from_bytes(digest, "big") % one_in == 0].append(item)
    return kept
