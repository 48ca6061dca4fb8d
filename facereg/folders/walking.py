"""Folders of pictures, walked by one rule: every entry is a picture, or left out with a reason."""

from __future__ import annotations

import errno
import mimetypes
import os
import re
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from facereg.disk.reading import KINDS
from facereg.errors import ImageError
from facereg.folders.left_out import LeftOut
from facereg.images import ENDINGS, SUFFIXES, looks_like_picture

# what systems keep beside pictures, in small letters; names that begin with a dot are theirs too
SYSTEM_NAMES = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "__macosx", "network trash folder"),
        *("temporary items", "$recycle.bin", "recycler", "system volume information", "found.000", "lost+found"),
        *("@eadir", "@tmp", "@__thumb", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "__pycache__"),
    }
)
RAW_ENDINGS = frozenset({".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"})
# what programs keep in the place of a file that is not here: iCloud's `.1.jpg.icloud`, Nextcloud's, ownCloud's
PLACEHOLDER_ENDINGS = frozenset({".icloud", ".nextcloud", ".owncloud"})
PARTIAL_ENDINGS = frozenset({".crdownload", ".download", ".part", ".partial", ".opdownload"})  # browsers', meanwhile
LOOKED_THROUGH = 10_000  # entries of a folder left out that are looked at for pictures
PART = 1_024  # entries given at once where they are streamed


@dataclass(slots=True)
class Found:
    """What paths and folders hold: every entry is in one of the three.

    Args:
        pictures: files to be read, in order of name within each folder.
        skipped: entries that are no pictures, or not meant to be read.
        failed: entries that ought to be readable, and are not.
    """

    pictures: list[Path] = field(default_factory=list)
    skipped: list[LeftOut] = field(default_factory=list)
    failed: list[LeftOut] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.pictures) + len(self.skipped) + len(self.failed)

    def add(self, other: Found) -> None:
        """Take over what was found elsewhere."""
        self.pictures += other.pictures
        self.skipped += other.skipped
        self.failed += other.failed


def find_pictures(paths: Iterable[str | Path]) -> Found:
    """Return the pictures among files and in folders, with all that lies below, and what is left out.

    A file that is named is taken for a picture: whoever reads it says what is wrong with it. In folders, pictures are
    told by their endings, and by their first bytes where there is no ending. Links to folders are followed, each
    folder is walked once; pipes, sockets and devices are never opened. A folder without a picture has failed.
    """
    found = Found()
    for path in map(Path, paths):
        inside = Found()
        for part in _walk(path):
            inside.add(part)
        inside.pictures.sort()
        for left_out in (inside.skipped, inside.failed):
            left_out.sort(key=lambda item: item.path)
        found.add(inside)
    return found


def stream_pictures(paths: Iterable[str | Path]) -> Iterator[Found]:
    """Yield what `find_pictures` returns, in parts of at most PART entries: as they are found, none of them kept."""
    for path in map(Path, paths):
        yield from _walk(path)


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the picture files named, and those in the folders named, in order of name.

    `find_pictures` says what was left out, too.

    Raises:
        ImageError: if a folder that was named cannot be read or holds no picture.
    """
    named = [Path(path) for path in paths]
    found = find_pictures(named)
    for item in found.failed:
        if item.path in named:
            raise ImageError(item.path, item.reason)
    return found.pictures


def sort_entry(path: Path) -> tuple[str, str]:
    """Return what an entry of a folder is, and why it is left out where it is.

    Returns:
        `picture`, `folder`, `skipped` or `failed`, or `system` for what systems keep; and the reason.
    """
    if _stands_for_picture(path):  # hidden or not
        return "failed", "a placeholder of a picture that lies in a cloud; download it first"
    if is_system_name(path.name):
        return "system", "a hidden or system entry"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        broken = isinstance(error, FileNotFoundError) and path.is_symlink()
        return "failed", "a link to what is not there; mend or remove it" if broken else _unreadable(error)
    if stat.S_ISDIR(mode):
        return "folder", ""
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in KINDS if is_kind(mode)), "something else")
        return "skipped", f"expected a picture file, got {kind}; it is not opened"
    reason = _no_picture(path)
    return ("skipped", reason) if reason else ("picture", "")


def is_system_name(name: str) -> bool:
    """Tell the entries that are hidden, kept by a system or an editor's copies: no pictures that somebody put there."""
    return name.startswith(".") or name.endswith("~") or name.lower() in SYSTEM_NAMES


def left_out_system(path: Path) -> LeftOut:
    """Return a hidden or system entry as left out: worth a line where it is or holds a picture."""
    if holds_pictures(path):
        return LeftOut(path, "a hidden or system entry, with a picture in it; rename it if it is to be read")
    return LeftOut(path, "a hidden or system entry", minor=True)


def holds_pictures(path: Path) -> bool:
    """Tell whether a file is a picture by its ending, or a folder holds one somewhere among its first entries."""
    looked, stack = 0, [path]
    while stack and looked < LOOKED_THROUGH:
        here = stack.pop()
        looked += 1
        if here.suffix.lower() in SUFFIXES and os.path.isfile(here):
            # a Mac's `._1.jpg` holds the attributes of a file of 1.jpg, no pixels
            if not here.name.startswith("._"):
                return True
        elif os.path.isdir(here) and not os.path.islink(here):
            stack += _listed(here)
    return False


