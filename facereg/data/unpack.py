"""Archives unpacked member by member: nothing lands outside the folder asked for, and a folder is whole or not there.

Whatever Python's own readers would do with a member, here each becomes a plain file or a folder, or is refused: no
link is ever made, so that no later member can be led out of the folder by one.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from facereg.data.writing import folder_in_one_piece
from facereg.disk.paths import inside
from facereg.disk.reading import open_file
from facereg.errors import ContractError, DatasetError
from facereg.names import shown

BLOCK = 1 << 20  # bytes copied at a time
MAX_HEADER = 64 << 20  # bytes that an archive's reader may ask for at once: names and attributes, never a file
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second of an empty one
ZIP_END = struct.Struct("<4s4H2LH")
PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
DAMAGED = (zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile, OSError)  # what decompressors say of bad bytes
PARSING = (  # what zipfile and tarfile raise on bytes that they do not understand, not all of it on purpose
    zipfile.BadZipFile,
    tarfile.TarError,
    RuntimeError,  # encrypted, or compressed in an unknown way
    ValueError,
    struct.error,
    LookupError,
    OverflowError,
    MemoryError,
    *DAMAGED[:3],
)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold.

    Args:
        members: files and folders.
        bytes: of all files together.
        ratio: bytes unpacked for each byte of the archive, over a first 256 MiB; pictures come to about 1, text to 10.
    """

    members: int = 2_000_000
    bytes: int = 512 << 30
    ratio: int = 200

    def of(self, archive: Path) -> int:
        """Return how many bytes that archive may come to."""
        return min(self.bytes, (256 << 20) + self.ratio * archive.stat().st_size)


LIMITS = ArchiveLimits()


def unpack(archive: Path, folder: Path, *, limits: ArchiveLimits = LIMITS) -> int:
    """Unpack a zip or tar file (plain, gz, bz2, xz) and return how many files it held.

    A link within a tar becomes a copy of the file of the archive that it names.

    Args:
        folder: new or empty.
        limits: of members and bytes.
    Raises:
        DatasetError: if the file is no such archive or is damaged; if a member would land outside, comes twice, is a
            device or a link to something else than a file of the archive; if it is over the limits, or needs more
            space than is free; if the folder is not empty.
    """
    with open_file(archive, expected="a zip or tar file") as stream:
        try:
            if stream.read(4) in ZIP:
                with zipfile.ZipFile(cast("IO[bytes]", _Bounded(stream, archive, archive.stat().st_size))) as held:
                    _require_whole(held, stream)
                    return _unpack(archive, folder, _zip_members(held, archive), limits)
            whole = _Bounded(_unpacked(stream), archive, limits.of(archive))
            with _tar(whole, archive) as tar:
                return _unpack(archive, folder, _tar_members(tar, archive, whole), limits)
        except PARSING as error:
            reason = shown(str(error))[:120] or type(error).__name__
            raise DatasetError(f"{archive}: cannot be unpacked ({reason}); fetch it anew") from error


class _Member(Protocol):
    """A file or folder of an archive; `open` gives its bytes, None for a folder."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...

    def open(self) -> IO[bytes] | None: ...


@dataclass(frozen=True, slots=True)
class _ZipMember:
    held: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def name(self) -> str:
        return self.info.filename

    @property
    def size(self) -> int:
        return self.info.file_size

    def open(self) -> IO[bytes] | None:
        return None if self.info.is_dir() else self.held.open(self.info)


@dataclass(frozen=True, slots=True)
class _TarMember:
    held: tarfile.TarFile
    info: tarfile.TarInfo
    size: int

    @property
    def name(self) -> str:
        return self.info.name

    def open(self) -> IO[bytes] | None:
        return None if self.info.isdir() else self.held.extractfile(self.info)


def _zip_members(held: zipfile.ZipFile, archive: Path) -> Iterator[_ZipMember]:
    for info in held.infolist():
        if not info.filename or (info.is_dir() and info.file_size):
            raise _refused(archive, info.filename, "holds bytes and has no file's name; fetch the archive anew")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise _refused(archive, info.filename, "is a link; expected files and folders")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, info.filename, "is a device or a pipe; expected files and folders")
        yield _ZipMember(held, info)


def _require_whole(held: zipfile.ZipFile, stream: IO[bytes]) -> None:
    """Refuse a zip whose list of members is not all of it: zipfile reads on past what it does not understand.

    Source: PKWARE's APPNOTE, 4.3.16: the end of central directory record.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - ZIP_END.size - len(held.comment)))
    end = stream.read(ZIP_END.size)
    magic, disk, first_disk, here, count, listed, begins, comment = ZIP_END.unpack(end.ljust(ZIP_END.size, b"\0"))
    ends = size - ZIP_END.size - len(held.comment)
    stream.seek(max(0, ends - 20))
    # numbers too large for it stand in a record of 64 bits, whose place is told just before
    large = (count == 0xFFFF or 0xFFFFFFFF in (listed, begins)) and stream.read(4) == b"PK\x06\x07"
    if magic != ZIP[1] or comment != len(held.comment) or not (large or begins + listed == ends):
        raise zipfile.BadZipFile("the end of the list of members is damaged")
    if here != count or ((disk or first_disk) and not large):
        raise zipfile.BadZipFile("one part of several, or the end of the list of members is damaged")
    if not large and count != len(held.infolist()):
        raise zipfile.BadZipFile(f"{count} members by its end, {len(held.infolist())} in its list")
    if held.infolist() and min(info.header_offset for info in held.infolist()) != 0:
        raise zipfile.BadZipFile("bytes before the first member")


