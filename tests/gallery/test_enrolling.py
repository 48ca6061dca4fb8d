"""A folder of people into a gallery: what is enrolled, what is left out, what looks wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.errors import DatasetError, RunnerError, UnreachableError
from facereg.gallery import Gallery, Source
from facereg.gallery import suspicions as suspicions_module
from facereg.gallery.enrolling import EnrolmentReport, enrol_folder
from facereg.gallery.quality import Limits, refusal, residual, sharpness, surer_turn
from facereg.gallery.suspicions import Enrolment, suspicions
from facereg.geometry import TEMPLATE_112
from facereg.pipeline.composer import Pipeline
from facereg.testing.pictures import photograph
from facereg.types import Faces, Image
from tests.fakes import SIDE, PaintedDetector, PaintedEmbedder, picture
from tests.kinds import painted


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "g", space="painted:1", create=True) as held:
        yield held


def enrol(
    gallery: Gallery, folder: Path, *, detector: PaintedDetector | None = None, **options: float
) -> EnrolmentReport:
    pipeline = Pipeline(detector or PaintedDetector(), FivePointAligner(), PaintedEmbedder())
    return enrol_folder(pipeline, gallery, folder, **options)  # type: ignore[arg-type]


def people_of(gallery: Gallery) -> dict[str, int]:
    return {person.name: person.embeddings for person in gallery.people()}


def test_spellings_of_one_name_are_one_person(gallery: Gallery, tmp_path: Path) -> None:
    for row, name in enumerate(("Rene\u0301", "Ren\u00e9", " Ren\u00e9 ")):
        painted(tmp_path / "people" / name / f"{row}.png", row + 1)
    report = enrol(gallery, tmp_path / "people")
    assert people_of(gallery) == {"Ren\u00e9": 3}
    assert report.skipped == report.failed == []


def test_a_folder_whose_name_is_none_is_skipped_and_the_others_are_done(gallery: Gallery, tmp_path: Path) -> None:
    bad = ["caf\udce9", "a\u202eb", "\u200b", "x" * 201, "two\nlines"]
    for name in (*bad, "Ada", "Zoe"):
        painted(tmp_path / "people" / name / "1.png", 1 if name == "Ada" else 2)
    report = enrol(gallery, tmp_path / "people")
    assert set(people_of(gallery)) == {"Ada", "Zoe"}
    assert {item.path.name for item in report.skipped} == set(bad)
    assert all(item.reason.endswith("rename the folder") for item in report.skipped)


def test_what_stands_beside_the_people_is_skipped_with_its_reason(gallery: Gallery, tmp_path: Path) -> None:
    people = tmp_path / "people"
    painted(people / "Ada" / "1.png", 1)
    painted(people / "loose.png", 2)
    painted(people / "Ada" / "2019" / "2.png", 3)
    painted(people / ".ipynb_checkpoints" / "1.png", 4)
    (people / "Nobody").mkdir()
    (people / "Twin").symlink_to("Ada")
    (people / "back").symlink_to(".")
    report = enrol(gallery, people)
    assert people_of(gallery) == {"Ada": 1}
    reasons = {str(item.path.relative_to(people)): item.reason for item in report.skipped}
    assert reasons == {
        "loose.png": "expected it in a folder named after the person",
        "Ada/2019": "a folder in a person's folder; move its pictures up, or make it a person of its own",
        ".ipynb_checkpoints": "a hidden or system entry, with a picture in it; rename it if it is to be read",
        "Nobody": "expected pictures, got an empty folder",
        "Twin": f"the same folder as {people / 'Ada'}, whose pictures are taken there",
        "back": f"the same folder as {people}, whose pictures are taken there",
    }


def test_a_folder_without_people_is_an_error_that_says_what_was_found(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    (tmp_path / "people" / "Ada" / "1.heic").touch()
    with pytest.raises(DatasetError, match=r"found none, such as .*1.heic: HEIC needs another package"):
        enrol(gallery, tmp_path / "people")


class Fussy(PaintedDetector):
    """Fails for a picture of five people."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        if any(image.shape[1] == 5 * SIDE for image in images):
            raise self.error
        return super()._detect(images)


