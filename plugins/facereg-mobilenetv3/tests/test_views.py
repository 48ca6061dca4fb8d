"""Views of faces: the same by their seed, whole or absent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from facereg_mobilenetv3.views import SIZE, Pixels, Views, make_shard, make_view, open_teacher

from facereg.errors import WeightsError
from facereg.testing.pictures import crops
from facereg.types import FloatArray
from tests.disks import small_disk


def teacher(pixels: Pixels) -> FloatArray:
    """Answer with the mean of each of four quarters: not of unit length."""
    halves = pixels.astype(np.float32).reshape(len(pixels), 2, SIZE // 2, 2, SIZE // 2, 3)
    means: FloatArray = 1 + halves.mean((2, 4, 5)).reshape(len(pixels), 4)
    return means


def shard(folder: Path, faces: Pixels, *, index: int = 0, seed: int = 0) -> tuple[Pixels, FloatArray]:
    folder.mkdir(exist_ok=True)
    make_shard(faces, [teacher], folder, index=index, seed=seed)
    return np.load(folder / f"views-{index:03d}.npy"), np.load(folder / f"targets-{index:03d}.npy")


def test_a_view_is_settled_by_its_seed() -> None:
    face, other = crops(2, SIZE)
    views = [make_view(face, other, np.random.default_rng(seed)) for seed in (*range(20), *range(20))]
    assert all(view.shape == (SIZE, SIZE, 3) and view.dtype == np.uint8 for view in views)
    assert all(np.array_equal(views[seed], views[seed + 20]) for seed in range(20))
    assert len({view.tobytes() for view in views}) == 20  # no two seeds give one view
    assert np.array_equal(face, crops(2, SIZE)[0])  # the face itself is left alone


def test_a_shard_is_settled_by_seed_and_index(tmp_path: Path) -> None:
    faces = crops(5, SIZE)
    first, again = shard(tmp_path / "a", faces), shard(tmp_path / "b", faces)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    for other in (shard(tmp_path / "a", faces, index=1), shard(tmp_path / "c", faces, seed=1)):
        assert not np.array_equal(first[0], other[0])


def test_targets_are_what_the_teacher_says_of_the_very_view_at_unit_length(tmp_path: Path) -> None:
    views, targets = shard(tmp_path, crops(70, SIZE))  # more than one call of the teacher
    expected = teacher(views)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert targets == pytest.approx(expected, abs=1e-3)  # float16


def test_the_answers_of_several_teachers_lie_side_by_side_each_at_unit_length(tmp_path: Path) -> None:
    def other(pixels: Pixels) -> FloatArray:
        return teacher(pixels)[:, :3] ** 2

    make_shard(crops(5, SIZE), [teacher, other], tmp_path, index=0, seed=0)
    views = Views(tmp_path)
    assert views.dims == [4, 3]
    both = np.stack([views[row][1] for row in range(5)]).astype(np.float32)
    assert both[:, :4] == pytest.approx(shard(tmp_path / "one", crops(5, SIZE))[1], abs=1e-3)
    assert np.linalg.norm(both[:, 4:], axis=1) == pytest.approx(1, abs=1e-3)


def test_a_teacher_that_takes_bytes_sees_the_crops_as_they_are(tmp_path: Path) -> None:
    save_mean_colour(tmp_path / "teacher.onnx", onnx.TensorProto.UINT8, ["n", SIZE, SIZE, 3], axes=[1, 2])
    faces = crops(2, SIZE)
    answer = open_teacher(tmp_path / "teacher.onnx")(faces)
    assert answer == pytest.approx(faces.astype(np.float64).mean((1, 2)), rel=1e-5)


def test_a_teacher_that_takes_numbers_sees_them_as_arcface_does(tmp_path: Path) -> None:
    save_mean_colour(tmp_path / "teacher.onnx", onnx.TensorProto.FLOAT, ["n", 3, SIZE, SIZE], axes=[2, 3])
    faces = crops(2, SIZE)
    answer = open_teacher(tmp_path / "teacher.onnx")(faces)
    assert answer == pytest.approx((faces.astype(np.float64).mean((1, 2)) - 127.5) / 127.5, abs=1e-5)


def save_mean_colour(path: Path, kind: int, shape: Sequence[str | int | None], *, axes: list[int]) -> None:
    """Write a network that gives the mean colour of a crop."""
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Cast", ["images"], ["x"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("ReduceMean", ["x"], ["embedding"], axes=axes, keepdims=0),
        ],
        "mean colour",
        [onnx.helper.make_tensor_value_info("images", kind, shape)],
        [onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["n", 3])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_a_shard_that_was_interrupted_is_absent_and_made_again(tmp_path: Path) -> None:
    faces = crops(70, SIZE)
    calls = 0

    def failing(pixels: Pixels) -> FloatArray:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return teacher(pixels)

    with pytest.raises(KeyboardInterrupt):
        make_shard(faces, [failing], tmp_path, index=0, seed=0)
    assert len(Views(tmp_path)) == 0
    expected = shard(tmp_path.with_name("whole"), faces)
    again = shard(tmp_path, faces)
    assert np.array_equal(again[0], expected[0])
    assert np.array_equal(again[1], expected[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dims.json", "targets-000.npy", "views-000.npy"]
    make_shard(faces, [failing], tmp_path, index=0, seed=0)  # there already: nobody is asked
    assert calls == 2


def test_a_disk_that_is_full_ends_a_shard_with_an_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "400k") as disk:
        with pytest.raises(OSError, match="No space left on device"):
            make_shard(crops(20, SIZE), [teacher], disk, index=0, seed=0)
        assert list(disk.iterdir()) == []


def test_shards_are_one_table(tmp_path: Path) -> None:
    faces = crops(3, SIZE)
    held = [shard(tmp_path, faces, index=index) for index in range(2)]
    views = Views(tmp_path)
    assert len(views) == 6
    for row in range(6):
        pixels, target = views[row]
        assert np.array_equal(pixels, held[row // 3][0][row % 3])
        assert np.array_equal(target, held[row // 3][1][row % 3])


def test_a_missing_teacher_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="teacher: expected an ONNX file, found none at .*--set teacher=FILE"):
        open_teacher(tmp_path / "teacher.onnx")
