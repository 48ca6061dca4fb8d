"""Archives made to break out, to fill the disk or to be taken for whole: refused in one line, and nothing is left."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from facereg.data.unpack import ArchiveLimits, unpack
from facereg.errors import DatasetError

PICTURE = bytes(range(256)) * 8


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", content: bytes = b"") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def file(name: str, content: bytes = PICTURE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, content=content), content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind, target), b""


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_long_chains_of_links_lead_nowhere(tmp_path: Path) -> None:
    # the real path of the last link is longer than PATH_MAX, at which a resolver that is not strict gives up
    victim = tmp_path / "victim"
    victim.write_text("before")
    part, steps = "d" * 247, "abcdefghijklmnop"
    members, path = [], ""
    for step in steps:
        members += [(member(f"{path}{part}", tarfile.DIRTYPE), b""), link(f"{path}{step}", part)]
        path += f"{part}/"
    far = "/".join(steps) + "/" + "l" * 254
    members += [
        link(far, "../" * len(steps)),
        link("escape", f"{far}/../.."),
        link("flag", "escape/victim", tarfile.LNKTYPE),
        file("flag", b"overwritten"),
    ]
    archive = tarred(tmp_path / "a.tar", *members)
    with pytest.raises(DatasetError, match="is a link"):
        unpack(archive, tmp_path / "in" / "folder")
    assert victim.read_text() == "before"
    assert names(tmp_path / "in") == []


@pytest.mark.parametrize(
    "members",
    [
        [link("a", "b"), link("b", "a")],
        [link("a", "a")],
        [link("out", "/etc"), file("out/passwd")],
        [link("out", "..", tarfile.LNKTYPE), file("out/x")],
        [link("passwd", "/etc/passwd", tarfile.LNKTYPE)],
        [file("a"), file("a/b")],
        [file("a"), file("./a")],
        [file("C:/a")],
        [file("..\\a")],
        [file("a\x1b[2J")],
        [(member("pipe", tarfile.FIFOTYPE), b"")],
        [file("x" * 300)],
    ],
    ids=[
        "loop",
        "self",
        "link-out",
        "hard-out",
        "hard-file",
        "both",
        "twice",
        "drive",
        "back",
        "escape",
        "pipe",
        "long",
    ],
)
def test_a_tar_that_plays_tricks_is_refused_in_one_printable_line(
    members: list[tuple[tarfile.TarInfo, bytes]], tmp_path: Path
) -> None:
    archive = tarred(tmp_path / "a.tar", file("good"), *members)
    with pytest.raises(DatasetError, match="cannot be unpacked") as refused:
        unpack(archive, tmp_path / "folder")
    assert str(refused.value).isprintable()
    assert names(tmp_path) == ["a.tar"]


def test_a_link_within_a_tar_becomes_a_copy_and_rights_are_plain(tmp_path: Path) -> None:
    run, content = file("p/a.jpg")
    run.mode = 0o4777
    archive = tarred(
        tmp_path / "a.tar",
        (member("./", tarfile.DIRTYPE), b""),
        (run, content),
        link("p/b.jpg", "a.jpg"),
        link("c.jpg", "p/../p/a.jpg", tarfile.LNKTYPE),
        (member("empty", tarfile.DIRTYPE), b""),
    )
    assert unpack(archive, tmp_path / "folder") == 3
    assert names(tmp_path / "folder") == ["c.jpg", "empty", "p", "p/a.jpg", "p/b.jpg"]
    for name in ("p/a.jpg", "p/b.jpg", "c.jpg"):
        path = tmp_path / "folder" / name
        assert path.read_bytes() == PICTURE
        assert not path.is_symlink()
        assert path.stat().st_mode & 0o7111 == 0


def tar_bomb(path: Path) -> None:
    """A file of 64 GiB by its header."""
    info = tarfile.TarInfo("zeros")
    info.size = 64 << 30
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))


def pax_bomb(path: Path) -> None:
    """A header of 256 MiB of names: 300 kB packed."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 256 << 20
    with lzma.open(path, "wb", preset=0) as stream:
        stream.write(info.tobuf())
        for _ in range(256):
            stream.write(bytes(1 << 20))


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as stream:
        for _ in range(600):
            stream.write(bytes(1 << 20))


