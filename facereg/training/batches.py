"""Batches that are a function of seed and step, so that a resumed run sees what it would have seen."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sized
from typing import cast

import numpy as np
from torch import distributed
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from facereg.errors import ContractError, DatasetError


def count_steps(rows: int, *, batch: int, epochs: float) -> int:
    """Return the steps of so many passes over the rows; what does not fill a batch is left for another pass.

    Raises:
        DatasetError: if the rows do not fill one batch.
    """
    if rows < batch:
        raise DatasetError(f"data: expected at least one batch of {batch} faces, got {rows}; pass --set batch={rows}")
    return math.ceil(epochs * (rows // batch))


class Batches:
    """The batches of a whole run, one a step, in whole batches of a loader's data set.

    Lightning saves and restores where this stands, and takes the run for one long epoch. Processes that train
    together share each batch between them.

    Args:
        loader: gives the data set, the rows of one process, whether they are shuffled, and how they are fetched. A
            shuffled data set is in an order of its own in every pass; another sampler is drawn from anew in every pass,
            by numpy's generator seeded for it.
        steps: batches in all.
    Raises:
        ContractError: if the loader does not say how many rows make a batch.
    """

    def __init__(self, loader: DataLoader[object], *, steps: int, seed: int) -> None:
        if loader.batch_size is None:
            raise ContractError("loader: expected a batch size, got none; pass batch_size to the DataLoader")
        self.loader, self.share, self.steps, self.seed = loader, loader.batch_size, steps, seed
        self.step = 0  # batches given
        self._count = len(cast(Sized, loader.sampler))
        self._order: tuple[int, list[int]] = (-1, [])  # pass, its rows

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[object]:
        batches: DataLoader[object] = DataLoader(
            self.loader.dataset,
            batch_sampler=(self.rows_of(step) for step in range(self.step, self.steps)),
            collate_fn=self.loader.collate_fn,
            num_workers=self.loader.num_workers,
            pin_memory=self.loader.pin_memory,
        )
        for batch in batches:
            self.step += 1  # before it is given: a checkpoint is written while this waits
            yield batch

    def rows_of(self, step: int) -> list[int]:
        """Return this process's rows of a step."""
        together = distributed.is_available() and distributed.is_initialized()
        rank, processes = (distributed.get_rank(), distributed.get_world_size()) if together else (0, 1)
        batch = self.share * processes
        number, place = divmod(step, max(1, self._count // batch))
        if self._order[0] != number:
            self._order = (number, self._draw(number))
        start = place * batch + rank * self.share  # together: a sampler may have put rows of one person side by side
        return self._order[1][start : min(start + self.share, (place + 1) * batch)]

    def _draw(self, number: int) -> list[int]:
        """Return the rows of a pass in their order, whatever was drawn before."""
        if isinstance(self.loader.sampler, RandomSampler):
            rows: list[int] = np.random.default_rng((self.seed, number)).permutation(self._count).tolist()
            return rows
        if isinstance(self.loader.sampler, SequentialSampler):
            return list(range(self._count))
        kept = np.random.get_state()  # noqa: NPY002  (the generator that samplers draw from)
        np.random.seed(step_seed(self.seed, number, 0))  # noqa: NPY002
        try:
            return list(copy.deepcopy(self.loader.sampler))  # one that shuffles its own lists does so from their start
        finally:
            np.random.set_state(kept)  # noqa: NPY002

    def state_dict(self) -> dict[str, int]:
        """Return where the run stands."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.step = state["step"]


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of everything that is drawn at random in one step of one process."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])
