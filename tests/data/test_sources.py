"""Labelled pictures of several origins: what is kept out stays out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from facereg.data.boxes import read_wider
from facereg.data.sources import read_sources
from facereg.data.splits import held_out
from facereg.errors import DatasetError
from facereg.images import write_image
from facereg.testing.pictures import noise


def test_a_copy_of_a_picture_kept_out_is_not_learned_from(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(20)]
    kept, test = held_out(names, key=str)
    for number, name in enumerate(names):
        write_image(tmp_path / "images" / name, noise(20, 20, seed=number))
    (tmp_path / "images" / kept[0]).write_bytes((tmp_path / "images" / test[0]).read_bytes())
    (tmp_path / "list.txt").write_text("".join(f"{name}\n1\n2 2 8 8\n" for name in names))
    row = {"image": f"images/{kept[0]}", "boxes": [[2, 2, 10, 10]], "scores": [0.9], "points": [[[3, 3]] * 5]}
    (tmp_path / "pseudo.jsonl").write_text(json.dumps(row) + "\n")
    hand, rest = read_sources(tmp_path, crowds="list.txt", pseudo=["pseudo.jsonl"], points=[])
    assert [item.path.name for item in hand] == kept[1:]
    assert rest == []
    hand, _ = read_sources(tmp_path, crowds="list.txt", pseudo=[], points=[], keep_out=False)
    assert [item.path.name for item in hand] == names


def test_pictures_without_faces_and_faces_without_points_are_learned_from_too(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "crowd.png", noise(20, 20))
    (tmp_path / "list.txt").write_text("crowd.png\n1\n2 2 8 8\n")
    five = [[[4, 4], [8, 4], [6, 6], [4, 8], [8, 8]]]
    rows = [
        {"image": "images/crowd.png", "boxes": [[2, 2, 10, 10]], "scores": [0.9], "points": [[]]},
        {"image": "nobody.png", "boxes": [], "scores": [], "points": []},
        {"image": "bare.png", "boxes": [[2, 2, 10, 10]], "scores": [0.9], "points": [[]]},
        {"image": "whole.png", "boxes": [[2, 2, 10, 10]], "scores": [0.9], "points": five},
    ]
    (tmp_path / "pseudo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [crowd], rest = read_sources(tmp_path, crowds="list.txt", pseudo=["pseudo.jsonl"], points=[], keep_out=False)
    assert np.isnan(crowd.points).all()
    assert [item.points.shape for item in rest] == [(0, 5, 2), (1, 5, 2), (1, 5, 2)]
    assert [bool(np.isnan(item.points).all()) for item in rest[1:]] == [True, False]


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(DatasetError, match="five.txt"):
        read_sources(tmp_path, crowds="list.txt", pseudo=[], points=["five.txt"])


@pytest.mark.data
def test_no_picture_of_the_crowds_is_both_learned_from_and_kept_out(face_data: Path) -> None:
    crowds = face_data / "faces-in-crowds"
    _, test = held_out(read_wider(crowds / "dev_bbx_gt.txt", crowds / "images"), key=lambda item: item.path.name)
    hand, _ = read_sources(face_data, crowds="faces-in-crowds/dev_bbx_gt.txt", pseudo=[], points=[])
    judged = {item.path.read_bytes() for item in test}
    assert (len(hand), len(test)) == (468, 130)  # of 470, two are copies of pictures kept out
    assert not any(item.path.read_bytes() in judged for item in hand)


def test_a_name_that_is_no_utf8_is_on_one_side_too() -> None:
    name = os.fsdecode(b"M\xfcller.jpg")
    assert sorted(map(len, held_out([name], key=str))) == [0, 1]
