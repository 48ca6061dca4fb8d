"""The detector with the weights that ship: the contract, mixed batches, parts by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from facereg_mtcnn.plugin import networks
from facereg_mtcnn.pyramid import crop_squares, pyramid_scales, resize_level, summed_area, window_edges

from facereg.errors import ContractError, WeightsError
from facereg.folders.walking import find_images
from facereg.images import read_image
from facereg.registry.installed import Registry
from facereg.roles import Detector
from facereg.testing import DetectorContract
from facereg.testing.pictures import noise
from facereg.types import Faces


def make(**options: object) -> Detector:
    stage = Registry.load().create("mtcnn", role="detector", threads=1, **options)  # type: ignore[call-overload]
    assert isinstance(stage, Detector)
    return stage


class TestMtcnnKeepsTheContract(DetectorContract):
    def make(self) -> Detector:
        return make()


@pytest.mark.data
def test_sixteen_pictures_of_mixed_sizes_give_what_each_gives_alone(face_data: Path) -> None:
    paths = find_images([face_data / "celeba-wild" / "identities"])[::104][:8]
    paths += find_images([face_data / "faces-in-crowds" / "images"])[::75][:8]
    images = [read_image(path) for path in paths]
    assert len({image.shape for image in images}) > 8
    with make() as detector:
        together = detector.detect(images)
        assert sum(map(len, together)) > 20
        for image, faces in zip(images, together, strict=True):
            [alone] = detector.detect([image])
            assert np.abs(faces.boxes - alone.boxes).max(initial=0) <= 0.01
            assert np.abs(faces.landmarks - alone.landmarks).max(initial=0) <= 0.01


def test_a_smaller_least_face_finds_no_fewer_faces() -> None:
    from facereg.testing.pictures import photograph

    image = photograph()
    assert image is not None
    with make(min_face=20.0) as fine, make(min_face=80.0) as coarse:
        assert len(fine.detect([image])[0]) >= len(coarse.detect([image])[0]) >= 1


def test_a_second_look_is_only_at_pictures_in_which_nothing_was_found() -> None:
    from facereg.testing.pictures import photograph

    image = photograph()
    assert image is not None
    with make() as usual, make(fallback=True) as twice:
        assert np.array_equal(twice.detect([image])[0].boxes, usual.detect([image])[0].boxes)
    # no score is over 1, so the first look finds nothing; the second has its own, lower threshold
    with make(thresholds=(0.6, 0.7, 1.0)) as never, make(thresholds=(0.6, 0.7, 1.0), fallback=True) as twice:
        assert len(never.detect([image])[0]) == 0
        empty, found = twice.detect([np.zeros((90, 70, 3), np.uint8), image])
        assert len(empty) == 0
        assert len(found) >= 1


def test_more_looks_move_landmarks_alone_and_are_for_the_weights_that_ship(tmp_path: Path) -> None:
    from facereg.testing.pictures import photograph

    image = photograph()
    assert image is not None
    for spec in networks():
        shutil.copy(spec.locate(), tmp_path)
    found: list[Faces] = []
    for options in ({}, {"steady": True}, {"steady": False}, {"weights": tmp_path}):
        with make(**options) as detector:
            found += detector.detect([image])
    own, steady, plain, others = found
    assert np.array_equal(own.landmarks, steady.landmarks)
    assert np.array_equal(plain.landmarks, others.landmarks)
    assert np.array_equal(steady.boxes, plain.boxes)
    assert 0.01 < np.abs(steady.landmarks - plain.landmarks).max() < 10  # px; the face is about 100 px wide


def test_a_mirrored_picture_has_mirrored_landmarks() -> None:
    from facereg.testing.pictures import photograph

    image = photograph()
    assert image is not None
    differences = []
    for steady in (False, True):
        with make(steady=steady) as detector:
            as_is, turned = detector.detect([image, np.ascontiguousarray(image[:, ::-1])])
        back = turned.landmarks[0][[1, 0, 2, 4, 3]] * [-1, 1] + [image.shape[1] - 1, 0]
        differences.append(np.abs(back - as_is.landmarks[0]).max())
    assert differences[1] < differences[0] < 10  # px; the face is about 100 px wide


@pytest.mark.parametrize("options", [{"min_face": 1.0}, {"factor": 1.0}, {"thresholds": (0.5, 0.5)}])
def test_an_option_out_of_range_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="mtcnn: (option thresholds: )?expected"):
        make(**options)


def test_altered_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    spec = dataclasses.replace(networks()[0], sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"pnet.onnx: wrong checksum.*reinstall"):
        spec.locate()
    with pytest.raises(WeightsError, match="expected the weights file"):
        spec.locate(tmp_path)


def test_scales_stop_where_the_window_no_longer_fits() -> None:
    # 12 / 24 = 0.5; 40 * 0.5 = 20 >= 12, 40 * 0.25 = 10 < 12
    assert pyramid_scales(40, 100, min_face=24, factor=0.5) == [0.5]
    assert pyramid_scales(11, 100, min_face=12, factor=0.5) == []


def test_windows_of_area_interpolation_by_hand() -> None:
    first, last = window_edges(np.array(0), np.array(5), 2)  # 2.5 px each: 0..3 and 2..5
    assert first.tolist() == [0, 2]
    assert last.tolist() == [3, 5]


def test_half_the_size_is_the_mean_of_four() -> None:
    image = noise(8, 6)
    expected = image.reshape(4, 2, 3, 2, 3).astype(float).mean((1, 3)).transpose(2, 0, 1)
    assert resize_level(summed_area(image), 4, 3) == pytest.approx(expected, abs=1e-3)


def test_a_crop_of_its_own_size_is_the_picture_and_none_lies_outside() -> None:
    image = noise(60, 60)
    boxes = np.array([[11, 21, 34, 44], [200, 200, 220, 220]], np.float32)  # one-based and inclusive: 24 px
    crops, usable = crop_squares(summed_area(image), boxes, 24)
    assert usable.tolist() == [True, False]
    assert np.array_equal(crops[0], image[20:44, 10:34].transpose(2, 0, 1))
