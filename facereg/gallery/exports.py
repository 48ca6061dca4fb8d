"""A gallery as one .npz file: written and read block by block, so that memory does not grow with it, under one seal."""

from __future__ import annotations

import hmac
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facereg.disk.reading import open_file
from facereg.disk.replacing import whole_file, writing
from facereg.errors import ContractError, GalleryError, words_of
from facereg.gallery.files import companions
from facereg.gallery.rows import JOINED, LONGEST_SOURCE, Source, read_rows
from facereg.gallery.seals import Sealer, as_bytes
from facereg.names import LONGEST_NAME, clean_name
from facereg.types import Embeddings, FloatArray

if TYPE_CHECKING:
    from facereg.gallery.contract import Store

# columns of text by their key: the column of the gallery, the longest one taken in characters
TEXTS = {
    "names": ("name", LONGEST_NAME),
    "sources": ("source", LONGEST_SOURCE),
    "sha256": ("sha256", 64),
    "created": ("embeddings.created", 40),
}
BLOCK = 1 << 20  # bytes of a column held at a time
LONGEST_HEADER = 4096  # bytes that say what a column is
ALTERED = "its seal is not that of what it holds: it was altered; export the gallery again"
LARGEST_DIM = 65_536  # numbers of a vector


class Exported(NamedTuple):
    """One embedding of an export; `vector` is (D,) float32."""

    name: str
    vector: FloatArray
    source: Source
    created: str


