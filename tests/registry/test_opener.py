"""A model made by its class: options and places as keywords, which mypy knows too (each unused ignore is an error)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import assert_type

import pytest
from facereg_mobilenetv3.embedder import MobileNetV3ArcFace
from facereg_mtcnn.detector import MtcnnDetector
from facereg_mtcnn.plugin import networks
from facereg_yolov5.detector import YoloV5Face

from facereg.errors import ContractError, OptionError, PluginError, RunnerError, WeightsError
from facereg.registry.installed import default_registry


def test_a_model_is_opened_with_its_options_and_where_its_networks_run() -> None:
    with MtcnnDetector.open(min_face=40, runner="onnx", device="cpu", threads=1, weights=None) as detector:
        assert_type(detector, MtcnnDetector)
        assert (detector.name, detector.min_face, detector.steady) == ("mtcnn", 40.0, True)
    weights = networks()[0].locate().parent
    with MtcnnDetector.open(weights=weights) as detector:
        assert (detector.min_face, detector.steady) == (20.0, False), "not the plugin's own weights"


def test_it_is_the_model_that_the_registry_makes() -> None:
    with (
        MobileNetV3ArcFace.open(flip=False) as mine,
        default_registry().create("mobilenetv3-arcface", role="embedder") as theirs,
    ):
        assert mine.space == theirs.space
        assert (mine.flip, theirs.flip) == (False, True)
    with YoloV5Face.open(size=320) as detector, YoloV5Face.open_int8(size=320) as small:
        assert [detector.name, small.name] == ["yolov5s-face", "yolov5s-face:int8"]
        assert [*detector.networks.specs, *small.networks.specs] == ["yolov5s-face", "yolov5s-face"]


def test_a_wrong_keyword_or_value_is_refused_by_mypy_and_when_called(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no option named min_fase.*nearest: min_face"):
        MtcnnDetector.open(min_fase=40)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="option fallback: expected bool"):
        MtcnnDetector.open(fallback="perhaps")  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="mtcnn: expected min_face >= 6"):
        MtcnnDetector.open(1.0)  # by place, as in its options
    with pytest.raises(RunnerError, match="no runner named 'onyx'"), MtcnnDetector.open(runner="onyx") as detector:
        detector.networks["mtcnn-pnet"]
    with pytest.raises(WeightsError), MtcnnDetector.open(weights=tmp_path) as detector:
        detector.networks["mtcnn-pnet"]


def test_a_class_of_ones_own_is_not_what_the_factory_makes() -> None:
    class Mine(MtcnnDetector):
        pass

    with pytest.raises(PluginError, match="mtcnn: expected a model of Mine, got MtcnnDetector"):
        Mine.open()


def test_help_shows_the_keywords() -> None:
    shown = list(inspect.signature(MtcnnDetector.open).parameters)
    assert shown[:2] == ["min_face", "thresholds"]
    assert shown[-4:] == ["runner", "device", "threads", "weights"]
