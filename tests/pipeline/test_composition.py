"""Pipeline files and mappings by role: what is made of them, and what is refused in which words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import typer

from facereg.cli.options import Stages, with_stages
from facereg.errors import ContractError, RunnerError, UnknownNameError
from facereg.networks.runner import Networks, Runner
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.composition import Composition, MatcherChoice, StageChoice
from facereg.registry.hooks import ModelSpec, hookimpl
from facereg.registry.installed import Registry
from facereg.roles import Embedder, RoleName
from facereg.types import FloatArray
from tests.fakes import BoxAligner, PaintedDetector, picture


def written(folder: Path, text: str) -> Path:
    path = folder / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_what_each_stage_is_and_where_it_runs(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [detector]
        name = "yunet"
        threads = 2
        weights = "files/yunet.onnx"
        options = { threshold = 0.7, longest = 640 }

        [embedder]
        runner = "triton://10.0.0.7:8001"
        device = "cuda"

        [matcher]
        threshold = 1
        """,
    )
    assert Composition.read(path) == Composition(
        StageChoice(
            "detector",
            "yunet",
            threads=2,
            weights=tmp_path / "files" / "yunet.onnx",
            options={"threshold": 0.7, "longest": 640},
        ),
        StageChoice("aligner", ""),  # the detector's, as its plugin states
        StageChoice("embedder", "mobilenetv3-arcface", runner="triton://10.0.0.7:8001", device="cuda"),
        MatcherChoice("exact", 1),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[detektor]", "unknown key 'detektor'; allowed: detector, aligner, embedder, matcher"),
        (
            "[embedder]\nruner = 'onnx'",
            "embedder: unknown key 'runer'; allowed: name, runner, device, threads, weights, options",
        ),
        ("[matcher]\nrunner = 'onnx'", "matcher: unknown key 'runner'; allowed: name, threshold, options"),
        ("[detector]\nthreads = '2'", "detector: threads: expected a whole number, got '2'"),
        ("[detector]\nthreads = true", "detector: threads: expected a whole number, got True"),
        ("[matcher]\nthreshold = 'high'", "matcher: threshold: expected a number, got 'high'"),
        ("detector = 'mtcnn'", "detector: expected a table, got 'mtcnn'"),
        ("[detector", "expected a pipeline file in TOML"),
    ],
    ids=["role", "key", "key of another role", "type", "bool", "threshold", "no table", "no TOML"],
)
def test_what_a_file_says_wrong_is_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ContractError) as raised:
        Composition.read(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="none.toml: expected a pipeline file, but the file is missing"):
        Composition.read(tmp_path / "none.toml")


class Described(Embedder):
    """Says how it was made."""

    def __init__(self, networks: Networks, *, flip: bool = True, style: str = "plain") -> None:
        super().__init__(networks, flip=flip)
        self.style = style

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        return np.ones((len(pixels), self.dim), np.float32)


NETWORK = NetworkSpec(
    name="described",
    inputs=(TensorSpec("images", "uint8", (None, 112, 112, 3)),),
    outputs=(TensorSpec("embedding", "float32", (None, 128)),),
    package="tests",
    file="described.onnx",
)


class Models:
    """A plugin of the two."""

    @hookimpl
    def facereg_models(self) -> list[ModelSpec]:
        return [
            ModelSpec("described", "embedder", "tests.pipeline.test_composition:Described", networks=(NETWORK,)),
            ModelSpec("painted", "detector", "tests.fakes:PaintedDetector"),
        ]


@pytest.fixture
def registry() -> Registry:
    registry = Registry.load()
    registry.register(Models(), name="composition-tests")
    return registry


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """The networks opened, each with its runner; none is really opened."""
    asked: list[tuple[str, object]] = []

    class Nothing(Runner):
        def _infer(self, inputs: object) -> dict[str, npt.NDArray[np.float32]]:
            raise AssertionError

    def open_network(spec: NetworkSpec, **given: object) -> Runner:
        asked.append((spec.name, given["runner"]))
        return Nothing(spec, fingerprint="1")

    monkeypatch.setattr("facereg.networks.opening.open_network", open_network)
    return asked


def first_network(stage: object) -> Runner:
    networks = getattr(stage, "networks", None)
    assert isinstance(networks, Networks)
    return networks[next(iter(networks.specs))]


def test_roles_run_where_the_mapping_says_and_the_others_here(opened: list[tuple[str, object]]) -> None:
    with Pipeline.create(runner={"embedder": "triton://127.0.0.1:8001"}) as pipeline:
        first_network(pipeline.detector)
        first_network(pipeline.embedder)
    assert opened == [("yolov5s-face-int8", "onnx"), ("mobilenetv3-arcface", "triton://127.0.0.1:8001")]


