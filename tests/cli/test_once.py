"""How often `identify` touches a picture, counted by doubles that stand where the work is done."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from facereg import types
from facereg.decoding.decoder import Opened
from facereg.pipeline.composer import Pipeline
from facereg.roles import Aligner, Detector
from facereg.types import Image
from tests.calling import Run


def test_a_picture_is_decoded_once_checked_once_and_never_copied(
    people: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The aligner gets the very array that the decoder made."""
    assert run("enroll", people, "--gallery", tmp_path / "g.gallery").status == 0
    counts: Counter[str] = Counter()
    decoded: list[Image] = []
    given: dict[str, list[Image]] = {"detector": [], "aligner": []}
    decode, check = Opened.decode, types.check_image
    with Pipeline.create() as pipeline:
        found, aligned = type(pipeline.detector), type(pipeline.aligner)
    detect, align = found._detect, aligned._align

    def decode_counted(self: Opened) -> Image:
        decoded.append(decode(self))
        return decoded[-1]

    def check_counted(image: object, **words: str) -> Image:
        counts["checked"] += 1
        return check(image, **words)

    def detect_noted(self: Detector, images: Sequence[Image]) -> Any:
        given["detector"] += images
        return detect(self, images)

    def align_noted(self: Aligner, images: Sequence[Image], *rest: Any) -> Any:
        given["aligner"] += images
        return align(self, images, *rest)

    monkeypatch.setattr(Opened, "decode", decode_counted)
    monkeypatch.setattr(found, "_detect", detect_noted)
    monkeypatch.setattr(aligned, "_align", align_noted)
    for name, module in list(sys.modules.items()):
        if name.startswith("facereg") and "check_image" in vars(module):
            monkeypatch.setattr(module, "check_image", check_counted)

    called = run("identify", people, "--gallery", tmp_path / "g.gallery", "--threshold", "0.3")
    assert called.status == 0
    assert counts["checked"] == len(decoded) == 4
    for images in given.values():
        assert [id(image) for image in images] == [id(image) for image in decoded]
