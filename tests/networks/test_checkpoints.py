"""Checkpoints are numbers: code in them does not run, and weights that are no numbers are refused."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from facereg.errors import WeightsError
from facereg.networks.checkpoints import load_checkpoint, read_checkpoint, read_tensors
from facereg.training.fitting import fit

pytestmark = pytest.mark.train
Reader = Callable[[Path], None]


class Malicious:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def resume(path: Path) -> None:
    import lightning

    path.rename(path.with_name("last.ckpt"))
    rows = DataLoader(TensorDataset(torch.zeros(4, 2)), 2)
    fit(lightning.LightningModule(), rows, path.parent, steps=1, seed=0, resume=True, devices=1)


def mobilenet(path: Path) -> None:
    from facereg_mobilenetv3.networks import MobileNetV3Embedder

    from facereg.training import load_embedder

    load_embedder(MobileNetV3Embedder(), path)


def ssd(path: Path) -> None:
    from facereg_ssd.networks import build_network
    from facereg_ssd.starting import load_network

    load_network(build_network(), path)


def mtcnn(path: Path) -> None:
    from facereg_mtcnn.publish import convert_published

    path.rename(path.with_name("pnet.pt"))
    convert_published(path.parent, path.parent)


READERS: dict[str, Reader] = {"resume": resume, "mobilenet": mobilenet, "ssd": ssd, "mtcnn": mtcnn}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
def test_code_in_a_checkpoint_does_not_run(read: Reader, legacy: bool, tmp_path: Path) -> None:
    path, mark = tmp_path / "w.ckpt", tmp_path / "ran"
    held = {"state_dict": {"network.x": torch.zeros(1)}, "more": Malicious(mark)}
    if legacy:
        path.write_bytes(pickle.dumps(held))
    else:
        torch.save(held, path)
    with pytest.raises(WeightsError, match="tensors alone"):
        read(path)
    assert not mark.exists()
    [there] = tmp_path.iterdir()
    with there.open("rb") as stream:
        pickle.load(stream) if legacy else torch.load(stream, weights_only=False)
    assert mark.exists()  # it would have run


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_weights_that_are_no_numbers_are_refused(read: Reader, value: float, tmp_path: Path) -> None:
    torch.save({"state_dict": {"network.x": torch.tensor([1.0, value])}}, tmp_path / "w.ckpt")
    with pytest.raises(WeightsError, match=r"'network\.x': expected finite weights"):
        read(tmp_path / "w.ckpt")


def test_a_safetensors_file_of_no_numbers_is_refused(tmp_path: Path) -> None:
    module = nn.Linear(2, 1)
    save_file({"weight": torch.tensor([[1.0, torch.nan]]), "bias": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="'weight': expected finite weights"):
        load_checkpoint(module, tmp_path / "w.safetensors")
    assert torch.isfinite(module.weight).all()


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 100, b"PK\x03\x04" + b"\x00" * 40, b"\x80\x02."])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(content)
    for read in (read_checkpoint, read_tensors):
        with pytest.raises(WeightsError, match="expected weights"):
            read(tmp_path / "w", expected="weights")
    with pytest.raises(WeightsError, match="found none"):
        read_checkpoint(tmp_path / "missing", expected="weights")
