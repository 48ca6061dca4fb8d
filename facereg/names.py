"""Names of people, addresses, other text of foreign hands: one spelling, which look alike, how each is shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import fspath
from pathlib import Path

from facereg.errors import ContractError

LONGEST_NAME = 200  # characters; a name stands in lists, in exports and over faces
# marks that turn the direction of what follows (Unicode Standard Annex 9): what is shown is not what is stored
DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# drawn as nothing, though Unicode calls them letters, marks and a symbol (DerivedCoreProperties.txt, and U+2800)
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_LINE_BREAKS = frozenset("\u2028\u2029")
# what fonts draw alike, by the letter that it is taken for: a small part of Unicode's confusables.txt, without the
# pairs of several letters (rn, m) that common names differ by
_LOOK_ALIKES = {
    **{"A": "\u0410\u0391\u13aa", "B": "\u0412\u0392\u13f4", "C": "\u0421\u03f9\u13df", "D": "\u13a0"},
    **{"E": "\u0415\u0395\u13ac", "G": "\u050c\u13c0", "H": "\u041d\u0397\u13bb", "J": "\u0408\u037f\u13ab"},
    **{"K": "\u041a\u039a\u13e6", "L": "\u13de", "M": "\u041c\u039c\u13b7", "N": "\u039d"},
    **{"O": "\u041e\u039f\u05550", "P": "\u0420\u03a1\u13e2", "S": "\u0405\u13da", "T": "\u0422\u03a4\u13a2"},
    **{"V": "\u0474\u13d9", "W": "\u051c\u13b3", "X": "\u0425\u03a7", "Y": "\u04ae\u03a5", "Z": "\u0396\u13c3"},
    **{"a": "\u0430\u03b1\u0251", "c": "\u0441\u03f2", "d": "\u0501", "e": "\u0435", "g": "\u0261\u0581"},
    **{"h": "\u04bb\u0570", "i": "\u0456\u03b9\u0131\u0269", "j": "\u0458\u03f3"},
    **{"l": "I\u0406\u0399\u04c0\u04cf1|\u01c0", "n": "\u0578", "o": "\u043e\u03bf\u0585", "p": "\u0440\u03c1"},
    **{"q": "\u051b\u0566", "s": "\u0455", "u": "\u03c5\u057d", "v": "\u03bd\u0475", "w": "\u051d\u0561"},
    **{"x": "\u0445\u03c7", "y": "\u0443\u03b3", "-": "\u2010\u2011\u2012\u2013\u2014\u2212"},
    **{"'": "\u2019\u2018\u02bc\u2032`\u00b4\u02b9"},
}  # Cyrillic, Greek, Armenian and Cherokee letters, dashes and apostrophes
_BEFORE_HOST = re.compile(r"^([a-z][a-z+.-]*:/*)?.*@", re.DOTALL | re.IGNORECASE)  # of an address: user and password
# of an address within other text, also where a path was made of it, which has one slash: what follows scheme or name,
# spaces and quotes that somebody left in a password too; ": " or another address ends it, and USER is our own word
_CREDENTIALS = re.compile(
    r"(\b(?:[a-z][a-z0-9+.-]*:/++|postgres(?:ql)?:(?!/)))(?!USER@|\s)(?:(?!: |\s[a-z+.]+:/)[^\n])*@"
    r"|(\b\w*pass\w*=)[^\s&'\"]*",
    re.IGNORECASE,
)
_ALIKE = str.maketrans({odd: plain for plain, odds in _LOOK_ALIKES.items() for odd in odds})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gallery lies: the path of a file, or `SCHEME://...`; as text it shows no user, password or option."""

    text: str = field(repr=False)

    @classmethod
    def of(cls, place: str | Path | Address) -> Address:
        """Return the address of a path or text."""
        return place if isinstance(place, Address) else cls(fspath(place))

    @property
    def scheme(self) -> str:
        """Return what a plugin opens it by; empty of a file."""
        found = re.match("([a-z][a-z0-9+.-]*)://", self.text)
        return found[1] if found else ""

    @property
    def path(self) -> Path:
        """Return the path of a file."""
        return Path(self.text)

    def __str__(self) -> str:
        if not self.scheme:
            return self.text
        head, _, options = self.text.partition("?")
        return f"{self.scheme}://***" if "@" in options else masked(head)  # a password may hold a ? or an @


