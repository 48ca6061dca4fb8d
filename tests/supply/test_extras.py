"""What an install without extras does: every command whose work needs none, and one line where it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = (  # what the packages of [app], [study], [train] and [triton] are imported by
    *("supervision", "av", "matplotlib", "skimage", "sklearn", "scipy", "umap"),
    *("torch", "torchvision", "lightning", "pytorch_metric_learning", "onnx", "onnxscript", "safetensors"),
    "tritonclient",
)
PROGRAM = f"""
import contextlib, io, json, sys

for name in {EXTRAS}:
    sys.modules[name] = None
from facereg.cli import main

for line in sys.stdin:
    sys.argv = ["facereg", *json.loads(line)]
    said, status = io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
    print(json.dumps([status, said.getvalue()]))
"""


def called(*commands: list[str], home: Path) -> list[tuple[int, str]]:
    """Return the status and stderr of each command, all in one process without the packages of the extras."""
    environment = {**os.environ, "FACEREG_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    given = "".join(json.dumps(command) + "\n" for command in commands)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=given, capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [(status, said) for status, said in map(json.loads, done.stdout.splitlines())]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people of three pictures each: altered copies of two photographs, made where the extras are."""
    from facereg.images import write_image
    from facereg.testing.pictures import portraits

    for name, portrait in zip(("Ada", "Bo"), portraits(), strict=True):
        for number in (1, 2, 3):
            write_image(tmp_path / "people" / name / f"{name}_{number:04d}.jpg", portrait.image[:, number:])
    return tmp_path / "people"


def test_every_base_command_works_without_extras(people: Path, tmp_path: Path) -> None:
    first, second = sorted(people.glob("Ada/*"))[:2]
    pairs, gallery = tmp_path / "pairs.txt", tmp_path / "g.gallery"
    pairs.write_text("2\nAda 1 2\nBo 1 2\nAda 1 Bo 1\nAda 2 Bo 2\n")
    commands = [
        ["--help"],
        ["plugins", "list"],
        ["models"],
        ["models", "mtcnn"],
        ["detect", str(first)],
        ["landmarks", str(first)],
        ["embed", str(people), "--out", str(tmp_path / "faces.npz")],
        ["verify", str(first), str(second)],
        ["enroll", str(people), "--gallery", str(gallery)],
        ["identify", str(people), "--gallery", str(gallery), "--threshold", "0.4"],
        ["gallery", "list", "--gallery", str(gallery)],
        ["calibrate", "--images", str(people), "--pairs", str(pairs), "--far", "0.5"],
        ["evaluate", "identification", "--images", str(people), "--enrolled-images", "1", "--seeds", "1"],
        ["data", "clean", str(people), "--out", str(tmp_path / "clean")],
    ]
    for command, (status, said) in zip(commands, called(*commands, home=tmp_path / "home"), strict=True):
        assert status == 0, f"{command}: {said}"


def test_work_that_needs_an_extra_names_it_before_it_begins(people: Path, tmp_path: Path) -> None:
    first, out = str(sorted(people.glob("Ada/*"))[0]), str(tmp_path / "out")
    pairs, gallery = tmp_path / "pairs.txt", str(tmp_path / "g.gallery")
    pairs.write_text("2\nAda 1 2\nBo 1 2\nAda 1 Bo 1\nAda 2 Bo 2\n")
    chosen = ["--images", str(people), "--pairs", str(pairs), "--threshold-pairs", str(pairs)]
    commands = {
        "drawing needs supervision": [
            ["detect", first, "--draw", out],
            ["landmarks", first, "--sheet", f"{out}.png"],
            ["identify", first, "--gallery", gallery, "--draw", out],
            ["evaluate", "landmarks", "--images", out, "--annotations", str(pairs), "--worst", out],
        ],
        "evaluation needs scikit-learn": [["evaluate", "verification", *chosen]],
        "pictures of curves need matplotlib": [["evaluate", "verification", *chosen, "--out", f"{out}.json"]],
    }
    assert called(["enroll", str(people), "--gallery", gallery], home=tmp_path / "home")[0][0] == 0
    given = [(words, command) for words, each in commands.items() for command in each]
    for (words, _), (status, said) in zip(
        given, called(*[command for _, command in given], home=tmp_path / "home"), strict=True
    ):
        assert (status, said) == (1, f"facereg: {words}; pip install 'facereg-core[app]'\n")
    assert not Path(out).exists()
