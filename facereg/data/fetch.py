"""Files from the network: checked by sha256, resumed where they broke off, put in place whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from facereg.disk.reading import MAX_SETTINGS, parse_toml, read_text
from facereg.disk.replacing import file_sha256, writing
from facereg.errors import DatasetError

if TYPE_CHECKING:
    from facereg.data.download import DownloadLimits

ATTEMPTS = 5  # connections to one address
PAUSE_S = 1.0  # before the second attempt; doubles after each


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file comes from: addresses that are tried in turn, its sha256 where known, whether to unpack it."""

    addresses: tuple[str, ...]
    sha256: str | None = None
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file in place; `resumed` is how many of its bytes an earlier connection had brought."""

    path: Path
    size: int
    sha256: str
    resumed: int


def read_sources(table: Path) -> dict[str, Source]:
    """Read a TOML table of sources: `[NAME]` with `address` (a text or a list), and perhaps `sha256` and `unpack`.

    Raises:
        DatasetError: if the table is missing or not as stated.
    """
    expected = "a table of addresses"
    text = read_text(table, expected=expected, limit=MAX_SETTINGS)
    entries = parse_toml(text, place=str(table), expected=expected)
    return {name: _source(entry, table, name) for name, entry in entries.items()}


def fetch(
    source: Source,
    path: Path,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    attempts: int = ATTEMPTS,
    pause_s: float = PAUSE_S,
    limits: DownloadLimits | None = None,
) -> Fetched:
    """Download a file. What a broken connection has brought stays beside it as `.NAME.part`, and is gone on from.

    A file that is there already, with the sha256 asked for, is left as it is.

    Args:
        progress: called with the bytes brought and, where the server tells, the bytes to bring.
        attempts: connections to each address before it is given up.
        limits: of bytes and time; see `facereg.data.download.DownloadLimits`.
    Raises:
        DatasetError: if no address answers, the sha256 differs, a limit is met, or the file cannot be written.
    """
    import pooch

    from facereg.data.download import Downloader, DownloadLimits, GaveUpError

    source = check_source(source, given=path.name)
    pooch.get_logger().setLevel("WARNING")
    failures = []
    with writing(path, DatasetError):
        if path.exists():
            return _there_already(source, path)
        folder = path.parent.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for address in source.addresses:
            bring = Downloader(
                folder / path.name,
                source.sha256,
                progress=progress,
                attempts=attempts,
                pause_s=pause_s,
                limits=limits or DownloadLimits(),
            )
            try:
                pooch.retrieve(address, source.sha256, fname=path.name, path=folder, downloader=bring)
            except GaveUpError as error:
                failures.append(f"{address}: {error}")
            except ValueError as error:  # pooch's, of the checksum; what came is removed
                failures.append(f"{address}: {str(error).partition('. ')[0]}")
            else:
                return Fetched(path, path.stat().st_size, source.sha256 or file_sha256(path), bring.resumed)
    raise DatasetError(f"{path.name}: nothing could be fetched; {'; '.join(failures)}")


def _there_already(source: Source, path: Path) -> Fetched:
    if not path.is_file():
        raise DatasetError(f"{path}: expected the name of a file, got a folder")
    digest = file_sha256(path)
    if source.sha256 != digest:
        wanted = "no sha256 was given to check it by" if source.sha256 is None else f"expected sha256 {source.sha256}"
        raise DatasetError(f"{path}: is there already with sha256 {digest}; {wanted}; remove it to fetch it anew")
    return Fetched(path, path.stat().st_size, digest, 0)


def check_source(source: Source, *, given: str) -> Source:
    """Return the source, its sha256 in small letters.

    Raises:
        DatasetError: naming what was `given`, if an address is not HTTP, or not HTTPS and without a sha256; if it
            holds a password; or if the sha256 is none.
    """
    sha256 = None if source.sha256 is None else source.sha256.lower()
    if not source.addresses or (sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef"))):
        raise DatasetError(
            f"{given}: expected an address and 64 hexadecimal digits of sha256, got {source.sha256!r:.120}"
        )
    for address in source.addresses:
        _check_address(address, sha256, given)
    return Source(source.addresses, sha256, source.unpack)


def _check_address(address: str, sha256: str | None, given: str) -> None:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:  # '[' without ']', a port that is no number
        raise DatasetError(f"{given}: expected an address, got {address!r:.120} ({error})") from error
    if parts.username is not None or parts.password is not None:
        raise DatasetError(f"{parts.hostname}: expected an address without a user or password, which others would read")
    if parts.scheme not in ("http", "https") or not host or not address.isprintable():
        raise DatasetError(f"{given}: expected an address that begins with http:// or https://, got {address!r:.120}")
    if parts.scheme == "http" and sha256 is None:
        raise DatasetError(
            f"{given}: expected https://, or a sha256 to check by what {address:.120} brings, as anybody on the way "
            "could change it; pass --sha256"
        )


def _source(entry: object, table: Path, name: str) -> Source:
    if not isinstance(entry, dict) or set(entry) - {"address", "sha256", "unpack"}:
        raise DatasetError(
            f"{table}: expected [{name:.80}] with address, and perhaps sha256 and unpack, got {entry!r:.120}"
        )
    address, sha256, unpack = entry.get("address", ()), entry.get("sha256"), entry.get("unpack", False)
    addresses: Sequence[object] = [address] if isinstance(address, str) else address
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
        raise DatasetError(
            f"{table}, [{name:.80}]: expected address to be a text or a list of texts, got {address!r:.120}"
        )
    if not (sha256 is None or isinstance(sha256, str)) or not isinstance(unpack, bool):
        raise DatasetError(f"{table}, [{name:.80}]: expected sha256 to be a text and unpack true or false")
    return check_source(Source(tuple(map(str, addresses)), sha256, unpack), given=f"{table}, [{name:.80}]")
