"""Exports: of one moment, with bounded memory, sealed; whatever else comes as one is one line of error."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facereg.errors import FaceregError, GalleryError
from facereg.gallery import Gallery, Source, exported_space
from facereg.gallery.exports import read_export
from facereg.gallery.seals import Sealer
from facereg.testing.pictures import vectors

DIM = 16
KEY = b"sixteen bytes or more"
Columns = dict[str, Any]


def source(number: int) -> Source:
    return Source(f"folder/{number}.jpg", f"{number:064x}")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return export(tmp_path, tmp_path / "team.npz")


def export(folder: Path, file: Path, *, key: bytes | None = None) -> Path:
    with Gallery.open(folder / "team", space="a", create=True, key=key) as gallery:
        for number, name in enumerate(("Ada", "Bob Núñez", "علی‌رضا")):
            own = [source(3 * number + n + 1) for n in range(3)]
            gallery.enroll(name, vectors(3, DIM, "a", seed=number), own)
        gallery.export(file)
    return file


def imported(file: Path, folder: Path, *, unsealed: bool = False, key: bytes | None = None) -> object:
    """Return what a new gallery holds after importing; nothing of it stays."""
    path = folder / "imported"
    try:
        with Gallery.open(path, space="a", create=True, key=key) as gallery:
            gallery.import_(file, unsealed=unsealed)
            names, held = gallery.embeddings()
            return names, held.vectors.tolist(), gallery.people(), gallery.pictures()
    finally:
        for left in folder.glob("imported*"):
            left.unlink()


def rows(file: Path) -> object:
    """Return all that an import would take."""
    with read_export(file, sealer=Sealer(), unsealed=False) as (space, held):
        return space, [(row.name, row.vector.tolist(), row.source, row.created) for row in held]


def columns(file: Path) -> Columns:
    with np.load(file) as held:
        return dict(held)


def test_an_export_is_read_by_numpy_and_sealed(exported: Path) -> None:
    held = columns(exported)
    assert set(held) == {"names", "vectors", "sources", "sha256", "created", "space", "key", "seal"}
    assert held["names"].tolist() == ["Ada"] * 3 + ["Bob Núñez"] * 3 + ["علی‌رضا"] * 3
    assert np.array_equal(held["vectors"][3:6], vectors(3, DIM, "a", seed=1).vectors)
    assert held["sources"][0] == "folder/1.jpg"
    assert (str(held["space"]), str(held["key"]), len(str(held["seal"]))) == ("a", "", 64)


CHANGES: dict[str, Callable[[Columns], Columns]] = {
    "names exchanged": lambda held: held | {"names": held["names"][::-1]},
    "a name changed": lambda held: held | {"names": np.where(held["names"] == "Ada", "Eve", held["names"])},
    "vectors exchanged": lambda held: held | {"vectors": held["vectors"][::-1]},
    "one bit of a vector": lambda held: held | {"vectors": np.nextafter(held["vectors"], np.float32(0))},
    "a row less": lambda held: {key: value[:-1] if value.ndim else value for key, value in held.items()},
    "a row twice": lambda held: {key: value[[0, *range(9)]] if value.ndim else value for key, value in held.items()},
    "another space": lambda held: held | {"space": np.array("a ")},
    "another time": lambda held: held | {"created": np.full(9, "2020-01-01T00:00:00+00:00")},
    "another source": lambda held: held | {"sources": np.roll(held["sources"], 1)},
    "another seal": lambda held: held | {"seal": np.array("0" * 64)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_export_that_was_altered_is_refused_and_adds_nothing(
    exported: Path, tmp_path: Path, change: Callable[[Columns], Columns]
) -> None:
    np.savez(tmp_path / "changed.npz", **change(columns(exported)))
    with Gallery.open(tmp_path / "new", space="a", create=True) as gallery:
        with pytest.raises(FaceregError, match="its seal is not that of what it holds|embeddings of 'a '"):
            gallery.import_(tmp_path / "changed.npz")
        assert len(gallery) == 0
        assert gallery.check() == []


SHAPES: dict[str, Columns] = {
    "names of objects": {"names": np.array([{}] * 9, object)},
    "names of bytes": {"names": np.array([b"Ada"] * 9)},
    "names of numbers": {"names": np.arange(9)},
    "names of two dimensions": {"names": np.full((9, 2), "Ada")},
    "names of none": {"names": np.array("Ada")},
    "names too long": {"names": np.array(["A" * 201] * 9)},
    "names of nothing": {"names": np.array([""] * 9)},
    "names of two lines": {"names": np.array(["Ada\nBob"] * 9)},
    "names with a direction mark": {"names": np.array(["Ada\u202e"] * 9)},
    "names that are no text": {"names": np.frombuffer(np.full(9, 0x7FFFFFFF, "<u4").tobytes(), "<U1")},
    "names that are halves": {"names": np.frombuffer(np.full(9, 0xD800, "<u4").tobytes(), "<U1")},
    "vectors of doubles": {"vectors": np.eye(9)},
    "vectors of none": {"vectors": np.float32(1)},
    "vectors of three dimensions": {"vectors": np.ones((9, 1, 1), np.float32)},
    "vectors of no numbers": {"vectors": np.ones((9, 0), np.float32)},
    "vectors of other length": {"vectors": np.full((9, 4), 2, np.float32)},
    "vectors of large numbers": {"vectors": np.full((9, 4), 3e38, np.float32)},
    "vectors of NaN": {"vectors": np.full((9, 4), np.nan, np.float32)},
    "vectors by column": {"vectors": np.asfortranarray(np.eye(9, dtype=np.float32)[:, ::-1])},
    "vectors of objects": {"vectors": np.full((9, 4), None, object)},
    "times that are none": {"created": np.full(9, "\x1b[2Jnow")},
    "sha256 that is none": {"sha256": np.full(9, "abc")},
    "sources too long": {"sources": np.full(9, "a" * 5000)},
    "space of several": {"space": np.full(2, "a")},
    "space of bytes": {"space": np.array(b"a")},
    "space too long": {"space": np.array("a" * 1001)},
    "seal of objects": {"seal": np.array(None, object)},
}


@pytest.mark.parametrize("unsealed", [False, True])
@pytest.mark.parametrize("wrong", SHAPES.values(), ids=SHAPES)
def test_columns_of_another_kind_are_one_line(exported: Path, tmp_path: Path, wrong: Columns, unsealed: bool) -> None:
    held = columns(exported) | wrong
    if unsealed:
        del held["key"]
        held.pop("seal") if "seal" not in wrong else None
    np.savez(tmp_path / "changed.npz", **held)
    with pytest.raises(GalleryError, match="changed.npz: ") as caught:
        exported_space(tmp_path / "changed.npz", unsealed=unsealed)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def member(header: bytes, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


HEADERS = {
    "huge": b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 128)}\n",
    "negative": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-9, 16)}\n",
    "no numbers": b"{'descr': '<f4', 'fortran_order': False, 'shape': ('9', 16)}\n",
    "deep": b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"(" * 900 + b")" * 900 + b"}\n",
    "code": b"__import__('os').system('true')\n",
    "void": b"{'descr': '|V0', 'fortran_order': False, 'shape': (9, 16)}\n",
    "fields": b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (9, 16)}\n",
    "empty": b"",
    "long": b" " * 20_000,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_lies_is_one_line(exported: Path, tmp_path: Path, header: bytes) -> None:
    changed = tmp_path / "changed.npz"
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, member(header) if name == "vectors.npy" else old.read(name))
    with pytest.raises(GalleryError, match=r"changed.npz: expected an export of a gallery \(") as caught:
        exported_space(changed)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_changed_are_one_line_or_nothing(exported: Path, tmp_path: Path) -> None:
    expected, rng, path = rows(exported), np.random.default_rng(0), tmp_path / "changed.npz"
    before = exported.read_bytes()
    raw = io.BytesIO()
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(raw, "w") as new:  # not packed: changes reach the arrays
        for name in old.namelist():
            new.writestr(name, old.read(name))
    for number in range(1000):
        content = bytearray(before if number % 2 else raw.getvalue())
        start, length = int(rng.integers(len(content))), int(rng.choice([1, 1, 4, 40]))
        content[start : start + length] = rng.bytes(length)
        path.write_bytes(mended(bytes(content)) if number % 4 == 0 else content)
        said = ""
        try:
            found = rows(path)
        except FaceregError as error:
            said = str(error)
        assert "\n" not in said
        assert said or found == expected, number


def mended(content: bytes) -> bytes:
    """Write zip's own checksums anew over what was changed, as somebody would who means it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            for info in old.infolist():
                start = info.header_offset + 30 + len(info.filename) + len(info.extra)
                info.CRC = zlib.crc32(content[start : start + info.file_size])
            made = io.BytesIO()
            with zipfile.ZipFile(made, "w") as new:
                for info in old.infolist():
                    new.writestr(info.filename, old.read(info))
            return made.getvalue()
    except Exception:  # beyond mending: as it is
        return content