def test_a_picture_that_a_model_fails_for_has_failed_and_the_others_are_done(gallery: Gallery, tmp_path: Path) -> None:
    for name, people in (("Ada", (1,)), ("Bob", (1, 2, 3, 4, 5)), ("Zoe", (3,))):
        painted(tmp_path / "people" / name / "1.png", *people)
    report = enrol(gallery, tmp_path / "people", detector=Fussy(RunnerError("five")))
    assert set(people_of(gallery)) == {"Ada", "Zoe"}
    assert [(item.path.parent.name, item.reason) for item in report.failed] == [("Bob", "five")]
    with pytest.raises(UnreachableError):
        enrol(gallery, tmp_path / "people", detector=Fussy(UnreachableError("nobody there")))


def test_of_several_faces_the_one_that_the_picture_is_about_is_taken(gallery: Gallery, tmp_path: Path) -> None:
    painted(tmp_path / "people" / "Ada" / "1.png", 1, 2, 3)  # the second is in the middle, the first scored highest
    assert [item.reason for item in enrol(gallery, tmp_path / "people").skipped] == [
        "expected one face, found 3; crop the picture, or pass --largest"
    ]
    enrol(gallery, tmp_path / "people", main_faces=True)
    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
    [expected] = pipeline.run([picture(2)])
    assert gallery.embeddings()[1].vectors == pytest.approx(expected.embeddings.vectors, abs=1e-6)


def test_one_picture_under_two_names_is_said(gallery: Gallery, tmp_path: Path) -> None:
    for name in ("Ada", "Bob"):
        painted(tmp_path / "people" / name / "1.png", 1)
    [warning] = enrol(gallery, tmp_path / "people").warnings
    people = tmp_path / "people"
    assert warning == (
        f"{people}/Bob/1.png: enrolled as Bob, and the same or nearly the same picture as Ada ({people}/Ada/1.png) "
        "(similarity 1.000); remove the wrong one"
    )
    painted(tmp_path / "more" / "Cleo" / "1.png", 1)
    said = enrol(gallery, tmp_path / "more").warnings  # against what the gallery holds
    assert [line.split(" (")[0] for line in said] == [
        f"{tmp_path}/more/Cleo/1.png: enrolled as Cleo, and the same or nearly the same picture as Ada and 1 more"
    ]
    assert enrol(gallery, tmp_path / "more").warnings == []  # nothing new, nothing to say


@pytest.mark.parametrize(
    ("same", "cosine", "said"), [(None, 0.96, True), (0.5, 0.96, True), (0.93, 0.96, False), (0.93, 0.995, True)]
)
def test_one_picture_is_told_by_how_near_faces_of_one_person_are(same: float | None, cosine: float, said: bool) -> None:
    """With dlib-resnet, for example, some pictures of two people are at 0.96."""
    vector = np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)
    added = [Enrolment("Ada", Path("a.jpg"), Source("a.jpg", "0" * 64), vector)]
    lines = suspicions(added, ["Bob"], np.array([[1, 0]], np.float32), same=same)
    assert ["nearly the same picture as Bob" in line for line in lines] == [True] * said


def test_of_many_alike_each_new_picture_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspicions_module, "PROBES", 3)
    monkeypatch.setattr(suspicions_module, "BLOCK", 4)
    alike, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    added = [
        Enrolment(f"P{row}", Path(f"{row}.jpg"), Source(f"{row}.jpg", f"{row:064x}"), other if row == 4 else alike)
        for row in range(8)
    ]
    known = np.array([alike, other, alike, alike * 0.99 + other * 0.141])
    lines = suspicions(added, ["P1", "Bob", "Eve", "Cleo"], known, same=None)
    said = [line.partition("nearly the same picture as ")[2].partition(" (similarity")[0] for line in lines]
    assert said == [
        "P1 and 2 more",
        "Eve and 2 more",  # not as P1, whose it is
        "P1 and 4 more",
        "P1 and 5 more",
        "Bob",
        *("P1 and 6 more", "P1 and 7 more", "P1 and 8 more"),
    ]


