"""Names of people: one spelling, what is refused, what looks alike, what a terminal shows."""

from __future__ import annotations

import pytest

from facereg.errors import ContractError
from facereg.names import clean_name, names_alike, shown, without_credentials


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Ada", "Ada"),
        (" Ada  Lovelace ", "Ada Lovelace"),
        ("Rene\u0301", "Ren\u00e9"),
        ("\u00a0Ada\u2003Lovelace\u3000", "Ada Lovelace"),
        ("\u1100\u1161", "\uac00"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647"),
        ("\U0001f600", "\U0001f600"),
        ("a" * 200, "a" * 200),
        ("e\u0301" * 200, "\u00e9" * 200),
    ],
    ids=["plain", "spaces", "NFD", "other spaces", "Hangul", "a joiner inside", "emoji", "longest", "longest of NFD"],
)
def test_a_name_has_one_spelling(given: str, name: str) -> None:
    assert clean_name(given) == name
    assert clean_name(name) == name


@pytest.mark.parametrize(
    "given",
    [
        *("", "   ", "\u00a0", "a" * 201, "e" * 100_000, "e\u0301" * 201, "Ada\nEve", "Ada\n", "Ada\tEve", "Ada\x00"),
        *("Ada\u2028Eve", "Ada\x85Eve", "\x1b[31mAda", "Ada\x9b31m", "Ad\x7fa", "caf\udce9", "\u200b\u200d\ufeff"),
        *("\u3164", "\u2800", "\U000e0041", "\u202eadA", "Ada\u200f", "\u2066Ada\u2069", "\u061cAda"),
    ],
    ids=ascii,
)
def test_what_is_no_name_is_refused_in_one_plain_line(given: str) -> None:
    with pytest.raises(ContractError, match="^name: expected .*; rename the person$") as error:
        clean_name(given)
    assert shown(str(error.value)) == str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "ada"),
        ("Stra\u00dfe", "STRASSE"),
        ("Ada", "\u0410d\u0430"),  # Cyrillic
        ("Ada", "A\u200bda"),
        ("Ada", "Ada\ufeff"),
        ("Ada", "A\u00adda"),
        ("O'Brien", "O\u2019Brien"),
        ("Ilya", "llya"),
        ("Bob", "B0b"),
        ("Ada", "\uff21\uff44\uff41"),  # full width
        ("TOM", "\u03a4\u039f\u039c"),  # Greek
    ],
)
def test_names_that_look_alike_are_found(one: str, other: str) -> None:
    assert names_alike([clean_name(one), clean_name(other)]) == [(other, one)]
    assert names_alike([clean_name(other)], [clean_name(one)]) == [(other, one)]


@pytest.mark.parametrize(
    ("one", "other"), [("Ada", "Ada"), ("Ada", "Eva"), ("Jose", "Jos\u00e9"), ("Ali", "All"), ("Bern", "Bem")]
)
def test_names_that_differ_are_not_said_to_look_alike(one: str, other: str) -> None:
    assert names_alike([one, other]) == []


def test_terminal_codes_are_shown_escaped_and_letters_as_they_are() -> None:
    assert shown("\x1b[2J\u202eZo\u00eb\n\x9b\u2028") == "\\x1b[2J\\u202eZo\u00eb\\x0a\\x9b\\u2028"


@pytest.mark.parametrize(
    ("message", "shown_as"),
    [
        ("rtsp://ada:s3@cam/1: no answer", "rtsp://***@cam/1: no answer"),
        ("postgresql:/ada:s 3'@h/x: no such file", "postgresql:/***@h/x: no such file"),
        ("postgres:ada:s3@h/x: no such file", "postgres:***@h/x: no such file"),
        ("g?password=s3&x=1: no such file", "g?password=***&x=1: no such file"),
        ("postgresql://h/x: write postgresql://USER@HOST", "postgresql://h/x: write postgresql://USER@HOST"),
        ("got triton://ada:s3@a and triton://ada:s3@b", "got triton://***@a and triton://***@b"),
        ("photos/12:30/ada@home.jpg: no such file", "photos/12:30/ada@home.jpg: no such file"),
    ],
)
def test_a_message_shows_no_credentials(message: str, shown_as: str) -> None:
    assert without_credentials(message) == shown_as