def test_an_export_without_a_seal_is_taken_when_asked(exported: Path, tmp_path: Path) -> None:
    held = columns(exported)
    expected = imported(exported, tmp_path)
    del held["seal"], held["key"]
    np.savez_compressed(tmp_path / "old.npz", **held)
    with pytest.raises(GalleryError, match="old.npz: has no seal, as exports of earlier versions; pass --unsealed"):
        imported(tmp_path / "old.npz", tmp_path)
    assert imported(tmp_path / "old.npz", tmp_path, unsealed=True) == expected


def test_an_export_is_sealed_with_the_gallerys_key(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "keyed").mkdir()
    keyed = export(tmp_path / "keyed", tmp_path / "keyed.npz", key=KEY)
    imported(keyed, tmp_path, key=KEY)
    for file, key, words in (
        (keyed, None, "expected a seal made with no key, got one made with a key"),
        (keyed, 2 * KEY, "expected a seal made with the key given, got one made with another key"),
        (exported, KEY, "expected a seal made with the key given, got one made with no key"),
    ):
        with pytest.raises(GalleryError, match=words):
            imported(file, tmp_path, key=key)
    imported(exported, tmp_path, key=KEY, unsealed=True)  # asked for
    with pytest.raises(GalleryError, match="another key"):
        imported(keyed, tmp_path, key=2 * KEY, unsealed=True)