def clean_name(text: str) -> str:
    """Return the one spelling of a person's name: composed (NFC), trimmed, one space for each run of spaces.

    Raises:
        ContractError: if it is empty, longer than LONGEST_NAME, of several lines, of invisible letters alone, or
            holds control characters, halves of characters (bytes that are no UTF-8) or marks of direction.
    """
    trimmed = text.strip(" ")
    if len(trimmed) > 4 * LONGEST_NAME:  # four characters at most become one; normalising a long text is slow
        raise _refused("at most 200 characters", f"{len(trimmed):,}")
    for letter in trimmed:
        if _is_hidden(letter):
            raise _refused("letters in one line", f"'{shown(trimmed[:60])}', which holds U+{ord(letter):04X}")
    name = unicodedata.normalize("NFC", " ".join(trimmed.split()))
    if all(letter.isspace() or _is_invisible(letter) for letter in name):
        raise _refused("letters that can be seen", f"{name[:20]!a}")
    if len(name) > LONGEST_NAME:
        raise _refused(f"at most {LONGEST_NAME} characters", f"{len(name)}")
    return name


def names_alike(names: Iterable[str], known: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Return pairs of names that differ only by case, by invisible or by look-alike letters.

    Args:
        names: cleaned; each is compared with those before it and with `known`.
        known: cleaned; not compared with each other.
    """
    seen: dict[str, str] = {}
    for name in known:
        for key in _likenesses(name):
            seen.setdefault(key, name)
    pairs = []
    for name in dict.fromkeys(names):
        others = {seen[key] for key in _likenesses(name) if key in seen} - {name}
        pairs += [(name, other) for other in sorted(others)]
        for key in _likenesses(name):
            seen.setdefault(key, name)
    return pairs


def shown(text: str, *, lines: bool = False) -> str:
    """Return text as a terminal may show it: control characters and marks of direction are escaped.

    Args:
        lines: keep ends of lines and tabs, for text that is more than a name.
    """
    kept = "\n\t" if lines else ""
    return "".join(_escaped(letter) if _is_hidden(letter) and letter not in kept else letter for letter in text)


def masked(text: str) -> str:
    """Return an address as a message may show it: no password, no control characters, not endless."""
    return shown(_BEFORE_HOST.sub(r"\1***@", text[:8192]))[:300]


def without_credentials(message: str) -> str:
    """Return a message without the user, password and password option of any address in it, taken for a path or not."""
    return _CREDENTIALS.sub(lambda found: f"{found[1]}***@" if found[1] else f"{found[2]}***", message)


def _likenesses(name: str) -> tuple[str, str]:
    """Return what two names share that differ by case or invisible letters, and by look-alike letters."""
    visible = "".join(letter for letter in unicodedata.normalize("NFKC", name) if not _is_invisible(letter))
    look = unicodedata.normalize("NFKC", name.translate(_ALIKE)).translate(_ALIKE)
    drawn = "".join(letter for letter in look if not _is_invisible(letter))
    # a capital I looks like a small l, but an i does not: folded after, kept apart from the first by its prefix
    return "case " + visible.casefold(), "look " + drawn.casefold()


def _is_invisible(letter: str) -> bool:
    code = ord(letter)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0000 <= code <= 0xE0FFF
    return unicodedata.category(letter) == "Cf" or selector or letter in _BLANKS


def _is_hidden(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs") or letter in _LINE_BREAKS or letter in DIRECTION_MARKS


def _escaped(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}"


def _refused(expected: str, got: str) -> ContractError:
    return ContractError(f"name: expected a person's name of {expected}, got {got}; rename the person")