def test_two_servers_may_share_the_work(opened: list[tuple[str, object]]) -> None:
    servers = {"detector": "triton://one:8001", "embedder": "triton://two:8001"}
    with Pipeline.create(runner={"detector": servers["detector"], "embedder": servers["embedder"]}) as pipeline:
        first_network(pipeline.detector)
        first_network(pipeline.embedder)
    assert opened == [("yolov5s-face-int8", "triton://one:8001"), ("mobilenetv3-arcface", "triton://two:8001")]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({}, ("yolov5s-face:int8", "adnet-68")),
        ({"detector": "yolov5s-face"}, ("yolov5s-face", "adnet-68")),
        ({"detector": "mtcnn"}, ("mtcnn", "five-point")),
        ({"aligner": "five-point"}, ("yolov5s-face:int8", "five-point")),
    ],
)
def test_a_detector_states_the_aligner_of_who_names_none(given: dict[str, str], taken: tuple[str, str]) -> None:
    with Pipeline.create(**given) as pipeline:  # type: ignore[arg-type]
        assert (pipeline.detector.name, pipeline.aligner.name) == taken
    stages = chosen(*(word for role, name in given.items() for word in (f"--{role}", name)))
    assert (stages.detector, stages.aligner) == taken


def test_the_default_without_its_packages_says_which_they_are() -> None:
    with pytest.raises(UnknownNameError, match="no detector named 'yolov5s-face'; it comes with the package facereg-y"):
        Pipeline.create(registry=Registry())


def test_a_pipeline_is_made_from_a_file(tmp_path: Path, registry: Registry, opened: list[tuple[str, object]]) -> None:
    path = written(
        tmp_path,
        """
        [detector]
        name = "painted"
        [embedder]
        name = "described"
        runner = "triton://two:8001"
        options = { style = "fine" }
        [matcher]
        threshold = 0.4
        """,
    )
    with Pipeline.from_file(path, registry=registry) as pipeline:
        assert isinstance(pipeline.detector, PaintedDetector)
        assert isinstance(pipeline.embedder, Described)
        assert pipeline.embedder.style == "fine"
        assert pipeline.matcher is not None
        assert pipeline.matcher.threshold == 0.4
        first_network(pipeline.embedder)
    assert opened == [("described", "triton://two:8001")]


def test_a_matcher_in_a_file_needs_a_threshold_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="matcher 'exact': expected a threshold, got none"):
        Pipeline.from_file(written(tmp_path, "[matcher]"))


def test_a_model_in_a_file_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no detector named 'mtcn'; did you mean 'mtcnn'"):
        Pipeline.from_file(written(tmp_path, "[detector]\nname = 'mtcn'"))


@pytest.mark.parametrize("what", ["runner", "device", "threads", "weights", "options"])
def test_a_mapping_names_roles_only(what: str) -> None:
    with pytest.raises(ContractError, match=f"{what}: expected roles of detector, aligner, embedder, got 'matcher'"):
        Pipeline.create(**{what: {"matcher": {}}})  # type: ignore[arg-type]


def chosen(*arguments: str) -> Stages:
    """Return what a command gets for these words."""
    got: list[Stages] = []

    def command(*, stages: Stages) -> None:
        got.append(stages)

    app = typer.Typer()
    app.command()(with_stages(command))
    typer.main.get_command(app).main(list(arguments), standalone_mode=False)
    return got[0]


def runners(stages: Stages) -> list[str]:
    return [choice.runner for choice in stages.composition.stages]


SERVER = "triton://127.0.0.1:8001"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["onnx", "onnx", "onnx"]),
        (("--runner", "torch"), ["torch", "torch", "torch"]),
        (("--runner", f"embedder={SERVER}"), ["onnx", "onnx", SERVER]),
        (("--runner", SERVER, "--runner", "detector=onnx"), ["onnx", SERVER, SERVER]),
        (("--runner", f"{SERVER}?timeout_s=5"), [f"{SERVER}?timeout_s=5"] * 3),
    ],
    ids=["default", "one for all", "a role", "all but a role", "an = in the address"],
)
def test_runner_is_one_value_or_one_a_role(words: tuple[str, ...], expected: list[str]) -> None:
    assert runners(chosen(*words)) == expected


