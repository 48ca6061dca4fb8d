"""Bad input: one clear line that names the file and the remedy; the good ones are done; nothing stored is lost."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from facereg.builtin.alignment import FivePointAligner
from facereg.errors import ContractError, ImageError, WeightsError
from facereg.gallery import Gallery, Source
from facereg.images import image_size, read_image, write_image
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.pipeline.composer import Pipeline
from facereg.registry.hooks import ModelSpec, hookimpl
from facereg.registry.installed import Registry
from facereg.roles import Embedder
from facereg.testing.pictures import vectors
from facereg.types import Embeddings, Faces, FloatArray, Image
from tests.calling import Run
from tests.disks import filled, small_disk
from tests.fakes import SIDE, PaintedDetector, PaintedEmbedder, picture
from tests.rights import folder_with

Make = Callable[[Path], object]


def as_written(path: Path, *people: int) -> None:
    """Write painted people without loss, whatever the ending says."""
    write_image(path.with_suffix(".png"), picture(*people))
    path.with_suffix(".png").rename(path)


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Pillow.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def huge(path: Path) -> None:
    """Write a true PNG of 20,000 x 20,000 black pixels of one bit; decoded to RGB it would take 1.2 GB."""
    row = zlib.compressobj()
    packed = b"".join(row.compress(bytes(1 + 2500)) for _ in range(20_000)) + row.flush()
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0), b"IDAT" + packed, b"IEND"]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    )


UNREADABLE: dict[str, tuple[Make, str]] = {
    "truncated": (truncated, "damaged or truncated picture (image file is truncated"),
    "0 bytes": (Path.touch, "expected a picture, got a file of 0 bytes; copy it again"),
    "text": (lambda path: path.write_text("not a picture"), "got a file of another kind; check what it holds"),
    "20,000 x 20,000": (huge, "expected at most 89,000,000 pixels, got"),
    "broken link": (lambda path: path.symlink_to("gone.jpg"), "a link to what is not there; mend or remove it"),
}
NOT_ENROLLED: dict[str, tuple[Make, str]] = UNREADABLE | {
    "folder": (Path.mkdir, "a folder in a person's folder; move its pictures up, or make it a person of its own"),
    "no face": (lambda path: as_written(path), "expected a face, found none; use a larger or sharper picture"),
    "many faces": (lambda path: as_written(path, 1, 2), "expected one face, found 2; crop the picture, or pass --"),
    "1 x 1": (lambda path: Pillow.new("RGB", (1, 1)).save(path), "expected a face, found none; use a larger"),
}


@pytest.mark.parametrize("kind", NOT_ENROLLED)
def test_a_bad_picture_is_skipped_with_one_line_and_the_good_one_is_enrolled(
    kind: str, painted: list[str], run: Run, tmp_path: Path
) -> None:
    make, words = NOT_ENROLLED[kind]
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    bad, gallery = tmp_path / "people" / "Ada" / "bad.jpg", tmp_path / "team.gallery"
    as_written(bad.with_name("good.jpg"), 1)
    make(bad)
    called = run("enroll", tmp_path / "people", "--gallery", gallery, "--json", *painted)
    assert called.status == (1 if kind in UNREADABLE else 0)
    assert called.document["enrolled"] == 1
    where, other = ("failed", "skipped") if kind in UNREADABLE else ("skipped", "failed")
    assert called.document[other] == []
    [item] = called.document[where]  # type: ignore[misc]
    assert item["image"] == str(bad)  # type: ignore[has-type]
    assert words in item["reason"]  # type: ignore[has-type]
    line, total = called.err.splitlines()
    said = "" if kind in UNREADABLE else "skipped "
    assert line == f"facereg: {said}{bad}: {item['reason']}"  # type: ignore[has-type]
    assert total == f"facereg: 2 entries: 1 done, {'0 skipped, 1' if not said else '1 skipped, 0'} failed"
    with Gallery.open(gallery) as held:
        assert [person.sources for person in held.people()] == [(str(bad.with_name("good.jpg")),)]


def test_where_nothing_could_be_enrolled_the_status_is_1(painted: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    (tmp_path / "people" / "Ada" / "bad.jpg").touch()
    called = run("enroll", tmp_path / "people", "--gallery", tmp_path / "g", "--json", *painted)
    assert (called.status, called.document["enrolled"]) == (1, 0)


@pytest.mark.parametrize("command", ["detect", "embed", "identify"])
def test_in_a_batch_the_good_ones_are_done_and_the_bad_ones_listed(
    command: str, painted: list[str], run: Run, tmp_path: Path
) -> None:
    folder, gallery = tmp_path / "pictures", tmp_path / "team.gallery"
    folder.mkdir()
    for number in range(20):  # more than are worked on together, the good among the bad
        as_written(folder / f"{number:02d}-good.jpg", 1)
    for number, (make, _) in enumerate(made for name, made in UNREADABLE.items() if name != "broken link"):
        make(folder / f"{number:02d}-bad.jpg")
    Gallery.open(gallery, space="painted-colours:1", create=True).close()
    words: dict[str, list[object]] = {
        "detect": [],
        "embed": ["--out", tmp_path / "out.npz"],
        "identify": ["--gallery", gallery, "--threshold", "0.9"],
    }
    stages = painted if command != "detect" else painted[:2]
    called = run(command, folder, *words[command], "--json", *stages)
    assert called.status == 1
    *bad, total = called.err.splitlines()
    assert [line.split("/")[-1][:6] for line in bad] == ["00-bad", "01-bad", "02-bad", "03-bad"]
    assert total == "facereg: 24 entries: 20 done, 0 skipped, 4 failed"
    if command == "embed":
        assert called.document["embeddings"] == 20
    else:
        assert sum("error" not in line for line in called.lines) == 20


@pytest.fixture
def warm(painted: list[str], run: Run, tmp_path: Path) -> None:
    """Let the commands import what they need while everything may be read."""
    as_written(tmp_path / "warm" / "Ada" / "a.jpg", 1)
    assert run("detect", tmp_path / "warm", "--draw", tmp_path / "drawn", *painted[:2]).status == 0
    assert run("enroll", tmp_path / "warm", "--gallery", tmp_path / "warm.gallery", *painted).status == 0


@pytest.mark.usefixtures("warm")
def test_a_picture_without_rights_is_named(painted: list[str], run: Run) -> None:
    with folder_with(0o755) as folder:
        as_written(folder / "a.jpg", 1)
        as_written(folder / "b.jpg", 1)
        (folder / "a.jpg").chmod(0)
        called = run("detect", folder, "--json", *painted[:2])
    assert called.status == 1
    assert called.err.splitlines()[0] == f"facereg: {folder}/a.jpg: no right to read it; change its permissions"
    assert [("error" in line) for line in called.lines] == [True, False]


@pytest.mark.usefixtures("warm")
def test_folders_without_rights_are_named(painted: list[str], run: Run) -> None:
    with folder_with(0o755) as folder:
        (folder / "people" / "Ada").mkdir(parents=True)
        as_written(folder / "people" / "Ada" / "a.jpg", 1)
        folder.chmod(0o555)
        called = run("enroll", folder / "people", "--gallery", folder / "team.gallery", *painted)
        assert (called.status, called.out) == (1, "")
        assert "team.gallery: cannot be opened (Permission denied); check that its folder exists" in called.error
        called = run("detect", folder / "people", "--draw", folder / "drawn", *painted[:2])
        assert called.status == 1
        assert "cannot be written" in called.error
        (folder / "people" / "Ada").chmod(0)
        for words in (
            ["detect", folder / "people" / "Ada", *painted[:2]],
            ["enroll", folder / "people", "--gallery", folder / "g", *painted],
        ):
            called = run(*words)
            assert (called.status, called.out) == (1, "")
            assert f"{folder}/people/Ada: cannot be read (Permission denied); change" in called.error
        (folder / "people" / "Ada").chmod(0o755)


def test_a_disk_that_is_full_while_enrolling_loses_nothing(painted: list[str], run: Run, tmp_path: Path) -> None:
    for name, person in (("Ada", 1), ("Bob", 2)):
        (tmp_path / name / name).mkdir(parents=True)
        as_written(tmp_path / name / name / "1.jpg", person)
    with small_disk(tmp_path / "disk") as disk:
        gallery = disk / "team.gallery"
        assert run("enroll", tmp_path / "Ada", "--gallery", gallery, *painted).status == 0
        with filled(disk):
            called = run("enroll", tmp_path / "Bob", "--gallery", gallery, "--json", *painted)
        assert (called.status, called.out) == (1, "")
        assert called.error.startswith(f"facereg: {gallery}: the disk ")
        assert "make room" in called.error
        assert run("gallery", "check", "--gallery", gallery, "--json").document == {
            "sound": True,
            "people": 1,
            "problems": [],
        }
        assert run("enroll", tmp_path / "Bob", "--gallery", gallery, "--json", *painted).document["enrolled"] == 1


@pytest.fixture
def people(tmp_path: Path) -> Path:
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    as_written(tmp_path / "people" / "Ada" / "1.jpg", 1)
    return tmp_path / "people"


def test_a_gallery_of_another_embedder_is_refused_and_kept(
    people: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    gallery = tmp_path / "team.gallery"
    assert run("enroll", people, "--gallery", gallery, *painted).status == 0
    before = gallery.read_bytes()
    other = ["--detector", "painted", "--embedder", "painted-others"]
    for words in (["enroll", people], ["identify", people, "--threshold", "0.9"]):
        called = run(*words, "--gallery", gallery, *other)
        assert (called.status, called.out) == (1, "")
        assert called.error == (
            f"facereg: {gallery}: holds embeddings of 'painted-colours:1', expected 'painted-others:1'; "
            "enrol the pictures again into another file, or use that embedder"
        )
    assert gallery.read_bytes() == before


def test_a_gallery_that_is_none_is_refused_and_left_alone(
    people: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    gallery = tmp_path / "team.gallery"
    gallery.write_text("a shopping list " * 20)
    listed = (
        ["gallery", "list"],
        ["gallery", "check"],
        ["gallery", "remove", "Ada"],
        ["gallery", "export", tmp_path / "x.npz"],
    )
    for words in (["enroll", people, *painted], ["identify", people, "--threshold", "0.9", *painted], *listed):
        called = run(*words, "--gallery", gallery)
        assert (called.status, called.out) == (1, "")
        assert called.error == f"facereg: {gallery}: this is no gallery but another kind of file; check the path"
    assert gallery.read_text() == "a shopping list " * 20


ARRAYS: dict[str, tuple[object, str]] = {
    "NaN": (np.full((8, 8, 3), np.nan, np.float32), "expected dtype uint8 with values 0..255, got float32; convert"),
    "0 to 1": (np.zeros((8, 8, 3)), "got float64; convert it before the call"),
    "16 bit": (np.zeros((8, 8, 3), np.uint16), "got uint16; convert"),
    "grey": (np.zeros((8, 8), np.uint8), "expected shape (H, W, 3) with H, W >= 1, got (8, 8)"),
    "alpha": (np.zeros((8, 8, 4), np.uint8), "got (8, 8, 4)"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), "got (3, 8, 8)"),
    "empty": (np.zeros((0, 8, 3), np.uint8), "got (0, 8, 3)"),
    "path": ("face.jpg", "got str; open files with facereg.read_image"),
    "None": (None, "got NoneType"),
    "Pillow": (Pillow.new("RGB", (8, 8)), "got Image; open files"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_bad_array_is_named_by_its_place(kind: str) -> None:
    array, words = ARRAYS[kind]
    detector = PaintedDetector()
    with Pipeline(detector, FivePointAligner(), PaintedEmbedder()) as pipeline:
        with pytest.raises(ContractError) as caught:
            pipeline.run([picture(1), array])  # type: ignore[list-item]
        message = str(caught.value)
        assert message.startswith("images[1]: ")
        assert words in message
        assert "\n" not in message
        assert len(pipeline.run([picture(1)])[0].faces) == 1  # and it goes on


class Broken(Embedder):
    """Gives a number that is none, as damaged weights do."""

    crop_size, dim, version = SIDE, 4, "1"

    def __init__(self, value: float) -> None:
        super().__init__(flip=False)
        self.value = value

    def _embed(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> FloatArray:
        return np.full((len(pixels), 4), self.value, np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_vectors_that_are_no_numbers_are_refused(value: float) -> None:
    with Broken(value) as embedder, pytest.raises(ContractError, match="expected finite vectors.*check the weights"):
        embedder.embed(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def test_values_with_nan_are_refused() -> None:
    for make in (
        lambda: Faces(np.array([[0, 0, np.nan, 1]], np.float32), np.ones(1, np.float32)),
        lambda: Faces(np.zeros((1, 4), np.float32), np.array([np.nan], np.float32)),
        lambda: Embeddings(np.array([[np.nan, 1]], np.float32), "a"),
    ):
        with pytest.raises(ContractError, match="expected finite numbers, got NaN or infinity"):
            make()


def test_weights_with_a_wrong_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "facereg_altered" / "weights"
    weights.mkdir(parents=True)
    (weights.parent / "__init__.py").touch()
    (weights / "net.onnx").write_bytes(b"altered")
    monkeypatch.syspath_prepend(tmp_path)
    network = NetworkSpec(
        name="net",
        inputs=(TensorSpec("input", "float32", (None, 3, 112, 112)),),
        outputs=(TensorSpec("embedding", "float32", (None, 4)),),
        package="facereg_altered",
        file="net.onnx",
        sha256="0" * 64,
    )

    class Altered:
        @hookimpl
        def facereg_models(self) -> list[ModelSpec]:
            factory = "facereg_onnx.arcface:OnnxArcFace"
            return [ModelSpec(name="altered", role="embedder", factory=factory, networks=(network,))]

    registry = Registry()
    registry.register(Altered(), name="altered")
    with pytest.raises(WeightsError) as caught:
        network.locate()
    assert str(caught.value).startswith(
        f"{weights / 'net.onnx'}: wrong checksum, expected sha256 000000000000..., got "
    )
    assert str(caught.value).endswith("; reinstall facereg_altered")
    assert "\n" not in str(caught.value)


def test_damaged_weights_of_ones_own_are_named(people: Path, run: Run, tmp_path: Path) -> None:
    from importlib.resources import files

    own = tmp_path / "own"
    own.mkdir()
    for file in ("pnet.onnx", "rnet.onnx", "onet.onnx"):
        content = (Path(str(files("facereg_mtcnn"))) / "weights" / file).read_bytes()
        (own / file).write_bytes(content[: len(content) // 2])
    called = run("detect", people, "--detector", "mtcnn", "--weights", f"detector={own}", "--json")
    assert (called.status, called.out) == (1, "")
    assert f"{own / 'pnet.onnx'}: not a network that ONNX Runtime" in called.error
    assert called.error.endswith(
        "; copy it again, export it again with its weights in the one file, or pass other weights"
    )


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (1, lambda stored: stored),
        (2, lambda stored: stored[:, ::-1]),
        (3, lambda stored: stored[::-1, ::-1]),
        (4, lambda stored: stored[::-1]),
        (5, lambda stored: stored.swapaxes(0, 1)),
        (6, lambda stored: np.rot90(stored, -1)),
        (7, lambda stored: stored[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda stored: np.rot90(stored, 1)),
    ],
)
def test_every_exif_orientation_is_shown_upright(
    orientation: int, shown: Callable[[Image], Image], tmp_path: Path, noise_image: Image
) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation  # EXIF 2.3, table 4: where row 0 and column 0 are
    path = tmp_path / "turned.png"
    Pillow.fromarray(noise_image).save(path, exif=exif)
    expected = shown(noise_image)
    assert np.array_equal(read_image(path), expected)
    assert image_size(path) == (expected.shape[1], expected.shape[0])


GREY = np.arange(256, dtype=np.uint16).reshape(16, 16)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("colours", [1, 3], ids=["grey", "colour"])
def test_16_bits_keep_their_upper_half(ending: str, colours: int, tmp_path: Path) -> None:
    path = tmp_path / f"deep{ending}"
    deep = GREY * 257  # 65535 / 255
    cv2.imwrite(str(path), deep if colours == 1 else np.stack([deep, deep[::-1], deep.T], 2))  # BGR
    expected = [GREY] * 3 if colours == 1 else [GREY.T, GREY[::-1], GREY]
    assert np.array_equal(read_image(path), np.stack(expected, 2).astype(np.uint8))


def test_painted_people_are_found_in_every_kind_of_picture(painted: list[str], run: Run, tmp_path: Path) -> None:
    folder, upright = tmp_path / "kinds", picture(1, 2)
    folder.mkdir()
    exif = Pillow.Exif()
    exif[0x0112] = 8
    whole = Pillow.fromarray(upright)
    Pillow.fromarray(np.ascontiguousarray(np.rot90(upright, -1))).save(folder / "exif.png", exif=exif)
    whole.convert("CMYK").save(folder / "cmyk.jpg", quality=100)
    whole.quantize(8).save(folder / "palette.png")
    whole.convert("RGBA").save(folder / "alpha.webp", lossless=True)
    whole.convert("L").save(folder / "grey.tif")
    cv2.imwrite(str(folder / "deep.png"), upright.astype(np.uint16) * 257)
    called = run("detect", folder, "--json", *painted[:2])
    assert (called.status, called.error) == (0, "facereg: 6 entries: 6 done, 0 skipped, 0 failed")
    assert len(called.lines) == 6
    for line in called.lines:
        assert [face["box"] for face in line["faces"]] == [[0, 0, 111, 111], [112, 0, 223, 111]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm"])
def test_damage_of_any_kind_gives_a_picture_or_one_line(ending: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{ending}"
    write_image(path, rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    sound = path.read_bytes()
    refused = 0
    for trial in range(60):
        altered = bytearray(sound)
        if trial % 3 == 0:
            del altered[int(rng.integers(len(sound))) :]
        else:
            for place in rng.integers(min(len(sound), 400), size=3):  # where headers are
                altered[place] = int(rng.integers(256))
        path.write_bytes(altered)
        try:
            with warnings.catch_warnings(action="ignore"):  # as the command line does
                assert read_image(path).dtype == np.uint8
        except ImageError as error:
            refused += str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused > 10  # every cut alone is 20


def video_of_text(path: Path) -> None:
    path.write_text("no film " * 100)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "expected a video, cannot be read (No such file or directory); check the path"),
        (Path.touch, "expected a video, got a file of 0 bytes; copy it again"),
        (
            video_of_text,
            "expected a video, cannot be opened (Invalid data found when processing input); check it with a player",
        ),
    ],
    ids=["missing", "0 bytes", "text"],
)
@pytest.mark.parametrize("ending", [".mp4", ".avi"])
def test_a_bad_video_gives_one_line(
    make: Make, words: str, ending: str, people: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    video, gallery = tmp_path / f"film{ending}", tmp_path / "team.gallery"
    run("enroll", people, "--gallery", gallery, *painted)
    make(video)
    called = run("identify", video, "--gallery", gallery, "--threshold", "0.9", "--json", *painted)
    assert (called.status, called.out) == (1, "")
    assert called.error == f"facereg: {video}: {words}"


def test_a_reader_that_stops_early_gets_no_complaint() -> None:
    code = "import sys; sys.argv = ['facereg', 'models', '--json']; from facereg.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.close()
        assert writer.stderr.read() == b""


def test_a_gallery_survives_what_could_not_be_enrolled(tmp_path: Path) -> None:
    sources = [Source("a.jpg", "0" * 64), Source("b.jpg", "1" * 64)]
    with Gallery.open(tmp_path / "g", space="a", create=True) as gallery:
        gallery.enroll("Ada", vectors(2, 8, "a"), sources)
        for wrong in (vectors(2, 8, "b"), vectors(3, 8, "a")):
            with pytest.raises(ContractError):
                gallery.enroll("Bob", wrong, sources)
        assert [person.name for person in gallery.people()] == ["Ada"]
        assert gallery.check() == []
