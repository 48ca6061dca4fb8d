"""Settings of the recipe `adnet-star`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facereg import ContractError
from facereg_adnet.losses import DISTANCES
from facereg_adnet.networks import MULTIPLE
from facereg_adnet.pictures import Look

MOST_OFFSET = 20  # px
PEOPLE = ("name", "folder", "picture")
LOSSES = ("star", "star-first", "direction", "direction-fixed")


@dataclass(frozen=True, slots=True)
class AdnetSettings(Look):
    """Settings of the recipe; names of lists are relative to the data folder, commas between several."""

    points: str = "landmarks-68pt/train_68pt.txt"  # lists, or folders of .pts files
    format: str = "68pt"  # of the lists: 68pt, wflw, pts or cofw
    images: str = "images"  # folder of their pictures, beside each list
    offset: str = "0,0"  # px, x and y, by which the lists' points lie beside what they mark; it is taken off
    pseudo: str = ""  # labels that `facereg data pseudo-label --aligner` wrote, relative to the data folder
    least: float = 32.0  # px; pseudo-labelled faces whose points span less are left out
    layout: str = "300w-68"  # or wflw-98, cofw-29
    stacks: int = 4  # hourglasses
    side: int = 256  # px of the crops, a multiple of 64
    width: int = 256  # channels
    loss: str = "star"  # star-first, direction (ADNet's, as published) or direction-fixed (its paper's)
    distance: str = "smooth-l1"  # or wing, l2
    spread: float = 0.75  # cells; sigma of the points and edges drawn on the maps
    epochs: float = 500.0
    batch: int = 32  # of all devices together
    lr: float = 1e-3
    milestones: str = "0.4,0.7,0.9"  # shares of the run from which the rate is a tenth of what it was
    warmup: int = 100  # steps
    average: float = 0.999  # share of the averaged weights kept at each step; they are what is written
    keep_out: int = 10  # one person in so many is not learned from, to choose settings on; 0: none is kept out
    people: str = "name"  # whose a picture is: by name, as NAME_12.jpg, by folder, or each picture by itself: picture
    look: int = 1000  # steps between two measurements on them
    init: str = ""  # ONNX or safetensors file of a run to start from
    precision: str = "auto"  # Lightning's; auto is bf16-mixed where the device has bfloat16, else 32-true
    workers: int = 0  # processes that draw crops
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {"loss": LOSSES, "distance": tuple(DISTANCES), "people": PEOPLE}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ContractError(f"{name}: expected {', '.join(known)}, got {getattr(self, name)!r}")
        if self.side < MULTIPLE or self.side % MULTIPLE or self.stacks < 1 or self.width < 4 or self.width % 4:
            raise ContractError(
                f"expected a side that is a multiple of {MULTIPLE}, a width that is one of 4, and a stack or more, "
                f"got {self.side}, {self.width} and {self.stacks}"
            )
        if not (self.spread > 0 and self.epochs > 0 and self.batch > 0 and self.look > 0):
            raise ContractError("expected spread, epochs, batch and look above 0")
        self.falls()
        self.lies_off()

    def lies_off(self) -> tuple[float, float]:
        """Return the offset.

        Raises:
            ContractError: if it is no two numbers of px.
        """
        try:
            x, y = (float(word) for word in self.offset.split(","))
        except ValueError:
            x = y = math.inf
        if not (abs(x) <= MOST_OFFSET and abs(y) <= MOST_OFFSET):
            raise ContractError(f"offset: expected x,y of at most {MOST_OFFSET} px, as 1.1,0, got {self.offset!r}")
        return x, y

    def falls(self) -> list[float]:
        """Return the milestones.

        Raises:
            ContractError: if one is no share.
        """
        try:
            shares = [float(word) for word in self.milestones.split(",") if word]
        except ValueError:
            shares = [-1.0]
        if not all(0 < share <= 1 for share in shares):
            raise ContractError(f"milestones: expected shares of the run, as 0.4,0.7,0.9, got {self.milestones!r}")
        return shares
