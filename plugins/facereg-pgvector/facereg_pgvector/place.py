"""An address of a gallery in PostgreSQL, and what the database says in words that hold no credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from facereg import Address, GalleryError, GalleryUnreachableError

DEFAULT_SCHEMA = "facereg"
SCHEMA = re.compile("[a-z_][a-z0-9_]{0,62}")
DEFAULTS = {"connect_timeout": "10", "application_name": "facereg"}  # seconds; unless the address says them
LOCK_S = 30  # for another writer, as with files
SECRETS = ("user", "password", "sslpassword", "passfile", "oauth_client_secret")
NO_TABLES = "its tables are not a gallery's; restore an export, or name another schema"
MEANINGS = {  # by SQLSTATE, or its first two characters: PostgreSQL's Appendix A
    "53100": "the database's disk is full; make room there",
    "53300": "the database has no connection left; close other programs, or raise its max_connections",
    "25006": "the database takes no changes (it is read-only, or a standby); use the one that is written to",
    "42501": "this user may not do that in the database; ask its owner for the rights",
    "55P03": f"another program has been writing for over {LOCK_S} s; try again",
    "40": "another program changed it at the same time; try again",
    "42P01": NO_TABLES,
    "42703": NO_TABLES,
    "42P07": NO_TABLES,
    "XX": "is damaged; restore an export or a copy",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A database and the schema in it that a gallery has for itself.

    Args:
        address: as it was given.
        conninfo: libpq's, without our own option.
        schema: of the tables.
    """

    address: Address
    conninfo: str = field(repr=False)
    schema: str

    @classmethod
    def of(cls, address: Address) -> Place:
        """Read `postgresql://USER@HOST:PORT/DATABASE?schema=NAME`; every other option is libpq's.

        Raises:
            GalleryError: if it does not read.
        """
        head, _, options = address.text.partition("?")
        own = [each.partition("=")[2] for each in options.split("&") if each.startswith("schema=")]
        rest = [each for each in options.split("&") if not each.startswith("schema=")]
        try:
            given: dict[str, Any] = DEFAULTS | conninfo_to_dict("?".join(filter(None, [head, "&".join(rest)])))
        except psycopg.Error:  # their words quote what may be a password
            raise GalleryError(
                f"{address}: expected postgresql://USER@HOST:PORT/DATABASE?schema=NAME, with libpq's options after the "
                "'?', got something else; check what is written between the slashes"
            ) from None
        # the rest of a password, which would be looked up as a host; one that begins with @ is an abstract socket
        if re.search("[^,]@", str(given.get("host", ""))):
            raise GalleryError(f"{address}: expected one @, before the host, got more; write that of a password as %40")
        schema = own[-1] if own else DEFAULT_SCHEMA
        if not SCHEMA.fullmatch(schema):
            raise GalleryError(
                f"{address}: schema: expected small letters, digits and _, at most 63, got {schema[:80]!a}"
            )
        return cls(address, make_conninfo(**given), schema)

    def reason(self, error: psycopg.Error) -> str:
        """Return in a line what went wrong, without credentials."""
        state = error.sqlstate or ""
        meaning = MEANINGS.get(state) or MEANINGS.get(state[:2])
        if meaning is not None:
            return meaning
        text = " ".join((error.diag.message_primary or str(error)).split())  # without the statement and its values
        given = conninfo_to_dict(self.conninfo)
        for name in SECRETS:
            if secret := given.get(name):
                whole = r"(?<!\w){}(?!\w)" if name == "user" else "{}"  # a user of one letter is no part of words
                text = re.sub(whole.format(re.escape(str(secret))), "***", text)
        return text[:300]


@contextmanager
def named(place: Place) -> Iterator[None]:
    """Put the address before what is wrong, once; the database's words become ours.

    Raises:
        GalleryUnreachableError: if it does not answer, or was lost.
        GalleryError: for anything else.
    """
    try:
        yield
    except psycopg.Error as error:
        kind = GalleryUnreachableError if is_lost(error) else GalleryError
        raise kind(f"{place.address}: {place.reason(error)}") from error
    except GalleryError as error:
        if type(error) not in (GalleryError, GalleryUnreachableError) or str(error).startswith(f"{place.address}: "):
            raise
        raise type(error)(f"{place.address}: {error}") from error


def is_lost(error: BaseException) -> bool:
    """Tell whether an error says that the server is gone or takes no connections now."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    state = error.sqlstate
    return state is None or state[:2] in ("08", "57") or state == "53300"