def test_a_runner_that_is_none_is_refused_when_it_is_chosen_and_its_password_not_shown() -> None:
    with pytest.raises(RunnerError, match=r"expected triton://HOST:PORT") as failed:
        StageChoice("embedder", "mobilenetv3-arcface", runner="triton://me:secret@one:8001")
    assert "secret" not in str(failed.value)
    for words in (("--runner", "triton://me:secret@one:8001"), ("--runner", "cook=me:secret@one")):
        with pytest.raises(typer.BadParameter) as misused:
            chosen(*words)
        assert "secret" not in str(misused.value)


def test_a_runner_of_an_unknown_role_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="expected a role of detector, aligner, embedder.*'matcher=onnx'"):
        chosen("--runner", "matcher=onnx")


def test_two_runners_for_all_roles_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="expected one value for all roles, got onnx and torch"):
        chosen("--runner", "onnx", "--runner", "torch")


def test_options_go_before_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"""
        [detector]
        threads = 3
        options = {{ min_face = 40, factor = 0.7 }}
        [embedder]
        runner = "{SERVER}"
        weights = "w"
        [matcher]
        threshold = 0.4
        """,
    )
    stages = chosen("--pipeline", str(path), "--option", "detector.min_face=60", "--runner", "aligner=torch")
    assert stages.composition.detector.options == {"min_face": "60", "factor": 0.7}  # words are read when it is made
    assert stages.composition.detector.threads == 3
    assert stages.composition.embedder.weights == tmp_path / "w"
    assert runners(stages) == ["onnx", "torch", SERVER]
    assert stages.threshold_for("any:1", None).value == 0.4
    assert stages.threshold_for("any:1", 0.6).value == 0.6


def test_another_model_leaves_the_weights_and_options_of_the_file_behind(tmp_path: Path) -> None:
    path = written(tmp_path, f"[embedder]\nrunner = '{SERVER}'\nweights = 'w'\noptions = {{ flip = false }}")
    embedder = chosen("--pipeline", str(path), "--embedder", "onnx-arcface").composition.embedder
    assert embedder == StageChoice("embedder", "onnx-arcface", runner=SERVER)


@pytest.mark.parametrize(
    "text",
    [
        "[matcher]\nname = 'exact'\nthreshold = nan\n",
        "[matcher]\nname = 'exact'\nthreshold = inf\n",
        "detector = " + "[" * 50_000 + "]" * 50_000,
        "[" + ".".join("a" * 50_000) + "]",
        "[detector]\noptions = {" + ".".join("a" * 100) + " = 1}",
        "#" * (2 << 20),
    ],
    ids=["nan", "inf", "list", "table", "options", "long"],
)
def test_a_pipeline_file_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(text)
    with pytest.raises(ContractError, match=r"pipeline\.toml") as refused:
        Composition.read(tmp_path / "pipeline.toml")
    assert len(str(refused.value)) < 500


def test_a_pipe_as_a_pipeline_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipeline.toml")
    with pytest.raises(ContractError, match="got a pipe"):
        Composition.read(tmp_path / "pipeline.toml")


@pytest.mark.parametrize(
    ("square", "given", "expected"),
    [
        ((0.81, 0.13), {}, (0.81, 0.13)),
        ((0.81, 0.13), {"factor": "1.5"}, (1.5, 0.13)),
        (None, {}, (1.0, 0.0)),
    ],
    ids=["stated", "the option goes first", "not stated"],
)
def test_an_aligner_by_boxes_is_told_how_the_detectors_lie(
    square: tuple[float, float] | None, given: dict[str, object], expected: tuple[float, float]
) -> None:
    class Boxes:
        @hookimpl
        def facereg_models(self) -> list[ModelSpec]:
            return [
                ModelSpec("boxes", "detector", "tests.fakes:PaintedDetector", square=square),
                ModelSpec(
                    "aligned", "aligner", "tests.fakes:BoxAligner", options_from="facereg.options:LandmarkOptions"
                ),
                ModelSpec("colours", "embedder", "tests.fakes:PaintedEmbedder"),
            ]

    registry = Registry()
    registry.register(Boxes(), name="boxes")
    options: dict[RoleName, dict[str, object]] = {"aligner": {"passes": 1, **given}}
    with Pipeline.create(
        detector="boxes", aligner="aligned", embedder="colours", options=options, registry=registry
    ) as pipeline:
        assert isinstance(pipeline.aligner, BoxAligner)
        assert (pipeline.aligner.options.factor, pipeline.aligner.options.shift) == expected
        [result] = pipeline.run([picture(1)])
    assert len(result.embeddings) == 1
