"""What becomes of bytes on their way: flipped bits, cuts, pieces moved, numbers that mean something."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
Change = Callable[[bytearray, Rng], bytearray]
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
WORDS = (
    *(b"nan", b"inf", b"-1", b"1e999", b"1_0", b"0", b"", b"\x00", b"\n", b" ", b"/../../", b"[", b"{", b'"', b"\xff"),
    *("²".encode(), "\u202e".encode(), b"\x1b[2J", b"9" * 400, b"[" * 5000, b"<" * 100, b"a." * 300),
)


def mutated(content: bytes, rng: Rng) -> bytes:
    """Return the content after one to three changes drawn by `rng`."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        changed = CHANGES[rng.integers(len(CHANGES))](changed, rng)
    return bytes(changed)


def _place(content: bytearray, rng: Rng) -> int:
    # the first bytes say how to read the rest: half of all changes go there
    end = len(content) + 1
    return int(rng.integers(min(end, 256) if rng.random() < 0.5 else end))


def _span(content: bytearray, rng: Rng) -> slice:
    start = _place(content, rng)
    return slice(start, start + int(2 ** rng.uniform(0, 12)))


def _flip(content: bytearray, rng: Rng) -> bytearray:
    for _ in range(int(rng.integers(1, 5))):
        if content:
            content[_place(content, rng) % len(content)] ^= 1 << int(rng.integers(8))
    return content


def _set(content: bytearray, rng: Rng) -> bytearray:
    if content:
        content[_place(content, rng) % len(content)] = int(rng.integers(256))
    return content


def _cut(content: bytearray, rng: Rng) -> bytearray:
    return content[: _place(content, rng)]


def _delete(content: bytearray, rng: Rng) -> bytearray:
    del content[_span(content, rng)]
    return content


def _double(content: bytearray, rng: Rng) -> bytearray:
    span = _span(content, rng)
    content[span.start : span.start] = content[span]
    return content


def _splice(content: bytearray, rng: Rng) -> bytearray:
    piece, at = content[_span(content, rng)], _place(content, rng)
    content[at : at + len(piece)] = piece
    return content


def _number(content: bytearray, rng: Rng) -> bytearray:
    size, at = int(rng.choice([1, 2, 4, 8])), _place(content, rng)
    value = NUMBERS[rng.integers(len(NUMBERS))] % 256**size
    content[at : at + size] = value.to_bytes(size, "little" if rng.random() < 0.5 else "big")
    return content


def _add(content: bytearray, rng: Rng) -> bytearray:
    if content:
        at = _place(content, rng) % len(content)
        content[at] = (content[at] + int(rng.integers(-16, 17))) % 256
    return content


def _word(content: bytearray, rng: Rng) -> bytearray:
    at = _place(content, rng)
    content[at : at + int(rng.integers(0, 4))] = WORDS[rng.integers(len(WORDS))]
    return content


CHANGES: tuple[Change, ...] = (_flip, _set, _cut, _delete, _double, _splice, _number, _add, _word)
