"""A run that was stopped and resumed ends as one that was not."""

from __future__ import annotations

import logging
import random
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from facereg.errors import ContractError, DatasetError, FaceregError, WeightsError
from facereg.training import fitting
from facereg.training.batches import Batches, count_steps, step_seed
from facereg.training.curves import join_logs, read_log
from facereg.training.fitting import fit
from tests.disks import filled, small_disk

pytestmark = pytest.mark.train
ROWS = TensorDataset(torch.arange(10.0)[:, None].repeat(1, 3))
STEPS = 11  # of 3 rows, 3 a pass


class StopError(Exception):
    """A run that ends as a killed one does: nothing more is written."""


class Noisy(lightning.LightningModule):
    """A line with dropout that learns from drawn noise; notes the rows it sees."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
        self.stop = stop
        self.seen: list[list[float]] = []
        self.scores: dict[str, float] = {}

    def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
        if self.global_step == self.stop:
            raise StopError
        self.seen.append(batch[0][:, 0].tolist())
        loss: Tensor = (self.network(batch[0]) - torch.randn(3, 1) - random.random()).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def shuffled(batch: int) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(ROWS, batch, shuffle=True)


def train(
    out: Path, *, stop: int | None = None, resume: bool = False, steps: int = STEPS, average: float = 0.0
) -> Noisy:
    module = Noisy(stop)
    module.scores = fit(module, shuffled(3), out, steps=steps, seed=5, resume=resume, devices=1, average=average)
    return module


def test_a_disk_that_is_full_takes_no_checkpoint_and_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 2)
    with small_disk(tmp_path / "disk", "200k") as disk, ExitStack() as full:

        class Filling(Noisy):
            def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
                if self.global_step == 5:
                    full.enter_context(filled(disk))
                return super().training_step(batch, index)

        train(disk, steps=4)
        before = (disk / "last.ckpt").read_bytes()
        for module in (Filling(), Noisy()):  # full while it runs, and from the start
            with pytest.raises(FaceregError, match=r"cannot be written \(No space left on device\); check"):
                fit(module, shuffled(3), disk, steps=8, seed=5, resume=True, devices=1)
            assert (disk / "last.ckpt").read_bytes() == before
        full.close()
        whole, resumed = train(tmp_path / "whole", steps=8), train(disk, steps=8, resume=True)
        assert resumed.seen == whole.seen[4:]


def test_a_training_that_diverges_says_so_and_keeps_the_weights_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 2)

    class Diverging(Noisy):
        def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
            loss = super().training_step(batch, index)
            return loss * float("nan") if self.global_step >= 4 else loss

    with pytest.raises(WeightsError, match=r"diverged, by step 6 its weights are NaN .* lower lr; last.ckpt is as it"):
        fit(Diverging(), shuffled(3), tmp_path, steps=STEPS, seed=5, devices=1)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


def test_an_interruption_is_one_for_whoever_called(tmp_path: Path) -> None:
    class Interrupted(Noisy):
        def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(Interrupted(), shuffled(3), tmp_path, steps=2, seed=5, devices=1)
        assert signal.getsignal(signal.SIGINT) == before
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_says_nothing_of_its_trainer_but_warnings(tmp_path: Path) -> None:
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addHandler(handler)
    try:
        fit(Noisy(), DataLoader(ROWS, 3), tmp_path / "run", steps=2)
        assert told == []
        lightning.Trainer(logger=False)  # whoever uses Lightning beside us sees what it says
        assert told
    finally:
        logger.removeHandler(handler)


def test_a_run_of_another_network_is_not_gone_on_with(tmp_path: Path) -> None:
    class Other(Noisy):
        def __init__(self) -> None:
            super().__init__()
            self.network.append(nn.Linear(1, 2))

    train(tmp_path, steps=2)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(
        WeightsError, match=r"last.ckpt: expected the state of this run, got that of another network.*3"
    ):
        fit(Other(), shuffled(3), tmp_path, steps=4, seed=5, resume=True, devices=1)
    assert (tmp_path / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize("average", [0.0, 0.9], ids=["", "average"])
@pytest.mark.parametrize(("every", "stop"), [(3, 4), (4, 6), (9, 9), (1, 10)], ids=["pass", "middle", "late", "last"])
def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    every: int, stop: int, average: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", every)
    whole = train(tmp_path / "whole", average=average)
    with pytest.raises(StopError):
        train(tmp_path / "parts", stop=stop, average=average)
    saved = stop // every * every
    assert torch.load(tmp_path / "parts/last.ckpt", weights_only=True)["global_step"] == saved
    torch.rand(99)  # whatever the process did meanwhile
    resumed = train(tmp_path / "parts", resume=True, average=average)
    assert resumed.seen == whole.seen[saved:]
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    held = torch.load(tmp_path / "parts/last.ckpt", weights_only=True)
    assert held["global_step"] == STEPS
    assert held["lr_schedulers"][0]["last_epoch"] == STEPS


def test_a_run_ends_with_the_average_of_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 1)
    kept: list[dict[str, torch.Tensor]] = []

    class Keeping(Noisy):
        def on_train_batch_end(self, *given: object) -> None:
            kept.append({name: value.detach().clone() for name, value in self.named_parameters()})

    module = Keeping(None)
    fit(module, shuffled(3), tmp_path, steps=3, seed=5, devices=1, average=0.75)
    held = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in module.named_parameters():
        first, second, third = (weights[name] for weights in kept)
        mean = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
        assert torch.allclose(value, mean, atol=1e-6), name
        assert torch.equal(held[name], value), name


def test_a_run_that_has_ended_goes_on_where_more_steps_are_asked_for(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", steps=5)
    longer = train(tmp_path / "parts", resume=True)
    assert longer.seen == whole.seen[5:]
    for name, value in whole.state_dict().items():
        assert torch.equal(longer.state_dict()[name], value), name
    logs = [read_log(tmp_path / folder / "log/metrics.csv")["loss"] for folder in ("whole", "parts")]
    assert [step for step, _ in logs[1]] == [4, 10]  # where each part ended
    assert logs[1][1] == logs[0][-1]
    again = train(tmp_path / "parts", resume=True)  # nothing is left to do
    assert again.seen == []
    assert again.scores == longer.scores == {"loss": logs[1][1][1]}
    assert torch.equal(again.state_dict()["network.2.weight"], whole.state_dict()["network.2.weight"])
    assert read_log(tmp_path / "parts/log/metrics.csv")["loss"] == logs[1]


def test_the_log_of_a_resumed_run_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("epoch,loss,step\n0,3.0,19\n0,2.0,39\n0,9.0,59\n")
    (tmp_path / "b.csv").write_text("loss,cosine,step\n1.0,0.5,59\n0.5,0.6,79\n")
    join_logs(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "b.csv")
    assert read_log(tmp_path / "b.csv") == {
        "loss": [(19, 3.0), (39, 2.0), (59, 1.0), (79, 0.5)],
        "cosine": [(59, 0.5), (79, 0.6)],
    }
    join_logs(tmp_path / "none.csv", tmp_path / "b.csv", tmp_path / "c.csv")
    assert read_log(tmp_path / "c.csv") == read_log(tmp_path / "b.csv")


def test_every_pass_over_the_rows_is_in_an_order_of_its_own() -> None:
    batches = Batches(shuffled(3), steps=6, seed=5)
    passes = [[row for step in range(3 * number, 3 * number + 3) for row in batches.rows_of(step)] for number in (0, 1)]
    for rows in passes:
        assert len(set(rows)) == len(rows) == 9  # the tenth fills no batch
        assert set(rows) <= set(range(10))
    assert passes[0] != passes[1]
    assert batches.rows_of(0) == passes[0][:3]  # whatever was asked for before
    assert Batches(shuffled(3), steps=6, seed=6).rows_of(0) != passes[0][:3]


def test_rows_that_are_not_shuffled_stay_in_order() -> None:
    batches = Batches(DataLoader(ROWS, 4), steps=4, seed=5)
    assert [batches.rows_of(step) for step in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]
    assert Batches(DataLoader(ROWS, 99), steps=4, seed=5).rows_of(3) == list(range(10))
    with pytest.raises(ContractError, match="expected a batch size, got none"):
        Batches(DataLoader(ROWS, None), steps=4, seed=5)


def test_processes_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import distributed

    whole = Batches(shuffled(4), steps=4, seed=5).rows_of(3)
    assert len(whole) == 4
    shared = Batches(shuffled(2), steps=4, seed=5)
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        shares.append(shared.rows_of(3))
    assert shares == [whole[:2], whole[2:]]
    assert len({step_seed(5, step, rank) for step in range(3) for rank in range(2)}) == 6


def test_steps_are_counted_in_whole_batches() -> None:
    assert count_steps(10, batch=3, epochs=1.5) == 5  # 4.5
    assert count_steps(9, batch=3, epochs=2) == 6
    with pytest.raises(DatasetError, match="expected at least one batch of 3 faces, got 2; pass --set batch=2"):
        count_steps(2, batch=3, epochs=9)