def test_a_picture_unlike_the_persons_others_is_said(gallery: Gallery, tmp_path: Path) -> None:
    """Colours of one person are near each other, the wrong picture shows Bob."""
    ada = picture(1)
    for row, lighter in enumerate((0, 1, 2)):
        cv2.imwrite(str(painted(tmp_path / "people" / "Ada" / f"{row}.png", 1)), (ada + lighter)[..., ::-1])
    painted(tmp_path / "people" / "Ada" / "wrong.png", 5)
    painted(tmp_path / "people" / "Bob" / "1.png", 5)
    report = enrol(gallery, tmp_path / "people", same=0.6)
    unlike = [line for line in report.warnings if "far from" in line]
    [line] = unlike
    assert line.startswith(f"{tmp_path}/people/Ada/wrong.png: far from the other pictures of Ada (similarity ")
    assert "expected at least 0.600); nearer to Bob (1.000); check whom it shows" in line


def test_names_that_look_alike_are_said(gallery: Gallery, tmp_path: Path) -> None:
    painted(tmp_path / "people" / "Ada" / "1.png", 1)
    painted(tmp_path / "people" / "ad\u0430" / "1.png", 5)
    [line] = enrol(gallery, tmp_path / "people").warnings
    assert line == "'ad\u0430' and 'Ada' differ only by case, invisible or look-alike letters; is it one person"


def upright() -> tuple[Image, Faces]:
    """Return a sharp pattern with one face of 112 px where the template says."""
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return image, Faces(
        np.array([[0, 0, 111, 111]], np.float32), np.array([0.9], np.float32), TEMPLATE_112[None].astype(np.float32)
    )


ANY = {"side": 0.0, "sharpness": 0.0, "residual": math.inf, "turns": False}


@pytest.mark.parametrize(
    ("limits", "change", "words"),
    [
        ({"side": 120.0}, lambda points: points, "expected a face of at least 120 px, got one of 111 px"),
        ({"sharpness": 1.1}, lambda points: points, "expected a sharp face, got one of sharpness 0."),
        ({}, lambda points: 111 - points, "expected an upright face, got one whose eyes are below its mouth"),
        ({"residual": 0.1}, lambda points: points * [[1], [1], [1], [0.2], [1]], "of its width off (at most 0.1)"),
    ],
    ids=["small", "blurred", "upside down", "no face"],
)
def test_an_unfit_face_is_refused_with_what_was_measured(limits: object, change: object, words: str) -> None:
    image, faces = upright()
    points = change(faces.landmarks[0]).astype(np.float32)  # type: ignore[operator]
    changed = Faces(faces.boxes, faces.scores, points[None])
    assert words in refusal(image, changed, 0, PaintedDetector(), Limits(**{**ANY, **limits}))  # type: ignore[arg-type,dict-item]
    assert refusal(image, changed, 0, PaintedDetector(), Limits(**ANY)) == "" or not limits  # type: ignore[arg-type]


def test_sharpness_falls_with_blur_and_not_with_light() -> None:
    image, faces = upright()
    points = faces.landmarks[0]
    plain = sharpness(image, points)
    blurred = [sharpness(cv2.GaussianBlur(image, (0, 0), px).astype(np.uint8), points) for px in (1, 2, 4)]
    assert plain is not None
    assert sorted([plain, *blurred], reverse=True) == [plain, *blurred]  # type: ignore[type-var]
    assert sharpness((image * 0.5).astype(np.uint8), points) == pytest.approx(plain, abs=0.02)  # rounding
    assert sharpness(np.full_like(image, 90), points) is None


def test_residual_is_that_of_a_similarity() -> None:
    turned = TEMPLATE_112 @ np.array([[0.0, 3.0], [-3.0, 0.0]]) + 7  # a quarter turn, three times as large
    assert residual(turned.astype(np.float32)) == pytest.approx(0, abs=1e-5)
    mirrored = TEMPLATE_112 * [-1, 1]
    assert residual(mirrored.astype(np.float32)) > 0.1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photograph_that_is_turned_is_found_out(turns: int) -> None:
    image = photograph()
    assert image is not None, "the tests need scikit-image"
    with Pipeline.create() as pipeline:
        assert surer_turn(image, pipeline.detector) is None
        turned = np.ascontiguousarray(np.rot90(image, turns))
        assert surer_turn(turned, pipeline.detector) == 4 - turns
