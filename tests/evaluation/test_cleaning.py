"""A set of people cleaned: what goes, why, and that what stays is byte for byte as it was."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from facereg.builtin.alignment import FivePointAligner
from facereg.evaluation.cleaning import alike, belonging, clean_people, thumbnail, write_cleaned
from facereg.folders.people import read_people
from facereg.images import read_image, write_image
from facereg.pipeline.composer import Pipeline
from facereg.testing.pictures import crops, noise
from facereg.types import Image
from tests.calling import Run
from tests.fakes import PaintedDetector, PaintedEmbedder, picture


def test_the_odd_one_out_is_found_and_the_mean_is_that_of_the_others() -> None:
    axes = np.eye(3, dtype=np.float32)
    near = np.array([0.8, 0.6, 0], np.float32)
    found = belonging(np.stack([axes[0], near, axes[0], axes[2]]), least=0.5)
    assert found[:3] == [None, None, None]
    assert found[3] == pytest.approx(0.0)


def test_strangers_go_one_after_the_other_so_that_they_do_not_hold_each_other() -> None:
    vectors = np.zeros((7, 4), np.float32)
    vectors[:4, 0] = 1
    vectors[4, 1] = vectors[5, 2] = vectors[6, 3] = 1
    assert [cosine is None for cosine in belonging(vectors, least=0.6)] == [True] * 4 + [False] * 3


def test_of_two_that_are_not_alike_both_go_and_one_alone_stays() -> None:
    assert belonging(np.eye(2, dtype=np.float32), least=0.5) == [0.0, 0.0]
    assert belonging(np.eye(2, dtype=np.float32)[:1], least=0.5) == [None]


def saved(image: Image, *, quality: int, size: int) -> Image:
    stream = io.BytesIO()
    PillowImage.fromarray(image).resize((size, size)).save(stream, "JPEG", quality=quality)
    return read_image(stream.getvalue())


def test_a_picture_saved_again_is_the_same_and_another_face_is_not() -> None:
    faces = [cv2.GaussianBlur(crop, (15, 15), 0).astype(np.uint8) for crop in crops(2, 112)]  # as soft as faces are
    for quality, size in ((95, 112), (40, 112), (80, 90)):
        assert alike(thumbnail(faces[0]), thumbnail(saved(faces[0], quality=quality, size=size)))
    assert not alike(thumbnail(faces[0]), thumbnail(faces[1]))
    assert not alike(thumbnail(noise(64, 64)), thumbnail(noise(64, 64, seed=1)))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Ann's own three pictures, a copy, nobody and a stranger; a picture that Bo and Cy both have; Di unreadable."""
    folder = tmp_path / "people"

    def put(name: str, person: int | None, level: int = 0) -> None:
        image = picture() if person is None else picture(person)
        image[:20] = level  # beside the middle, which the painted embedder looks at
        write_image(folder / name, image)

    for number in range(3):
        put(f"Ann/{number}.png", 81, 20 + 60 * number)
    put("Ann/copy.png", 81, 20)
    put("Ann/nobody.png", None, 255)
    put("Ann/stranger.png", 85, 200)
    for name in ("Bo/1.png", "Cy/1.png"):
        put(name, 83, 99)
    put("Bo/2.png", 83, 10)
    (folder / "Di").mkdir()
    (folder / "Di" / "1.png").write_bytes(b"no picture")
    return folder


def test_what_does_not_belong_is_named_with_its_kind(people: Path, tmp_path: Path) -> None:
    with Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder()) as pipeline:
        cleaned = clean_people(pipeline, read_people(people), least=0.9)
    told = {one.path.relative_to(people).as_posix(): one.kind for one in cleaned.removed}
    assert told == {
        **{"Ann/copy.png": "duplicate", "Ann/nobody.png": "no-face", "Ann/stranger.png": "stranger"},
        **{"Bo/1.png": "two-people", "Cy/1.png": "two-people"},
    }
    assert [Path(error.path).parent.name for error in cleaned.errors] == ["Di"]
    assert {name: [path.name for path in own] for name, own in cleaned.people.items()} == {
        "Ann": ["0.png", "1.png", "2.png"],
        "Bo": ["2.png"],
    }
    assert write_cleaned(cleaned, tmp_path / "clean", least=2) == (1, 3)
    for number in range(3):
        written = tmp_path / "clean" / "Ann" / f"{number}.png"
        assert written.read_bytes() == (people / "Ann" / f"{number}.png").read_bytes()
    assert len(list(people.rglob("*.png"))) == 10  # nothing is taken away from the set


def test_the_command_counts_what_it_removes(people: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    called = run("data", "clean", people, "--out", tmp_path / "clean", "--like", "0.9", "--json", *painted)
    assert called.status == 1  # one picture cannot be read
    document = called.document
    assert (document["people"], document["images"], document["people_left_out"]) == (2, 4, 2)
    assert sorted(one["kind"] for one in document["removed"]) == [  # type: ignore[attr-defined]
        *("duplicate", "no-face", "stranger", "two-people", "two-people")
    ]
    assert len(document["failed"]) == 1  # type: ignore[arg-type]
    again = run("data", "clean", people, "--out", tmp_path / "more", *painted)
    assert again.status == 1
    assert "no threshold is known for 'painted-colours:1'" in again.err
    assert not (tmp_path / "more").exists()


def test_the_command_refuses_a_folder_that_holds_something_before_the_work(
    people: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    write_image(tmp_path / "clean" / "old.png", picture(1))
    called = run("data", "clean", tmp_path / "none", "--out", tmp_path / "clean", *painted)
    assert called.status == 1
    assert "clean: expected a new or empty folder, which old files cannot mix with; name another" in called.error


def test_the_command_takes_folders_that_differ_by_case_as_one_person(
    painted: list[str], run: Run, tmp_path: Path
) -> None:
    """Of two people, each would hold the other's picture, and both would be left out."""
    for name in ("ann/1.png", "Ann/1.png"):
        write_image(tmp_path / "people" / name, picture(81))
    called = run("data", "clean", tmp_path / "people", "--out", tmp_path / "clean", "--like", "0.9", "--json", *painted)
    assert (called.status, called.document["people"], called.document["images"]) == (0, 1, 1)
    assert [one["kind"] for one in called.document["removed"]] == ["duplicate"]  # type: ignore[attr-defined]
    assert "Ann, ann in" in called.err