@pytest.mark.parametrize("bomb", [tar_bomb, pax_bomb, zip_bomb])
def test_a_bomb_is_refused_before_it_fills_disk_or_memory(bomb: Callable[[Path], None], tmp_path: Path) -> None:
    bomb(tmp_path / "bomb")
    assert (tmp_path / "bomb").stat().st_size < 1 << 20
    with pytest.raises(DatasetError, match="got more|of over"):
        unpack(tmp_path / "bomb", tmp_path / "folder")
    assert names(tmp_path) == ["bomb"]


def test_members_and_bytes_have_limits(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", file("a"), file("b"), file("c"))
    for limits in (ArchiveLimits(members=2), ArchiveLimits(bytes=3 * len(PICTURE) - 1)):
        with pytest.raises(DatasetError, match="expected at most"):
            unpack(archive, tmp_path / "folder", limits=limits)
    assert unpack(archive, tmp_path / "folder", limits=ArchiveLimits(members=3)) == 3


@pytest.mark.parametrize("place", [600, 2048 + 600])
def test_a_damaged_tar_is_not_taken_for_a_shorter_one(place: int, tmp_path: Path) -> None:
    whole = bytearray(tarred(tmp_path / "a.tar", file("a"), file("b"), file("c")).read_bytes())
    whole[2048 + 512 + 100] ^= 1  # in the second header
    (tmp_path / "a.tar").write_bytes(whole)
    with pytest.raises(DatasetError, match="damaged header"):
        unpack(tmp_path / "a.tar", tmp_path / "folder")
    (tmp_path / "a.tar").write_bytes(whole[:2560])  # cut between two members
    with pytest.raises(DatasetError, match="end is missing"):
        unpack(tmp_path / "a.tar", tmp_path / "folder")


def test_the_checksum_at_the_end_of_a_compressed_tar_is_looked_at(tmp_path: Path) -> None:
    packed = bytearray(tarred(tmp_path / "a.tar.gz", file("a")).read_bytes())
    packed[-8] ^= 1  # CRC-32
    (tmp_path / "a.tar.gz").write_bytes(packed)
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "folder")


def test_a_tar_that_holds_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x", "y")
    assert unpack(tarred(tmp_path / "a.tar", file("inner.zip", inner.getvalue())), tmp_path / "folder") == 1
    assert names(tmp_path / "folder") == ["inner.zip"]


@pytest.mark.parametrize("name", ["a", "folder"])
def test_a_zip_member_twice_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("folder/x", "1")
        with pytest.warns(UserWarning, match="Duplicate") if name == "a" else io.BytesIO():
            archive.writestr(name, "2")
    with pytest.raises(DatasetError, match="twice"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def zipped() -> bytearray:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("a", "b"):
            archive.writestr(name, PICTURE)
    return bytearray(stream.getvalue())


@pytest.mark.parametrize("comment", [b"", b"of 2024"])
def test_a_zip_is_taken_whole_with_its_comment(comment: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", PICTURE)
        archive.comment = comment
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == 1


@pytest.mark.parametrize(
    ("place", "value"),
    [(-12, 3), (-10, 0x7F), (-14, 1), (-14, 0xFF), (-2, 1)],
    ids=["count", "size", "one", "many", "tail"],
)
def test_a_zip_whose_list_was_changed_is_not_taken_for_a_shorter_one(place: int, value: int, tmp_path: Path) -> None:
    content = zipped()
    content[place] = value
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_with_a_member_taken_from_its_list_is_refused(tmp_path: Path) -> None:
    content = zipped()
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    del content[first:second]
    content[-10] -= second - first  # the size of the list fits
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DatasetError, match="2 members by its end, 1 in its list"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