def _tar(whole: _Bounded, archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=cast("IO[bytes]", whole), mode="r:")
    except tarfile.ReadError as error:
        raise DatasetError(
            f"{archive}: expected a zip or tar file, got another or a damaged one ({shown(str(error))[:120]}); "
            "check what it holds, or leave out --unpack"
        ) from error


def _tar_members(held: tarfile.TarFile, archive: Path, whole: _Bounded) -> Iterator[_TarMember]:
    """Yield the members as they come: their sizes are looked at before what follows them is decompressed."""
    sizes: dict[str, int] = {}
    for info in held:
        if not (info.isfile() or info.isdir() or info.issym() or info.islnk()):
            raise _refused(archive, info.name, "is a device or a pipe; expected files and folders")
        size = info.size
        if info.issym() or info.islnk():
            target = _link_target(info)
            if target not in sizes:
                to = _shortened(info.linkname)
                raise _refused(
                    archive, info.name, f"is a link to {to}; expected one to a file before it in the archive"
                )
            size = sizes[target]
        if not info.isdir():
            sizes[_plain(info.name)] = size
        yield _TarMember(held, info, size)
    # tarfile takes a damaged header for the end; the checksum over all of a compressed file comes last
    whole.seek(held.offset)
    if whole.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("a damaged header, or the end is missing")
    while whole.read(BLOCK):
        pass


def _link_target(info: tarfile.TarInfo) -> str:
    return _plain(f"{info.name.rpartition('/')[0]}/{info.linkname}" if info.issym() else info.linkname)


def _plain(name: str) -> str:
    """Return a name without `.` and `..`; one that leads out of the archive keeps its `..`, and so names no member."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _unpack(archive: Path, folder: Path, members: Iterator[_Member], limits: ArchiveLimits) -> int:
    with folder_in_one_piece(folder) as made:
        files, total, most = 0, 0, limits.of(archive)
        free = shutil.disk_usage(made).free
        for number, member in enumerate(members, 1):
            total += member.size
            if number > limits.members or total > most:
                raise DatasetError(
                    f"{archive}: expected at most {limits.members:,} members and {most:,} bytes unpacked, got more"
                )
            if total > free:
                raise DatasetError(f"{archive}: needs {total:,} bytes unpacked, {free:,} are free; make space")
            files += _write(archive, made, member)
        return files


def _write(archive: Path, made: Path, member: _Member) -> int:
    """Write one member; return 1 for a file, 0 for a folder."""
    if _plain(member.name) == "" and not member.size:  # './', which tar writes first
        return 0
    try:
        path = inside(made, member.name)
    except ContractError as error:
        raise DatasetError(f"{archive}: cannot be unpacked: member {error}") from error
    try:
        content = member.open()
    except DAMAGED as error:
        raise tarfile.ReadError(str(error)) from error
    try:
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with content, path.open("xb") as target:
            left = member.size
            while block := _read(content, min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise _refused(archive, member.name, "is longer than it says")
                target.write(block)
    except (FileExistsError, NotADirectoryError) as error:
        raise _refused(archive, member.name, "comes twice, or is both a file and a folder") from error
    if left:
        raise _refused(archive, member.name, f"ends {left:,} bytes early; fetch the archive anew")
    return 1


def _read(content: IO[bytes], size: int) -> bytes:
    """Return bytes of a member; a fault of theirs is not taken for one of the disk written to."""
    try:
        return content.read(size)
    except DAMAGED as error:
        raise tarfile.ReadError(str(error)) from error


def _refused(archive: Path, name: str, reason: str) -> DatasetError:
    return DatasetError(f"{archive}: cannot be unpacked: member {_shortened(name)} {reason}")


def _shortened(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream, decompressed where its first bytes say that it is compressed."""
    stream.seek(0)
    head = stream.read(6)
    stream.seek(0)
    for magic, opener in PACKED:
        if head.startswith(magic):
            return cast("IO[bytes]", opener(stream))
    return stream


class _Bounded:
    """A stream that gives no more at once than a header needs, and ends where the limit is."""

    mode = "rb"

    def __init__(self, stream: IO[bytes], archive: Path, limit: int) -> None:
        self._stream, self._archive, self._limit = stream, archive, limit
        self.name = str(archive)

    def read(self, size: int = -1) -> bytes:
        try:
            content = self._stream.read(size if 0 <= size <= MAX_HEADER else MAX_HEADER + 1)
        except DAMAGED as error:
            raise tarfile.ReadError(str(error)) from error
        if len(content) > MAX_HEADER:
            raise tarfile.ReadError(f"a header or a list of members of over {MAX_HEADER:,} bytes")
        self._require_within(self._stream.tell())
        return content

    def seek(self, place: int, whence: int = 0) -> int:
        if whence == 0:
            self._require_within(place)  # before it is decompressed only to be passed over
        try:
            return self._stream.seek(place, whence)
        except DAMAGED as error:
            raise tarfile.ReadError(str(error)) from error

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the stream to whoever opened it."""

    def _require_within(self, place: int) -> None:
        if place > self._limit:
            raise DatasetError(f"{self._archive}: expected at most {self._limit:,} bytes unpacked, got more")
