"""Settings of a recipe from words, and checkpoints that do not fit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest

from facereg.errors import ContractError, RunnerError, WeightsError
from facereg.training.settings import describe_settings, parse_settings

WEIGHTS = Path(str(files("facereg_mtcnn"))) / "weights"


@dataclass(frozen=True)
class Settings:
    """One of each kind."""

    epochs: int = 3
    lr: float = 1e-3
    name: str = ""
    compile: bool = False
    limit: int | None = 5


def test_words_become_values_of_the_fields_type() -> None:
    given = {"epochs": "7", "lr": "2e-4", "name": "7", "compile": "yes", "limit": "none"}
    assert parse_settings(Settings, given) == Settings(7, 2e-4, "7", True, None)
    assert parse_settings(Settings, {"limit": "9"}).limit == 9
    assert parse_settings(Settings, {}) == Settings()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", "7.5", "--set epochs: expected int, got '7.5'"),
        ("lr", "fast", "--set lr: expected float, got 'fast'"),
        ("compile", "maybe", "--set compile: expected bool, got 'maybe'"),
        ("limit", "many", "--set limit: expected int, got 'many'"),
        ("epoch", "7", "no setting named epoch; this recipe has: epochs, lr, name, compile, limit"),
    ],
)
def test_a_word_that_does_not_read_is_named(key: str, value: str, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        parse_settings(Settings, {key: value})


@dataclass(frozen=True)
class Shared:
    """Settings that recipes share."""

    epochs: float = 1.0
    batch: int = 8
    lr: float = 1e-3
    dropout: float = 0.0
    average: float = 0.0
    seed: int = 0
    devices: int = 0
    size: int = 112
    decay: float = 0.5
    warmup: int = 1
    precision: str = "auto"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", "0", "expected 1e-06 to 1e+06, got 0"),
        ("epochs", "-0.01", "expected 1e-06 to 1e+06, got -0.01"),  # minus one step is Lightning's for ever
        ("epochs", "1e300", "expected 1e-06 to 1e+06, got 1e+300"),
        ("batch", "0", "expected 1 to 1e+06, got 0"),
        ("lr", "-1", "expected 0 to 1000, got -1"),
        ("dropout", "1.5", "expected 0 to 0.99, got 1.5"),
        ("average", "1", "expected 0 to 0.999999, got 1"),
        ("seed", "-1", "expected 0 to 4.29497e+09, got -1"),
        ("devices", "-1", "expected 0 to 1024, got -1"),
        ("size", "100000", "expected 1 to 4096, got 100000"),
        ("decay", "5", "expected 0 to 1, got 5"),
        ("warmup", "-5", "expected 0 to 1e+09, got -5"),
        ("precision", "half", "expected one of 32-true, .*, got 'half'"),
    ],
)
def test_a_setting_that_no_recipe_can_use_is_refused(key: str, value: str, words: str) -> None:
    with pytest.raises(ContractError, match=f"--set {key}: {re.escape(words) if '.*' not in words else words}"):
        parse_settings(Shared, {key: value})


def test_defaults_of_a_recipe_are_its_own_matter() -> None:
    assert parse_settings(Shared, {"precision": "auto", "seed": "4294967295"}) == Shared(seed=2**32 - 1)


def test_settings_are_described_with_their_defaults() -> None:
    assert describe_settings(Settings) == {
        "epochs": "3",
        "lr": "0.001",
        "name": "",
        "compile": "False",
        "limit": "5",
    }


@pytest.mark.train
def test_an_onnx_file_of_other_numbers_than_torch_is_not_shipped() -> None:
    torch = pytest.importorskip("torch")
    from facereg_mtcnn.plugin import networks

    from facereg.networks.checkpoints import load_checkpoint
    from facereg.networks.spec import import_object
    from facereg.training.export import compare_with_torch

    spec = next(spec for spec in networks() if spec.file == "rnet.onnx")
    assert spec.module is not None
    module = import_object(spec.module)()
    load_checkpoint(module, WEIGHTS / "rnet.onnx")
    module.eval()
    assert compare_with_torch(module, spec, WEIGHTS / "rnet.onnx") < 1e-4
    with torch.no_grad():
        next(module.parameters()).mul_(1.1)
    with pytest.raises(RunnerError, match="rnet.onnx: expected ONNX within 0.0001 of torch, got .*; do not ship it"):
        compare_with_torch(module, spec, WEIGHTS / "rnet.onnx")


@pytest.mark.train
def test_a_checkpoint_that_does_not_fit_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from facereg_mtcnn.networks import PNet, RNet
    from safetensors.torch import save_file

    from facereg.networks.checkpoints import load_checkpoint

    save_file(PNet().state_dict(), tmp_path / "pnet.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    for path, words in (
        (tmp_path / "gone.safetensors", "expected a checkpoint there, found none; train the model"),
        (tmp_path / "text.safetensors", "expected a checkpoint there, got another file"),
        (tmp_path / "pnet.safetensors", "expected the weights of RNet, got other tensors"),
        (WEIGHTS / "pnet.onnx", "expected the weights of RNet by their names, got an ONNX file without conv1.weight"),
    ):
        with pytest.raises(WeightsError, match=words) as caught:
            load_checkpoint(RNet(), path)
        assert str(path) in str(caught.value)
