"""A face that the aligner refuses keeps its box and its place, has no vector, and is nobody; no face gets another's."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.builtin.exact import ExactMatcher
from facereg.builtin.main_face import NO_FACE
from facereg.data.pairs import Pair, PairList
from facereg.data.points import PointedImage
from facereg.data.templates import TemplateList
from facereg.errors import ClosedError, ContractError, ImageError, PluginError
from facereg.evaluation.cleaning import clean_people
from facereg.evaluation.comparing import compare_pictures, embed_lists
from facereg.evaluation.identification import measure_identification
from facereg.evaluation.landmarks import measure_landmarks
from facereg.evaluation.main_faces import embed_main_faces
from facereg.evaluation.templates import measure_templates
from facereg.gallery import Gallery
from facereg.gallery.enrolling import enrol_folder
from facereg.gallery.thresholds import Threshold
from facereg.images import write_image
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.composition import Composition
from facereg.pipeline.showing import draw_names, faces_as_json
from facereg.pipeline.stages import Result
from facereg.pipeline.tables import embed_files
from facereg.roles import Aligner
from facereg.types import Crops, Embeddings, Faces, FloatArray, Image, Matches
from tests.fakes import PaintedDetector, PaintedEmbedder, picture

BLURRED = 7  # a person whose pictures the aligner below refuses


class Choosy(FivePointAligner):
    """Refuses the faces of one person; says so, or leaves them out without a word."""

    def __init__(self, *, says: bool = True) -> None:
        super().__init__()
        self.says = says

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        crops = super()._align(images, faces, size, template)
        colour = picture(BLURRED)[56, 56]
        good = ~(crops.pixels[:, 56, 56] == colour).all(1)
        ends = np.cumsum(crops.counts)
        counts = [int(good[end - count : end].sum()) for end, count in zip(ends, crops.counts, strict=True)]
        refused = tuple("" if kept else "blurred" for kept in good) if self.says else ()
        return Crops(crops.pixels[good], crops.transforms[good], tuple(counts), crops.landmarks[good], refused)


def choosy(aligner: Aligner | None = None) -> Pipeline:
    matcher = ExactMatcher(threshold=0.999)
    pipeline = Pipeline(PaintedDetector(), aligner or Choosy(), PaintedEmbedder(), matcher)
    known = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder()).run([picture(1), picture(2)])
    for name, result in zip(("ada", "bob"), known, strict=True):
        matcher.add([name], result.embeddings)
    return pipeline


@pytest.mark.parametrize("chunk", [1, 2, 16])
def test_a_refused_face_is_nobody_and_the_others_keep_their_names(chunk: int) -> None:
    pictures = [picture(BLURRED, 1), picture(2, BLURRED, 1), picture(BLURRED), picture(2), picture()]
    results = list(choosy().stream(pictures, chunk=chunk))
    found = [[(one.match.label, one.refused) for one in result] for result in results]
    blurred = (None, "blurred")
    assert found == [[blurred, ("ada", "")], [("bob", ""), blurred, ("ada", "")], [blurred], [("bob", "")], []]
    assert [result.kept.tolist() for result in results] == [[1], [0, 2], [], [0], []]
    assert [len(result.faces) for result in results] == [2, 3, 1, 1, 0]
    assert results[3].refused == ()
    [_, seen] = results[0]
    assert seen.vector is not None
    assert np.array_equal(seen.vector, results[0].embeddings.vectors[0])


def test_an_aligner_that_leaves_a_face_out_without_a_word_is_refused() -> None:
    silent = Choosy(says=False)
    with pytest.raises(ContractError, match=r"Choosy: expected crops of \(2,\) faces in 1 images, got \(1,\)"):
        choosy(silent).run([picture(BLURRED, 1)])
    first, second = choosy(silent).outcomes([picture(BLURRED, 1), picture(2)])
    assert isinstance(first, ContractError), "only the image with that face"
    assert isinstance(second, Result)


def test_without_a_matcher_every_face_is_nobody() -> None:
    pipeline = choosy()
    pipeline.matcher = None
    [result] = pipeline.run([picture(BLURRED, 1, 2)])
    matches = result.matches
    assert (len(matches), matches.similarities.shape, matches.accepted.tolist()) == (2, (2, 0), [False, False])
    assert [(one.match.label, one.match.similarity, one.match.candidates) for one in result] == [(None, 0.0, ())] * 3
    assert [one.refused for one in result] == ["blurred", "", ""]
    assert [face["label"] for face in faces_as_json(result)] == [None] * 3


class Told(FivePointAligner):
    """Gives what it was told to."""

    def __init__(self, crops: object) -> None:
        super().__init__()
        self.crops = crops

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        return self.crops  # type: ignore[return-value]


def crops(counts: tuple[int, ...], size: int = 112, refused: tuple[str, ...] = ()) -> Crops:
    many = sum(counts)
    return Crops(np.zeros((many, size, size, 3), np.uint8), np.zeros((many, 2, 3), np.float32), counts, refused=refused)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "Told: expected Crops, got NoneType"),
        (crops((1, 1)), r"expected crops of \(2,\) faces in 1 images, got \(1, 1\)"),
        (crops((1,)), r"expected crops of \(2,\) faces"),
        (crops((1,), refused=("", "dark", "dark")), "refused: expected an entry for each of 2 faces, got 3"),
        (crops((2,), size=64), "Told: expected crops of 112 px, got 64 px"),
    ],
)
def test_crops_that_are_not_those_of_the_faces_are_refused(given: object, words: str) -> None:
    [faces] = PaintedDetector().detect([picture(1, 2)])
    with pytest.raises(ContractError, match=words):
        Told(given).align([picture(1, 2)], [faces], size=112)


def test_reasons_and_rows_go_together() -> None:
    with pytest.raises(ContractError, match="refused: expected '' for each of 1 crops"):
        crops((1,), refused=("dark",))
    [faces] = PaintedDetector().detect([picture(1, 2)])
    one = Embeddings(np.eye(1, 8, dtype=np.float32), "painted:1")
    assert Result(faces, one, Matches.empty(1), ("", "dark")).kept.tolist() == [0]
    for refused in ((), ("", ""), ("dark", "dark"), ("dark",)):
        with pytest.raises(ContractError, match="result: expected"):
            Result(faces, one, Matches.empty(1), refused)


def test_a_stage_that_was_closed_stays_closed() -> None:
    pipeline = Pipeline.create()
    image = np.zeros((64, 64, 3), np.uint8)
    pipeline.run([image])
    pipeline.close()
    pipeline.close()
    with pytest.raises(ClosedError, match="closed"):
        pipeline.run([image])
    with pytest.raises(ClosedError, match="detector 'yolov5s-face:int8' is closed; make it again"):
        pipeline.detector.detect([image])
    with pytest.raises(ClosedError):
        _ = pipeline.embedder.space
    matcher = ExactMatcher(threshold=0.5)
    matcher.close()
    with pytest.raises(ClosedError, match="matcher 'ExactMatcher' is closed"):
        matcher.match(Embeddings(np.eye(1, 8, dtype=np.float32), "a"))


def test_a_matcher_is_named_like_any_stage() -> None:
    with Pipeline.create(matcher="exact", threshold=0.4, options={"matcher": {"templates": "no"}}) as pipeline:
        assert isinstance(pipeline.matcher, ExactMatcher)
        assert (pipeline.matcher.threshold, pipeline.matcher.templates) == (0.4, False)
    with pytest.raises(PluginError, match="no matcher named 'exat'; did you mean 'exact'"):
        Pipeline.create(matcher="exat", threshold=0.4)
    with pytest.raises(ContractError, match="matcher 'exact': expected a threshold, got none"):
        Pipeline.create(matcher="exact")
    with pytest.raises(ContractError, match="matcher: expected a Matcher or a name, got int"):
        Pipeline.create(matcher=3)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="threshold: expected it with a matcher's name"):
        Pipeline.create(threshold=0.4)


def test_a_pipeline_lists_as_many_people_as_it_is_asked_for() -> None:
    pipeline = choosy()
    assert pipeline.matcher is not None
    pipeline.matcher.add(
        [f"person {row}" for row in range(10)],
        Embeddings(np.tile(np.eye(1, 8, dtype=np.float32), (10, 1)), "painted:1"),
    )
    for candidates in (1, 5, 10):
        pipeline.candidates = candidates
        [result] = pipeline.run([picture(1)])
        assert len(result.matches.labels[0]) == candidates


def test_a_pipeline_is_pickled_by_what_it_was_made_of() -> None:
    with Pipeline.create(options={"detector": {"size": 320}}) as pipeline:
        sent = pickle.dumps(pipeline)
    with pickle.loads(sent) as made:
        assert getattr(made.detector, "size", None) == 320
        assert len(made.run([np.zeros((64, 64, 3), np.uint8)])[0].matches) == 0
    with pytest.raises(ContractError, match="cannot be pickled; send its Composition"):
        pickle.dumps(choosy())
    with Pipeline.compose(Composition(), matcher=ExactMatcher(threshold=0.4)) as knowing, pytest.raises(ContractError):
        pickle.dumps(knowing)


def test_a_slow_plain_source_leaves_the_event_loop_free() -> None:
    readers: set[str] = set()

    def slow() -> Iterator[Image]:
        for _ in range(3):
            readers.add(threading.current_thread().name)
            time.sleep(0.2)
            yield picture(1)

    async def collect() -> tuple[int, float]:
        longest, before = 0.0, time.perf_counter()

        async def tick() -> None:
            nonlocal longest, before
            while True:
                await asyncio.sleep(0.005)
                now = time.perf_counter()
                longest, before = max(longest, now - before), now

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.01)
        count = 0
        async for result in Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder()).astream(slow(), chunk=1):
            count += len(result.faces)
        ticking.cancel()
        return count, longest

    count, longest = asyncio.run(collect())
    assert count == 3
    assert longest < 0.15, "the loop stood still while the source slept for 0.2 s"
    assert readers == {"facereg-read_0"}, "one thread reads, whatever the source is bound to"


def test_what_uses_results_says_that_a_face_was_refused(tmp_path: Path) -> None:
    [result] = choosy().run([picture(BLURRED, 1)])
    refused, seen = faces_as_json(result)
    assert (refused["label"], refused["accepted"], refused["candidates"]) == (None, False, [])
    assert refused["reason"] == "blurred"
    assert (seen["label"], "reason" in seen) == ("ada", False)
    draw_names(picture(BLURRED, 1), result)

    for name, person in (("eve", BLURRED), ("bob", 2)):
        (tmp_path / "people" / name).mkdir(parents=True)
        write_image(tmp_path / "people" / name / "1.png", picture(person))
    paths = sorted((tmp_path / "people").glob("*/*.png"))
    faces = embed_main_faces(choosy(), paths)
    assert faces.found.tolist() == [True, False]
    with Gallery.open(tmp_path / "g", space="painted:1", create=True) as gallery:
        report = enrol_folder(choosy(), gallery, tmp_path / "people")
        assert [person.name for person in gallery.people()] == ["bob"]
    assert [item.reason for item in report.skipped] == ["blurred"]


@pytest.fixture
def people(tmp_path: Path) -> dict[str, list[Path]]:
    """Return pictures of two people: one whose second face the aligner refuses, and whose third shows no face."""
    for name, shown in (("bob/1", [2]), ("bob/2", [BLURRED]), ("bob/3", []), ("eve/1", [1]), ("eve/2", [1])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / f"{name}.png", picture(*shown))
    (tmp_path / "eve/3.png").write_bytes(b"")
    return {name: sorted((tmp_path / name).glob("*.png")) for name in ("bob", "eve")}


@pytest.mark.parametrize(("row", "words"), [(1, "2.png: blurred"), (2, f"3.png: {NO_FACE}")])
def test_verify_says_why_a_face_cannot_be_compared(row: int, words: str, people: dict[str, list[Path]]) -> None:
    with pytest.raises(ImageError, match=f"{words}$"):
        compare_pictures(choosy(), people["eve"][0], people["bob"][row], Threshold(0.5, None, "given"))


def measured(how: str, people: dict[str, list[Path]], said: list[str]) -> object:
    """Measure something on the people."""
    paths = [path for own in people.values() for path in own]
    stages, five = choosy(), np.array([[5, 5], [9, 5], [7, 7], [5, 9], [9, 9]], np.float32)
    same = np.array([True, False])
    pairs = tuple(Pair(paths[0], other, other.parent == paths[0].parent) for other in paths[1:])
    listed = PairList(pairs, (0,) * len(pairs))
    templates = TemplateList(
        tuple(paths), *(np.arange(6, dtype=np.int64),) * 2, np.array([0, 3]), np.array([1, 4]), same
    )
    ways: dict[str, Callable[[], object]] = {
        "verification": lambda: embed_lists(stages, [listed], notice=said.append),
        "identification": lambda: measure_identification(
            stages, people, matcher=lambda: ExactMatcher(threshold=0.5), seeds=1, images=1, notice=said.append
        ),
        "templates": lambda: measure_templates(stages, templates, notice=said.append),
        "landmarks": lambda: measure_landmarks(
            stages.detector, [PointedImage(path, five) for path in paths], aligner=Choosy(), notice=said.append
        ),
        "embed": lambda: embed_files(stages, paths, notice=said.append),
    }
    return ways[how]()


@pytest.mark.parametrize("how", ["verification", "identification", "templates", "landmarks", "embed"])
def test_what_measures_names_each_face_refused(how: str, people: dict[str, list[Path]]) -> None:
    said: list[str] = []
    measured(how, people, said)
    [line] = [line for line in said if "2.png" in line]
    assert line.endswith("bob/2.png: blurred" if how != "embed" else "bob/2.png: a face was refused: blurred")
    assert sum("eve/3.png: " in line for line in said) == 1
    none = [line for line in said if "bob/3.png" in line]
    assert none == ([] if how in ("landmarks", "embed") else [f"{people['bob'][2]}: {NO_FACE}"])


def test_what_cleans_a_set_says_why_a_picture_goes(people: dict[str, list[Path]]) -> None:
    cleaned = clean_people(choosy(), people, least=0.0)
    reasons = {one.path.name: one.reason for one in cleaned.removed if one.kind == "no-face"}
    assert reasons == {"2.png": "blurred", "3.png": NO_FACE}
    assert [Path(error.path).name for error in cleaned.errors] == ["3.png"]