def export_gallery(gallery: Store, path: str | Path) -> int:
    """Write everybody to one .npz file (names, vectors, sources, sha256, created, space, key, seal), its owner's alone.

    With a key vectors are encrypted, (N, 4 D + 28) uint8; else they are (N, D) float32.

    All of it is of one moment, whatever others write meanwhile.

    Returns:
        how many vectors.
    Raises:
        GalleryError: if the file cannot be written, or something was altered in the gallery.
    """
    sealer = gallery.sealer
    own = gallery.address.path
    if not gallery.address.scheme and Path(os.path.realpath(path)) in (Path(os.path.realpath(own)), *companions(own)):
        raise GalleryError(f"{path}: expected another file than the gallery itself; name a new one")
    with gallery.reading() as (connection, state):
        longest, digest = dict.fromkeys(TEXTS, 1), sealer.running()
        digest.update(as_bytes(state.space, sealer.fingerprint))
        for row in gallery.rows():
            digest.update(as_bytes(row.name, row.vector, row.source, row.sha256, row.created))
            for key, text in zip(TEXTS, (row.name, row.source, row.sha256, row.created), strict=True):
                longest[key] = max(longest[key], len(text))

        def column(name: str) -> Iterator[Any]:
            found = connection.execute(f"SELECT {name} FROM {JOINED} ORDER BY name, embeddings.id")
            return (cell for (cell,) in found)

        def vectors() -> Iterator[Any]:
            for number, row in enumerate(read_rows(connection, state, sealer)):
                stored = sealer.encrypt(row.vector, "export", digest.hexdigest(), number)
                yield np.frombuffer(stored, kind)

        with (
            writing(path, GalleryError),
            whole_file(Path(path), private=True) as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for key, (name, _) in TEXTS.items():
                _write(archive, key, np.dtype(f"<U{longest[key]}"), (state.embeddings,), column(name))
            kind: np.dtype[Any] = np.dtype(np.uint8 if sealer.overhead else "<f4")
            width = 4 * state.dim + sealer.overhead if sealer.overhead else state.dim
            _write(archive, "vectors", kind, (state.embeddings, width), vectors())
            for key, text in (("space", state.space), ("key", sealer.fingerprint), ("seal", digest.hexdigest())):
                _write(archive, key, np.dtype(f"<U{max(len(text), 1)}"), (), [text])
    return state.embeddings


def _write(
    archive: zipfile.ZipFile, key: str, dtype: np.dtype[Any], shape: tuple[int, ...], cells: Iterable[Any]
) -> None:
    """Write one array of the archive from its cells, a block at a time."""
    held = max(1, BLOCK // max(1, dtype.itemsize * int(np.prod(shape[1:]))))
    with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_2_0(
            stream, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        block: list[Any] = []
        for cell in cells:
            block.append(cell)
            if len(block) == held:
                stream.write(np.array(block, dtype).tobytes())
                block = []
        stream.write(np.array(block, dtype).tobytes())


def exported_space(path: str | Path, *, unsealed: bool = False, key: bytes | None = None) -> str:
    """Return the embedder's space of a file that `Gallery.export` wrote, after reading all of it.

    Args:
        unsealed, key: as `Gallery.import_` and `Gallery.open` take them.
    Raises:
        GalleryError: if the file is no export, or was altered.
    """
    with read_export(path, sealer=Sealer.of(key), unsealed=unsealed) as (space, rows):
        for _ in rows:
            pass
    return space


@contextmanager
def read_export(path: str | Path, *, sealer: Sealer, unsealed: bool) -> Iterator[tuple[str, Iterator[Exported]]]:
    """Yield the space of an export and its embeddings, which are read as they are asked for.

    Use nothing of it before the last one came: only then it is known that the seal is right.

    Args:
        sealer: with the key that the file should be sealed with, if any.
        unsealed: take a file without a seal, as earlier versions wrote, or one sealed without the key.
    Raises:
        GalleryError: if the file is no export, is damaged, or was altered; now or while it is read.
    """
    with ExitStack() as opened:
        with _guarded(path):
            stream = opened.enter_context(open_file(Path(path), expected="an export of a gallery", error=GalleryError))
            archive = opened.enter_context(zipfile.ZipFile(stream))
            space, key, seal = (_text(archive, name) for name in ("space", "key", "seal"))
            _require_seal(key, seal, sealer, unsealed)
        yield space, _rows(path, archive, space, sealer if key == sealer.fingerprint else Sealer(), seal)


@contextmanager
def _guarded(path: str | Path) -> Iterator[None]:
    """Name the file in what is wrong with it, whatever zipfile, zlib and numpy raise: some twenty kinds."""
    try:
        yield
    except GalleryError as error:
        raise GalleryError(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}") from error
    except Exception as error:
        raise GalleryError(
            f"{path}: expected an export of a gallery ({words_of(error, 200)}); check the path"
        ) from error


def _require_seal(key: str, seal: str, sealer: Sealer, unsealed: bool) -> None:
    if unsealed and (not seal or not key):
        return
    if not seal:
        raise GalleryError("has no seal, as exports of earlier versions; pass --unsealed if you trust it")
    if key != sealer.fingerprint:
        got = "no key" if not key else "a key" if not sealer.fingerprint else "another key"
        raise GalleryError(
            f"expected a seal made with {'the key given' if sealer.fingerprint else 'no key'}, got one made "
            f"with {got}; give the key it was exported with{'' if key else ', or pass --unsealed if you trust it'}"
        )


def _rows(path: str | Path, archive: zipfile.ZipFile, space: str, sealer: Sealer, seal: str) -> Iterator[Exported]:
    digest = sealer.running()
    digest.update(as_bytes(space, sealer.fingerprint))
    with _guarded(path):
        columns = {key: _Column(archive, key, longest=longest) for key, (_, longest) in TEXTS.items()}
        vectors = _Column(archive, "vectors", longest=0)
        if len({column.count for column in (*columns.values(), vectors)}) != 1:
            raise GalleryError("expected as many names, sources, ... as vectors; export the gallery again")
        if vectors.dtype == np.uint8 and not sealer.overhead:
            raise GalleryError("its vectors are encrypted; give the key that it was exported with")
        texts = zip(*(column.cells() for column in columns.values()), strict=True)
        cells = zip(vectors.cells(), texts, strict=True)
        for number, (stored, (name, source, sha256, created)) in enumerate(cells):
            vector = stored
            if vectors.dtype == np.uint8:
                vector = np.frombuffer(sealer.decrypt(stored.tobytes(), "export", seal, number), "<f4")
                if not len(vector):
                    raise GalleryError(ALTERED)
            digest.update(as_bytes(name, vector.tobytes(), source, sha256, created))
            with np.errstate(over="ignore"):  # of numbers that are none
                Embeddings(vector[None], space)  # says what is wrong with it
            datetime.fromisoformat(created)
            yield Exported(clean_name(name), vector, Source(source, sha256), created)
        if seal and not hmac.compare_digest(seal.encode("ascii", "replace"), digest.hexdigest().encode()):
            raise GalleryError(ALTERED)


class _Column:
    """One array of an archive, read a block at a time."""

    def __init__(self, archive: zipfile.ZipFile, key: str, *, longest: int) -> None:
        """Read what the column says of itself.

        Args:
            longest: text of the longest cell in characters; 0 for vectors.
        """
        member = archive.getinfo(f"{key}.npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ContractError(f"{key} is packed in a way that no export is")
        self._stream = archive.open(member)
        version = np.lib.format.read_magic(self._stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, self.dtype = read(self._stream, max_header_size=LONGEST_HEADER)
        self.shape: tuple[int, ...] = tuple(shape)[1:]
        if longest:
            good = self.dtype.kind == "U" and self.dtype.itemsize <= 4 * max(longest, 1) and len(shape) <= 1
        else:
            numbers = self.dtype.kind == "f" and self.dtype.itemsize == 4
            good = (numbers or self.dtype == np.uint8) and len(shape) == 2 and shape[1] <= LARGEST_DIM
        self._size = self.dtype.itemsize * int(np.prod(self.shape))
        self.count = shape[0] if shape else 1
        if not good or fortran or self.count < 0 or (self.count and self._size <= 0):
            raise ContractError(f"{key} has another kind of values, or longer ones, than an export")
        if member.file_size - self._stream.tell() != self.count * self._size:
            raise ContractError(f"{key} has another size than it says")

    def cells(self) -> Iterator[Any]:
        """Yield each cell: text, or an array."""
        held = max(1, BLOCK // max(1, self._size))
        for start in range(0, self.count, held):
            count = min(held, self.count - start)
            block = np.frombuffer(self._stream.read(count * self._size), self.dtype).reshape(count, *self.shape)
            yield from (block.astype(self.dtype.newbyteorder("<")) if self.shape else block.tolist())
        self._stream.read(1)  # its end, where the checksum is compared
        self._stream.close()


def _text(archive: zipfile.ZipFile, key: str) -> str:
    """Return an array that is one text; empty where it is not there, unless it must be."""
    if key != "space" and f"{key}.npy" not in archive.namelist():
        return ""
    [text] = _Column(archive, key, longest=1000).cells()
    return str(text)