class Entered:
    """The folders entered below one, so that links lead into each once, and never to one above."""

    def __init__(self, root: Path) -> None:
        self._above = {_identity(folder) for folder in Path(os.path.realpath(root)).parents}
        self._entered: dict[tuple[int, int], Path] = {}

    def enter(self, folder: Path) -> tuple[list[Path], LeftOut | None, LeftOut | None]:
        """Return the entries of a folder in order of name; none where it is to be skipped, or failed, with the reason.

        A folder that can be read and is empty is skipped.
        """
        try:
            identity, entries = _identity(folder), [folder / name for name in sorted(os.listdir(folder))]
        except OSError as error:
            return [], None, LeftOut(folder, _unreadable(error))
        first = self._entered.setdefault(identity, folder)
        if identity in self._above:
            return [], LeftOut(folder, "a link to a folder above, which is not followed"), None
        if first != folder:
            return [], LeftOut(folder, f"the same folder as {first}, whose pictures are taken there"), None
        return entries, None if entries else LeftOut(folder, "expected pictures, got an empty folder"), None


def _walk(named: Path) -> Iterator[Found]:
    """Yield a file that was named, or what a folder and all below it hold, in parts."""
    try:
        is_folder = stat.S_ISDIR(named.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:
        yield Found(failed=[LeftOut(named, _unreadable(error))])
        return
    if not is_folder:
        yield Found([named])
        return
    held, unread = False, False
    for part in _Walk(named):
        held = held or bool(part.pictures)
        unread = unread or any(item.path == named for item in part.failed)
        yield part
    if not held and not unread:
        yield Found(failed=[LeftOut(named, f"expected pictures in this folder, found none ({_endings()})")])


class _Walk:
    """A folder and all below it, in parts of at most PART entries."""

    def __init__(self, root: Path) -> None:
        self._root, self._found, self._entered = root, Found(), Entered(root)
        self._folders = deque([root])
        self._links: deque[Path] = deque()  # to folders: after the real ones, which so keep their own names

    def __iter__(self) -> Iterator[Found]:
        while self._folders or self._links:
            folder = self._folders.popleft() if self._folders else self._links.popleft()
            entries, skipped, failed = self._entered.enter(folder)
            self._found.skipped += [skipped] if skipped and folder != self._root else []
            self._found.failed += [failed] if failed else []
            for path in entries:
                self._sort(path)
                if len(self._found) >= PART:
                    yield self._given()
        yield self._given()

    def _given(self) -> Found:
        part, self._found = self._found, Found()
        return part

    def _sort(self, path: Path) -> None:
        kind, reason = sort_entry(path)
        if kind == "picture":
            self._found.pictures.append(path)
        elif kind == "folder":
            (self._links if os.path.islink(path) else self._folders).append(path)
        elif kind == "system":
            self._found.skipped.append(left_out_system(path))
        else:
            (self._found.failed if kind == "failed" else self._found.skipped).append(LeftOut(path, reason))


def _stands_for_picture(path: Path) -> bool:
    """Tell by the name what stands for a picture that a program keeps elsewhere."""
    return path.suffix.lower() in PLACEHOLDER_ENDINGS and Path(path.stem).suffix.lower() in SUFFIXES | RAW_ENDINGS


def _no_picture(path: Path) -> str:
    """Return why a regular file is no picture; nothing where it is taken for one."""
    ending = path.suffix.lower()
    if ending in ENDINGS["HEIF"] and find_spec("pillow_heif") is None:
        return "HEIC needs another package to be read; install it: pip install pillow-heif"
    if ending in SUFFIXES:
        return ""
    if ending in RAW_ENDINGS:
        return "a camera's raw file; develop it to JPEG first"
    if (mimetypes.guess_type(path.name)[0] or "").startswith("video/"):
        return "a video; give it to 'facereg identify' by itself"
    if ending in PARTIAL_ENDINGS:
        return f"a download that has not ended, by its ending {ending}; fetch it again"
    if not re.fullmatch(r"\.(?!\d+$)[0-9a-z]{1,5}", ending):  # no ending, or a dot within the name, as of a time
        return "" if looks_like_picture(path) else "expected a picture, got a file of another kind, without an ending"
    if looks_like_picture(path):
        return f"a picture by what it holds, but its name ends in {ending}; rename it if it is to be read"
    return f"expected a picture, got a file that ends in {ending}; pictures are read that end in {_endings()}"


def _listed(folder: Path) -> Iterator[Path]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    yield from (folder / name for name in names)


def _identity(folder: Path) -> tuple[int, int]:
    held = folder.stat()
    return held.st_dev, held.st_ino


def _endings() -> str:
    return "jpg, png, webp, tif and others"


def _unreadable(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return "its path is longer than the system takes (4,096 bytes); move it up"
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself; mend or remove it"
    return f"cannot be read ({error.strerror}); change its rights"
