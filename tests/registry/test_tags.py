"""Several weights of one model, by tag: a plugin's, and those that a user adds; and names that they had before."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from facereg.cli.models import show
from facereg.disk.replacing import file_sha256
from facereg.errors import ContractError, FaceregError, PluginError, UnknownNameError, WeightsError
from facereg.gallery.thresholds import calibration_for
from facereg.networks.opening import open_network
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.registry.added import FILE
from facereg.registry.hooks import ModelSpec, hookimpl
from facereg.registry.installed import Registry, default_registry
from facereg.registry.tags import WeightsSpec
from facereg.roles import RoleName

NETWORKS = default_registry().model("mtcnn").networks
PNET, RNET, ONET = NETWORKS
OTHER = "0123456789abcdef" * 4  # a sha256


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEREG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FACEREG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def model_of(*weights: WeightsSpec, role: RoleName = "detector", **more: object) -> ModelSpec:
    return ModelSpec("model", role, "tests.fakes:PaintedDetector", networks=(RNET,), weights=weights, **more)  # type: ignore[arg-type]


SMALL = WeightsSpec("small", (replace(RNET, file="small.onnx", sha256=OTHER),), formerly=("model-small",))


class Plugin:
    """A plugin of one model."""

    def __init__(self, *models: ModelSpec) -> None:
        self.models = models

    @hookimpl
    def facereg_models(self) -> tuple[ModelSpec, ...]:
        return self.models


def registry_of(*models: ModelSpec) -> Registry:
    registry = Registry()
    for number, model in enumerate(models):
        registry.register(Plugin(model), name=f"plugin-{number}")
    return registry


def test_a_tag_names_other_weights_of_the_same_networks() -> None:
    registry = registry_of(model_of(SMALL, licence="MIT", card="README"))
    assert [spec.full_name for spec in registry.models(tagged=True)] == ["model", "model:small"]
    assert [spec.full_name for spec in registry.models()] == ["model"]
    spec = registry.model("model:small")
    [network] = spec.networks
    assert (network.file, network.sha256) == ("small.onnx", OTHER)
    assert (network.key, network.name) == ("mtcnn-rnet", "mtcnn-rnet-small")  # what the plugin and a server call it
    assert (spec.name, spec.tag, spec.licence, spec.card) == ("model", "small", "MIT", "README")


def test_a_stage_has_the_name_of_its_tag_and_asks_for_the_networks_of_its_model() -> None:
    with default_registry().create("yolov5s-face:int8", role="detector") as stage:
        assert stage.name == "yolov5s-face:int8"
        assert stage.networks["yolov5s-face"].spec.name == "yolov5s-face-int8"


@pytest.mark.parametrize("name", ["model:big", "model:", "model:small:er"])
def test_a_tag_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="no weights '.*' of 'model'; tags: small; yours go into weights.toml"):
        registry_of(model_of(SMALL)).model(name)


def test_an_old_name_goes_on_working_and_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    registry = registry_of(model_of(SMALL))
    assert [registry.model("model-small").full_name for _ in range(2)] == ["model:small"] * 2
    said = "facereg: 'model-small' is the old name of 'model:small', and goes with contract 2; write model:small\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (
            (model_of(SMALL), replace(model_of(), name="model-small")),
            "'model-small' was that of 'model:small'",
        ),
        ((replace(model_of(), name="model-small"), model_of(SMALL)), "the old name 'model-small' is taken"),
        ((model_of(SMALL), replace(model_of(SMALL), name="other")), "the old name 'model-small' is taken"),
    ],
    ids=["a name was old", "an old name is in use", "two had it"],
)
def test_an_old_name_is_nobody_elses(models: tuple[ModelSpec, ...], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        registry_of(*models)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WeightsSpec("Small", (RNET,)), "WeightsSpec: name: expected small letters"),
        (lambda: WeightsSpec("a:b", (RNET,)), "WeightsSpec: name: expected small letters"),
        (lambda: model_of(WeightsSpec("other", (ONET,))), "model:other: expected the networks mtcnn-rnet, got mtcnn-o"),
        (
            lambda: model_of(WeightsSpec("wide", (wide(RNET),))),
            "model:wide: mtcnn-rnet: expected the tensors of",
        ),
        (lambda: model_of(SMALL, SMALL), "model: weights: a tag comes twice"),
        (lambda: model_of("small"), "model: weights: expected a tuple of WeightsSpec, got"),  # type: ignore[arg-type]
        (
            lambda: model_of(SMALL, role="embedder"),
            "model:small: formerly: an embedder's name is in",
        ),
        (
            lambda: WeightsSpec("far", (replace(RNET, addresses=("https://h/x",)),)),
            "mtcnn-rnet: addresses: expected the sha256 and the size",
        ),
        (
            lambda: WeightsSpec("far", (replace(RNET, addresses=("ftp://h/x",), size=1),)),
            "mtcnn-rnet: addresses: expected a tuple of https:// addresses, got",
        ),
        (
            lambda: WeightsSpec("far", (replace(RNET, size=0),)),
            "size: expected the bytes of the file, got 0",
        ),
    ],
)
def test_weights_that_cannot_be_are_refused(make: object, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        make()  # type: ignore[operator]


def wide(network: NetworkSpec) -> NetworkSpec:
    return replace(network, outputs=(*network.outputs, TensorSpec("more", "float32", (None,))))


def test_weights_without_a_checksum_that_ship_are_refused(tmp_path: Path) -> None:
    tagged = WeightsSpec("same", (replace(RNET, sha256=None),))
    with pytest.raises(PluginError, match="model: rnet.onnx ships without a checksum"):
        registry_of(model_of(tagged))


def test_the_thresholds_are_those_of_the_weights_in_the_space() -> None:
    tagged = WeightsSpec("small", (replace(RNET, sha256=OTHER),), thresholds={0.01: 0.2})
    bare = WeightsSpec("bare", (replace(RNET, sha256=OTHER[::-1]),))
    registry = registry_of(model_of(tagged, bare, role="embedder", thresholds={0.01: 0.5}))
    assert calibration_for(f"model:{OTHER[:12]}", registry).thresholds == {0.01: 0.2}
    assert calibration_for(f"model:{OTHER[:12]}:2", registry).thresholds == {0.01: 0.2}
    assert calibration_for(f"model:{str(RNET.sha256)[:12]}", registry).thresholds == {0.01: 0.5}
    with pytest.raises(FaceregError, match="no threshold is known"):
        calibration_for(f"model:{OTHER[::-1][:12]}", registry)


def test_a_users_file_is_weights_by_a_tag(home: Path) -> None:
    [own] = default_registry().model("mobilenetv3-arcface").networks
    (home / "nets").mkdir()
    shutil.copy(own.locate(), home / "nets/mine.onnx")
    (home / FILE).write_text(
        '["mobilenetv3-arcface:mine"]\nfile = "nets/mine.onnx"\nlicence = "ours"\ncard = "CARD.md"'
    )
    spec = default_registry().model("mobilenetv3-arcface:mine")
    assert (spec.licence, spec.card, spec.paper) == ("ours", "CARD.md", default_registry().model(spec.name).paper)
    assert spec.networks[0].locate() == home / "nets/mine.onnx"
    with default_registry().create("mobilenetv3-arcface:mine", role="embedder") as mine:
        assert mine.space == f"mobilenetv3-arcface:{str(own.sha256)[:12]}"
        assert not mine.networks.own_weights
    assert spec.full_name in [one.full_name for one in default_registry().models("embedder", tagged=True)]


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "not stated"])
def test_a_server_must_hold_a_users_file(stated: bool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "x.onnx").write_bytes(b"x")
    digest = file_sha256(home / "x.onnx")
    line = f'sha256 = "{digest}"\n' if stated else ""
    (home / FILE).write_text(f'["yunet:mine"]\nfile = "x.onnx"\n{line}')
    asked: list[str | None] = []
    monkeypatch.setattr(
        "facereg.networks.triton.runner.TritonRunner", lambda spec, address, *, sha256: asked.append(sha256)
    )
    [spec] = default_registry().model("yunet:mine").networks
    open_network(spec, runner="triton://127.0.0.1:1")
    assert asked == [digest]


def test_a_users_folder_has_the_files_of_several_networks(home: Path) -> None:
    for network in NETWORKS:
        (home / "nets").mkdir(exist_ok=True)
        shutil.copy(network.locate(), home / "nets")
    (home / FILE).write_text('["mtcnn:mine"]\nfile = "nets"\n')
    found = default_registry().model("mtcnn:mine").networks
    assert [network.locate() for network in found] == [home / "nets" / network.file for network in NETWORKS]


def test_each_network_may_have_a_file_of_its_own(home: Path) -> None:
    tables = [f'["mtcnn:mine".networks.{network.name}]\nfile = "{network.locate()}"' for network in NETWORKS]
    (home / FILE).write_text("\n".join(tables))
    found = default_registry().model("mtcnn:mine").networks
    assert [network.locate() for network in found] == [network.locate() for network in NETWORKS]


def test_a_users_file_is_checked_where_its_sum_is_stated(home: Path) -> None:
    (home / "x.onnx").write_bytes(b"x")
    (home / FILE).write_text(f'["ssd300-vgg16:mine"]\nfile = "x.onnx"\nsha256 = "{file_sha256(home / "x.onnx")}"')
    [network] = default_registry().model("ssd300-vgg16:mine").networks
    assert network.locate() == home / "x.onnx"
    (home / "x.onnx").write_bytes(b"y")
    with pytest.raises(WeightsError, match="x.onnx: wrong checksum, .*; correct sha256 where you added it"):
        network.locate()
    (home / "x.onnx").unlink()
    with pytest.raises(WeightsError, match="^ssd300-vgg16:mine: expected the weights file .*x.onnx, found none; corr"):
        network.locate()


@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        ("yunet:mine", "nets", "^yunet:mine: expected the weights file .*nets, found a folder; correct its place"),
        ("mtcnn:mine", "x.onnx", "^mtcnn:mine: mtcnn-pnet: expected the weights .*pnet.onnx, found none, as .*x.onnx"),
        ("mtcnn:mine", "nets", "^mtcnn:mine: mtcnn-pnet: expected the weights file .*nets/pnet.onnx, found none; corr"),
        ("yunet:mine", "link", "^yunet:mine: expected the weights file .*link, found a link to nothing; correct"),
        ("yunet:mine", "loop", "^yunet:mine: expected the weights file .*loop, found what cannot be looked at"),
        ("yunet:mine", "pipe", "^yunet:mine: expected the weights file .*pipe, found a pipe; correct its place"),
    ],
    ids=["folder", "file for folder", "folder without it", "dead link", "loop", "pipe"],
)
def test_what_is_in_place_of_a_users_file_is_named(name: str, file: str, words: str, home: Path) -> None:
    (home / "nets").mkdir()
    (home / "x.onnx").write_bytes(b"x")
    (home / "link").symlink_to("gone")
    (home / "loop").symlink_to("loop")
    os.mkfifo(home / "pipe")
    (home / FILE).write_text(f'["{name}"]\nfile = "{file}"\n')
    with pytest.raises(WeightsError, match=words):
        open_network(default_registry().model(name).networks[0])


def test_messages_of_a_network_name_the_model_and_tag(home: Path) -> None:
    shutil.copy(default_registry().model("mobilenetv3-arcface").networks[0].locate(), home / "x.onnx")
    (home / FILE).write_text('["mobilenetv3-arcface:mine"]\nfile = "x.onnx"\n')
    [spec] = default_registry().model("mobilenetv3-arcface:mine").networks
    with open_network(spec) as runner, pytest.raises(ContractError, match="^mobilenetv3-arcface:mine: expected the te"):
        runner.infer({})


@pytest.mark.parametrize("made", ["folder", "link", "pipe"])
def test_what_is_in_place_of_the_table_is_named(made: str, home: Path) -> None:
    how = {
        "folder": Path.mkdir,
        "link": lambda path: path.symlink_to("gone"),
        "pipe": os.mkfifo,
    }
    how[made](home / FILE)
    with pytest.raises(
        WeightsError, match="weights.toml: expected a table of weights, (got a|but the file is missing)"
    ):
        default_registry().models(tagged=True)


def test_weights_of_a_model_without_networks_are_refused(home: Path) -> None:
    (home / FILE).write_text('["five-point:mine"]\nfile = "x"\n')
    with pytest.raises(
        WeightsError, match=r"\['five-point:mine'\]: five-point has no networks, and so no weights; rem"
    ):
        default_registry().model("five-point:mine")


def test_weights_of_no_model_are_named_where_they_are_missed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / FILE).write_text('["yunett:mine"]\nfile = "x"\n[other]\nfile = "y"\n')
    line = "weights.toml, ['yunett:mine']: no model named 'yunett' is installed; did you mean 'yunet'? see 'facereg mod"
    with pytest.raises(UnknownNameError, match=f"no weights 'mine' of 'yunet'; tags: none; .*{re.escape(line)}"):
        default_registry().model("yunet:mine")
    show(None)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert line in said[0]
    assert "['other']: no model named 'other' is installed; see 'facereg models'" in said[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "weights.toml: expected a table of weights in TOML"),
        ('"mtcnn:mine" = 1', r"\['mtcnn:mine'\]: expected a table, got 1"),
        ('["mtcnn:mine"]\nfiles = "x"', "unknown key 'files'; allowed: file, address, sha256, size"),
        ('["mtcnn:mine"]\nfile = 1', "file: expected a text, got 1"),
        ('["mtcnn:mine"]\nlicence = "x"', "expected a file or an address for mtcnn-pnet, got neither"),
        ('["mtcnn:mine"]\nfile = ""', "expected a file or an address for mtcnn-pnet, got neither"),
        ('["yunet:mine"]\naddress = []', "expected a file or an address for yunet, got neither"),
        ('["mtcnn:mine"]\naddress = "https://h/x"', "expected address of each network"),
        ('["mtcnn:mine".networks.mtcnn-qnet]\nfile = "x"', "networks: unknown key 'mtcnn-qnet'; allowed: mtcnn-pnet"),
        ('["mtcnn:Mine"]\nfile = "x"', r"\['mtcnn:Mine'\]: expected MODEL:TAG, as 'mtcnn:mine', the tag of small"),
        ('["mtcnn:mine"]\nfile = "x"\nlicence = "a\\nb"', "licence: expected one line of text"),
        ('["mtcnn:mine"]\nfile = "x"\n["mtcnn"]\nfile = "x"', r"\['mtcnn'\]: expected MODEL:TAG, as 'mtcnn:mine'"),
    ],
)
def test_a_table_that_does_not_read_is_named(text: str, words: str, home: Path) -> None:
    (home / FILE).write_text(text)
    with pytest.raises(WeightsError, match=words) as caught:
        default_registry().model("yunet:mine" if "yunet" in text else "mtcnn:mine")
    assert "\n" not in str(caught.value)
    assert default_registry().model("mtcnn").tag == ""  # who asks for none of them is not kept


def test_a_users_tag_is_none_of_the_plugins(home: Path) -> None:
    (home / FILE).write_text('["yolov5s-face:int8"]\nfile = "x"\n')
    assert default_registry().model("yolov5s-face:int8").networks[0].local is None
    with pytest.raises(WeightsError, match="yolov5s-face has weights of that tag already; choose another"):
        default_registry().models(tagged=True)