def test_vectors_of_another_length_are_not_taken(exported: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "wide", space="a", create=True) as gallery:
        gallery.enroll("Eve", vectors(1, 64, "a"), [source(1)])
        with pytest.raises(GalleryError, match="wide: expected vectors of 64 numbers as the gallery holds, got 16"):
            gallery.import_(exported)
        assert [person.name for person in gallery.people()] == ["Eve"]


def test_an_export_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    path, stop = tmp_path / "team", threading.Event()
    with Gallery.open(path, space="a", create=True) as gallery:
        gallery.enroll("Ada", vectors(2, DIM, "a"), [source(1), source(2)])

    def write() -> None:
        with Gallery.open(path, space="a") as writer:
            for number in range(1000):
                if stop.is_set():
                    return
                writer.enroll(f"P{number}", vectors(2, DIM, "a", seed=number), [source(1), source(2)])
                if number % 3 == 2:
                    writer.remove(f"P{number - 1}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(8):
            with Gallery.open(path) as gallery:
                gallery.export(tmp_path / f"{number}.npz")
    finally:
        stop.set()
        thread.join()
    for number in range(8):
        assert exported_space(tmp_path / f"{number}.npz") == "a"
        assert columns(tmp_path / f"{number}.npz")["names"].tolist().count("Ada") == 2


MUCH = """
import resource, sys
from facereg.gallery import Gallery, Source
from facereg.gallery.exports import read_export
from facereg.gallery.seals import Sealer
from facereg.testing.pictures import vectors

path, count = sys.argv[1], 5_000
with Gallery.open(path, space="a", create=True) as gallery:
    given = vectors(count, 16, "a")
    own = [Source("x" * (4000 if n == 7 else 10), f"{n:064x}") for n in range(count)]
    gallery.enroll("A" * 200, given, own)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gallery.export(path + ".npz")
with Gallery.open(path + ".copy", space="a", create=True) as gallery:
    gallery.import_(path + ".npz")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_one_long_text_among_many_takes_no_memory(tmp_path: Path) -> None:
    """As columns in memory the sources alone would be 5,000 x 4,000 letters of 4 bytes: 80 MB."""
    words = [sys.executable, "-c", MUCH, str(tmp_path / "team")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30_000  # kB


def test_a_failing_import_by_command_leaves_no_gallery(exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported, tmp_path / "cut.npz")
    (tmp_path / "cut.npz").write_bytes(exported.read_bytes()[:-300])
    with pytest.raises(GalleryError):
        exported_space(tmp_path / "cut.npz")  # reads all of it, before anything is made
