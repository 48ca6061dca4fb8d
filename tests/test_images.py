"""Pictures of every kind, good and bad, through the one module that opens files."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from facereg.errors import ImageError
from facereg.folders.walking import find_images
from facereg.images import load_images, read_image, write_image
from facereg.types import Image


def save(path: Path, array: object, **options: object) -> Path:
    Pillow.fromarray(np.asarray(array)).save(path, **options)  # type: ignore[arg-type]
    return path


def test_a_png_comes_back_as_written(tmp_path: Path, noise_image: Image) -> None:
    write_image(tmp_path / "a.png", noise_image)
    assert np.array_equal(read_image(tmp_path / "a.png"), noise_image)


def test_exif_orientation_is_applied(tmp_path: Path, noise_image: Image) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = tmp_path / "turned.png"
    Pillow.fromarray(noise_image).save(path, exif=exif)
    assert np.array_equal(read_image(path), np.rot90(noise_image, -1))


def test_grey_is_repeated(tmp_path: Path, noise_image: Image) -> None:
    grey = noise_image[..., 0]
    assert np.array_equal(read_image(save(tmp_path / "g.png", grey)), grey[..., None].repeat(3, 2))


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    deep = np.array([[0, 32768, 65535]], np.uint16)
    assert read_image(save(tmp_path / "deep.png", deep))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    Pillow.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=100)
    pixel = read_image(path)[8, 8].astype(int)
    assert pixel[0] > 200
    assert pixel[1:].max() < 60


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = Pillow.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png")[0, 0].tolist() == [10, 20, 30]


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    path = tmp_path / "alpha.png"
    Pillow.new("RGBA", (4, 4), (200, 100, 50, 0)).save(path)
    assert read_image(path).max() == 0


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "1.png", np.full((1, 1, 3), 7, np.uint8))).shape == (1, 1, 3)


def huge_png(path: Path) -> Path:
    """Write the header of a 20,000 x 20,000 PNG, and no pixels: it must be refused before they are read."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(b"\0")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    )
    return path


def truncated(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    save(path, noise)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def text(path: Path) -> Path:
    path.write_text("this is no picture")
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (truncated, "truncated"),
        (empty, "0 bytes"),
        (text, "another kind"),
        (huge_png, "at most 89,000,000 pixels"),
        (folder, "folder"),
        (lambda path: path, "no such file"),
    ],
    ids=["truncated", "empty", "text", "huge", "folder", "missing"],
)
def test_a_bad_file_gives_one_line_that_names_it(make: object, words: str, tmp_path: Path) -> None:
    path = make(tmp_path / "face.jpg")  # type: ignore[operator]
    with pytest.raises(ImageError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)  # what to do about it


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_named(tmp_path: Path, noise_image: Image) -> None:
    path = save(tmp_path / "secret.png", noise_image)
    path.chmod(0)
    with pytest.raises(ImageError, match="right"):
        read_image(path)


def test_in_a_batch_the_good_ones_are_done_and_the_bad_ones_listed(tmp_path: Path, noise_image: Image) -> None:
    good, bad = save(tmp_path / "a.png", noise_image), empty(tmp_path / "b.png")
    results = dict(load_images([bad, good]))
    assert isinstance(results[bad], ImageError)
    assert not isinstance(results[good], ImageError)


def test_folders_are_searched_and_sorted(tmp_path: Path, noise_image: Image) -> None:
    (tmp_path / "sub").mkdir()
    paths = [save(tmp_path / "sub" / "b.png", noise_image), save(tmp_path / "z.PNG", noise_image)]
    text(tmp_path / "notes.txt")
    assert find_images([tmp_path]) == paths


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="found none"):
        find_images([tmp_path])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, noise_image: Image) -> None:
    path = tmp_path / "a.png"
    write_image(path, noise_image)
    before = path.read_bytes()
    with pytest.raises(ImageError, match="cannot write"):
        write_image(path.with_suffix(".xyz"), noise_image)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png"]


@pytest.mark.parametrize(("ending", "longest"), [(".jpg", 65_500), (".JPEG", 65_500), (".webp", 16_383)])
def test_a_picture_longer_than_its_format_holds_is_one_line(ending: str, longest: int, tmp_path: Path) -> None:
    write_image(tmp_path / f"whole{ending}", np.zeros((1, longest, 3), np.uint8))
    with pytest.raises(ImageError, match=rf"expected at most {longest:,} pixels a side in a {ending}, got"):
        write_image(tmp_path / f"longer{ending}", np.zeros((longest + 1, 1, 3), np.uint8))
    assert not (tmp_path / f"longer{ending}").exists()
