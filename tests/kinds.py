"""A folder with one entry of every troublesome kind."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from facereg.images import write_image
from tests.fakes import picture

DEPTH = 3000


def painted(path: Path, *people: int) -> Path:
    """Write painted people without loss, whatever the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path.with_name("being-made.png"), picture(*people))
    path.with_name("being-made.png").rename(path)
    return path


def saved(path: Path, mode: str = "RGB", **options: Any) -> Path:
    """Write one painted person by Pillow, in the format of the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(picture(1)).convert(mode).save(path, **options)
    return path


def header_of_a_huge_png() -> bytes:
    """Return a PNG that says it has 100,000 x 100,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


# what becomes of each in a folder of pictures
READ = {
    *("plain.jpg", "LOUD.JPG", "old.jfif", "older.jpe", "moving.gif", "new.avif", "film.jp2", "scan.tif", "web.webp"),
    *("no-ending", "print.jpg", "deep.png", "odd-tag.jpg", "caf\udce9.png", "\U0001f600.png", "\x1b[31mred.png"),
    *("two\nlines.png", "link.png", "of.the.year 2020", "sub/inside.png", "linked/inside.png"),
}
SKIPPED = {
    *("notes.txt", "phone.heic", "camera.nef", "cut.mp4", "README", "pipe.jpg", "socket.jpg", "null.jpg", "empty"),
    *(".hidden.jpg", "._plain.jpg", "Thumbs.db", ".DS_Store", "@eaDir", "#recycle", "__MACOSX", ".ipynb_checkpoints"),
    *("$RECYCLE.BIN", "System Volume Information", "lost+found", "backup.jpg~", "again", "loop"),
}
FAILED = {"truncated.jpg", "text.jpg", "zero.jpg", "huge.png", "broken.jpg", "circle.jpg", "deep"}
SAID_ONCE = {"@eaDir", "#recycle", ".ipynb_checkpoints", ".hidden.jpg"}  # system entries with pictures in them


def make_all(folder: Path, outside: Path) -> None:
    """Make one of each kind in a folder; `outside` gets what links lead to."""
    for name in ("plain.jpg", "LOUD.JPG", "old.jfif", "older.jpe"):
        saved(folder / name, format="JPEG", quality=95)
    for name in ("new.avif", "film.jp2", "scan.tif", "web.webp"):
        saved(folder / name)
    frames = [Pillow.fromarray(picture(one)) for one in (1, 2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    for name in ("no-ending", "of.the.year 2020"):
        saved(folder / name, format="PNG")
    saved(folder / "print.jpg", "CMYK", quality=100)
    Pillow.fromarray(picture(1)[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    # ImageWidth as text, and an orientation that must still be read
    tags = struct.pack("<HHI4sHHIHH", 0x0100, 2, 4, b"odd\0", 0x0112, 3, 1, 6, 0)
    saved(folder / "odd-tag.jpg", exif=b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4))
    for name in ("caf\udce9.png", "\U0001f600.png", "\x1b[31mred.png", "two\nlines.png", "sub/inside.png"):
        painted(folder / name, 1)
    painted(outside / "far" / "inside.png", 1)
    painted(outside / "target.png", 1)
    (folder / "link.png").symlink_to(outside / "target.png")
    (folder / "linked").symlink_to(outside / "far")

    (folder / "notes.txt").write_text("text")
    (folder / "README").write_text("text")
    for name in ("phone.heic", "camera.nef", "cut.mp4", "Thumbs.db", ".DS_Store", "._plain.jpg"):
        (folder / name).write_bytes(b"\0" * 100)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as made:
        before = Path.cwd()
        os.chdir(folder)  # a socket's path may have no more than 108 bytes
        made.bind("socket.jpg")
        os.chdir(before)
    (folder / "null.jpg").symlink_to("/dev/null")
    for name in ("empty", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"):
        (folder / name).mkdir()
    for name in (".hidden.jpg", "backup.jpg~", "@eaDir/1.jpg", "#recycle/a/1.jpg", ".ipynb_checkpoints/1-check.png"):
        painted(folder / name, 1)
    (folder / "again").symlink_to("sub")
    (folder / "loop").symlink_to("..")

    whole = (folder / "plain.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "zero.jpg").touch()
    (folder / "huge.png").write_bytes(header_of_a_huge_png())
    (folder / "broken.jpg").symlink_to("gone.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    _deep(folder / "deep")


def _deep(folder: Path) -> None:
    """Make folders in one another, so many that no path leads to the last."""
    before = os.getcwd()
    folder.mkdir()
    os.chdir(folder)
    try:
        for _ in range(DEPTH):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(before)


def remove_deep(folder: Path) -> None:
    """Remove what `_deep` made, which tools that call themselves cannot."""
    before = os.getcwd()
    depth = 0
    os.chdir(folder)
    try:
        with suppress(FileNotFoundError):
            while True:
                os.chdir("d")
                depth += 1
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")
    finally:
        os.chdir(before)
