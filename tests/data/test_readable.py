"""Training goes on without the pictures that cannot be read, and says which they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from facereg.data.readable import left_out, read_each, readable
from facereg.errors import DatasetError, ImageError
from facereg.folders.walking import find_images
from facereg.images import read_image, write_image
from facereg.registry.hooks import RecipeSpec, hookimpl
from facereg.registry.installed import default_registry
from tests.calling import Run
from tests.fakes import picture


def recipe(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Learn the names of the pictures."""
    learned = readable(find_images(data), path=lambda path: path)
    (out / "learned.txt").write_text(" ".join(path.name for path in learned), encoding="utf-8")


class Recipes:
    @hookimpl
    def facereg_recipes(self) -> list[RecipeSpec]:
        return [RecipeSpec("learn-names", "tests.data.test_readable:recipe")]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of two good pictures, one that is text and one that is cut off."""
    for number in (1, 2):
        write_image(tmp_path / f"pictures/{number}.jpg", picture(number))
    (tmp_path / "pictures/text.jpg").write_text("no picture")
    (tmp_path / "pictures/cut.jpg").write_bytes((tmp_path / "pictures/1.jpg").read_bytes()[:200])
    return tmp_path / "pictures"


def test_a_recipe_learns_from_the_others_and_the_command_says_which_failed(
    pictures: Path, run: Run, tmp_path: Path
) -> None:
    registry = default_registry()
    if "learn-names" not in {spec.name for spec in registry.recipes()}:
        registry.register(Recipes(), name="names")
    called = run("train", "learn-names", "--data", pictures, "--out", tmp_path / "out", "--json")
    assert called.status == 1
    assert (tmp_path / "out/learned.txt").read_text("utf-8") == "1.jpg 2.jpg"
    assert {Path(item["image"]).name for item in called.document["failed"]} == {"text.jpg", "cut.jpg"}  # type: ignore[attr-defined]
    assert called.err.endswith("2 pictures could not be read and taught nothing; the others did\n")


def test_what_is_read_is_kept_and_read_once(pictures: Path) -> None:
    asked: list[Path] = []

    def read(path: Path) -> tuple[int, ...]:
        asked.append(path)
        return read_image(path).shape

    failed: list[ImageError] = []
    with left_out(failed.append):
        assert len(read_each(sorted(pictures.iterdir()), read)) == 2
    assert asked == sorted(pictures.iterdir())
    assert {Path(error.path).name for error in failed} == {"text.jpg", "cut.jpg"}


def test_without_a_listener_the_first_bad_picture_is_an_error(pictures: Path) -> None:
    with pytest.raises(ImageError, match="cut.jpg"):
        readable(sorted(pictures.iterdir()), path=lambda path: path)


def test_pictures_none_of_which_can_be_read_are_no_data(pictures: Path) -> None:
    with left_out(lambda error: None), pytest.raises(DatasetError, match="expected some that can be read, got 2"):
        readable([pictures / "text.jpg", pictures / "cut.jpg"], path=lambda path: path)
