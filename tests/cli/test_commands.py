"""Every command on real photographs: its JSON keys, its exit status, its one line of error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import typer

import facereg.cli
from facereg.cli.app import app
from facereg.images import read_image, write_image
from facereg.registry.installed import default_registry
from facereg.types import Image
from tests.calling import Run

FACE = {"box", "score", "landmarks"}
WHO = {"image", "box", "label", "similarity", "accepted", "candidates"}


def commands(group: object = None, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command of the core."""
    group = group or typer.main.get_command(app)
    found = []
    for name in group.list_commands(None):  # type: ignore[attr-defined]
        command = group.get_command(None, name)  # type: ignore[attr-defined]
        if hasattr(command, "list_commands"):
            found += commands(command, (*before, name))
        elif name not in {spec.name for spec in default_registry().commands()}:
            found.append((*before, name))
    return found


def test_the_commands_of_the_design_are_there() -> None:
    named = {" ".join(words) for words in commands()}
    assert named >= {
        *("demo", "detect", "embed", "verify", "enroll", "identify", "calibrate", "train", "export"),
        *(f"gallery {name}" for name in ("list", "show", "rename", "remove", "export", "import", "check")),
        *(f"gallery {name}" for name in ("restore", "rebuild")),
        *(f"evaluate {name}" for name in ("detection", "verification", "identification")),
        *("models show", "models fetch", "plugins list", "plugins check"),
    }


EVERY = [*commands(), *((spec.name,) for spec in default_registry().commands())]  # of the plugins too


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_gives_an_example_and_json(words: tuple[str, ...], run: Run) -> None:
    called = run(*words, "--help")
    assert called.status == 0
    assert f"Example: facereg {' '.join(words)}" in " ".join(called.out.split())
    assert "--json" in called.out
    assert called.err == ""
    assert run(*words, "-h").out == called.out


@pytest.mark.parametrize(
    "statement", ["import facereg", "from facereg.cli.app import app", "import facereg_onnx.arcface"]
)
def test_no_torch_is_imported(statement: str) -> None:
    code = f"import sys; {statement}; print(sorted({{'torch', 'lightning', 'torchvision'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_works_where_there_is_no_torch(tmp_path: Path) -> None:
    for name in ("torch", "torchvision", "lightning", "skimage", "matplotlib", "supervision"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError({name!r})")
    done = subprocess.run(
        [sys.executable, "-m", "facereg", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "identify" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["detect"],
        ["detect", "a.jpg", "--colour"],
        ["identify", "a.jpg"],
        ["verify", "a.jpg", "b.jpg", "--threshold", "2"],
        ["detect", "a.jpg", "--threads", "0"],
        ["evaluate", "verification", "--images", ".", "--pairs", "p.txt", "--out", "figures.txt"],
        ["models", "--role", "cook"],
        ["detect", "a.jpg", "--weights", "mine.onnx"],
        ["detect", "a.jpg", "--weights", "matcher=mine.onnx"],
        ["detect", "a.jpg", "--weights", "detector="],
        ["detect", "a.jpg", "--option", "min_face=40"],
        ["detect", "a.jpg", "--option", "detector.=40"],
        ["detect", "a.jpg", "--option", "detector.min_face"],
        ["detect", "a.jpg", "--runner", "matcher=onnx"],
        ["detect", "a.jpg", "--runner", "onx"],
        ["detect", "a.jpg", "--runner", "triton://127.0.0.1"],
        ["detect", "a.jpg", "--runner", "detector=triton://h:1?cert=c.pem"],
        ["triton", "check", "--runner", "onnx"],
        ["triton", "rollout", "--model", "mtcnn", "--runner", "triton://[::1"],
        ["train", "mtcnn", "--set", "batch"],
        ["triton", "build", "--weights", "mine.onnx"],
    ],
    ids=[
        *("command", "no argument", "option", "no gallery", "range", "threads", "ending", "role"),
        *("weights", "weights of no role", "weights of no path", "option of no role", "option of no name"),
        *(
            "option of no value",
            "runner",
            "no runner",
            "no address",
            "half of TLS",
            "no server",
            "half an address",
            "setting",
            "triton weights",
        ),
    ],
)
def test_bad_usage_ends_with_2(words: list[str], run: Run) -> None:
    called = run(*words)
    assert called.status == 2
    assert called.out == ""
    assert called.err


def test_a_value_that_does_not_read_is_named(run: Run) -> None:
    called = run("detect", "a.jpg", "--option", "min_face=40")
    assert "--option: expected ROLE.NAME=VALUE, as detector.min_face=40, got 'min_face=40'" in called.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["detect", "a.jpg", "--detector", "mtcn"], "no detector named 'mtcn'; did you mean 'mtcnn'?"),
        (["detect", "a.jpg", "--weights", "detector=nowhere"], "nowhere"),
        (["identify", "a.jpg", "--gallery", "no.gallery"], "no.gallery: found no gallery there"),
        (["enroll", "nowhere", "--gallery", "no.gallery"], "nowhere: expected a folder"),
        (["gallery", "list", "--gallery", "no.gallery"], "no.gallery: found no gallery there"),
        (["gallery", "import", "no.npz", "--gallery", "no.gallery"], "no.npz: expected an export"),
        (["train", "mobilenetv3", "--data", "."], "no recipe named 'mobilenetv3'"),
        (["export", "exact", "--out", "x"], "exact: expected a model with networks"),
        (["plugins", "check", "nothing"], "no model named 'nothing'"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
def test_a_failure_is_one_line_and_ends_with_1(
    words: list[str], expected: str, json: bool, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image("a.jpg", np.zeros((40, 40, 3), np.uint8))
    called = run(*words, *(["--json"] if json else []))
    assert (called.status, called.out) == (1, "")
    assert called.error.startswith("facereg: ")
    assert expected in called.error
    assert not (tmp_path / "no.gallery").exists()


def test_detect_gives_a_line_a_picture_and_draws(people: Path, run: Run, tmp_path: Path) -> None:
    called = run("detect", people, "--draw", tmp_path / "drawn", "--json")
    assert called.status == 0
    assert called.error == "facereg: 4 entries: 4 done, 0 skipped, 0 failed"
    assert [Path(str(line["image"])).name for line in called.lines] == ["1.jpg", "2.png"] * 2
    for line in called.lines:
        assert set(line) == {"image", "faces"}
        faces = line["faces"]
        assert isinstance(faces, list)
        assert len(faces) == 1
        assert set(faces[0]) == FACE
        assert np.shape(faces[0]["landmarks"]) == (5, 2)
    drawn = sorted(str(path.relative_to(tmp_path / "drawn")) for path in (tmp_path / "drawn").glob("*/*"))
    assert drawn == ["Eileen Collins/1.jpg", "Eileen Collins/2.png", "Grace Hopper/1.jpg", "Grace Hopper/2.png"]
    assert not np.array_equal(read_image(tmp_path / "drawn" / drawn[0]), read_image(people / "Eileen Collins/1.jpg"))


def test_detect_says_how_many_for_people(people: Path, run: Run) -> None:
    path = people / "Grace Hopper" / "1.jpg"
    first, second = run("detect", path).out.splitlines()
    assert first == f"{path}: 1 face"
    assert second.startswith("  score ")


def test_embed_writes_vectors_of_one_space(people: Path, run: Run, tmp_path: Path) -> None:
    called = run("embed", people, "--out", tmp_path / "faces.npz", "--json")
    assert called.status == 0
    counts = {"embeddings": 4, "images": 4, "refused": [], "skipped": [], "failed": []}
    assert called.document == {"out": str(tmp_path / "faces.npz"), **counts}
    with np.load(tmp_path / "faces.npz") as held:
        assert held["vectors"].shape == (4, 128)
        assert np.linalg.norm(held["vectors"], axis=1) == pytest.approx(np.ones(4), abs=1e-5)
        assert held["boxes"].shape == (4, 4)
        assert len(held["images"]) == len(held["scores"]) == 4
        assert held["main"].tolist() == [True] * 4
        assert str(held["space"]).startswith("mobilenetv3-arcface:")


def test_verify_tells_one_person_from_two(people: Path, mirrored: Path, run: Run) -> None:
    first, other = people / "Eileen Collins" / "1.jpg", people / "Grace Hopper" / "1.jpg"
    same = run("verify", first, mirrored / "Eileen Collins.png", "--json")
    assert (same.status, same.err) == (0, "")
    assert set(same.document) == {"same", "similarity", "threshold", "far"}
    assert same.document["same"] is True
    different = run("verify", first, other, "--json")
    assert different.status == 0
    assert different.document["same"] is False
    assert run("verify", first, other).out.startswith("different people: similarity ")
    given = run("verify", first, other, "--threshold", "-1", "--json")
    assert given.document["same"] is True
    assert given.document["far"] is None


def test_enrolling_twice_adds_nothing(people: Path, run: Run, tmp_path: Path) -> None:
    gallery = tmp_path / "team.gallery"
    first = run("enroll", people, "--gallery", gallery, "--json")
    assert (first.status, first.error) == (0, "facereg: 4 entries: 4 done, 0 skipped, 0 failed")
    assert first.document == {"enrolled": 4, "skipped": [], "failed": [], "warnings": []}
    second = run("enroll", people, "--gallery", gallery, "--json")
    assert second.status == 0
    assert second.document["enrolled"] == 0
    skipped = second.document["skipped"]
    assert isinstance(skipped, list)
    assert [item["reason"] for item in skipped] == ["enrolled already"] * 4
    assert [set(item) for item in skipped] == [{"image", "reason"}] * 4
    listed = run("gallery", "list", "--gallery", gallery, "--json").lines
    assert [(line["name"], line["embeddings"]) for line in listed] == [("Eileen Collins", 2), ("Grace Hopper", 2)]


@pytest.fixture
def gallery(people: Path, run: Run, tmp_path: Path) -> Path:
    """A gallery that knows one of the two."""
    only = tmp_path / "only"
    only.mkdir()
    (only / "Eileen Collins").symlink_to(people / "Eileen Collins")
    assert run("enroll", only, "--gallery", tmp_path / "one.gallery").status == 0
    return tmp_path / "one.gallery"


def test_identify_names_the_known_and_gives_null_for_a_stranger(
    gallery: Path, mirrored: Path, run: Run, tmp_path: Path
) -> None:
    called = run("identify", mirrored, "--gallery", gallery, "--draw", tmp_path / "drawn", "--json")
    assert (called.status, called.error) == (0, "facereg: 2 entries: 2 done, 0 skipped, 0 failed")
    known, stranger = called.lines
    assert set(known) == set(stranger) == WHO
    assert known["label"] == "Eileen Collins"
    assert known["accepted"] is True
    assert stranger["label"] is None
    assert stranger["accepted"] is False
    for line in (known, stranger):
        assert line["candidates"] == [{"label": "Eileen Collins", "similarity": line["similarity"]}]
    assert len(list((tmp_path / "drawn").iterdir())) == 2
    said = run("identify", mirrored, "--gallery", gallery, "--explain").out.splitlines()
    assert "unknown (similarity " in said[2]
    assert said[1].startswith("  nearest to Eileen Collins, 0.")
    assert " above the threshold " in said[1]
    assert " below the threshold " in said[3]
    assert "of false accept rate 0.01 (model card of mobilenetv3-arcface)" in said[3]


def test_a_model_is_shown_whole(run: Run) -> None:
    shown = run("models", "mtcnn", "--json").document
    assert (shown["name"], shown["role"]) == ("mtcnn", "detector")
    assert "arXiv:1604.02878" in str(shown["paper"])
    weights = cast("list[dict[str, str]]", shown["weights"])
    assert [len(one["sha256"]) for one in weights] == [64, 64, 64]
    assert shown["square"] == {"factor": 0.89, "shift": 0.01}
    [first, *_] = cast("list[dict[str, str]]", shown["options"])
    assert (first["name"], first["type"], first["default"]) == ("min_face", "float", "20.0")
    assert first["meaning"] == "side in px of the smallest face looked for."
    assert "square of a face's points: 0.89 of the box's longer side" in run("models", "mtcnn").out
    text = run("models", "mobilenetv3-arcface").out
    assert "option flip (bool, default True): add the vector of the mirrored crop" in text
    assert "did you mean 'mtcnn'" in run("models", "mtcn").error


def test_recipes_are_listed_without_what_they_need(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("facereg_mtcnn.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    called = run("train", "--list", "--json")
    assert called.status == 0
    [mtcnn] = [line for line in called.lines if line["name"] == "mtcnn"]
    assert mtcnn["settings"] == {}
    assert "needs torch; pip install 'facereg-core[train]'" in str(mtcnn["needs"])
    assert {"ssd300-vgg16", "yolov5s-face"} <= {line["name"] for line in called.lines}


def test_an_option_of_the_matcher_reaches_it(gallery: Path, people: Path, run: Run) -> None:
    enrolled = sorted((people / "Eileen Collins").iterdir())[0]
    words = ["identify", enrolled, "--gallery", gallery, "--json"]
    assert run(*words).lines[0]["label"] == "Eileen Collins"
    assert run(*words).lines[0]["similarity"] < 0.999  # type: ignore[operator]
    best = run(*words, "--option", "matcher.templates=false").lines[0]  # of the two pictures
    assert best["similarity"] == pytest.approx(1.0, abs=1e-5)
    called = run(*words, "--option", "matcher.nonsense=1")
    assert called.status == 1
    assert "nonsense" in called.error


def test_identify_follows_a_face_through_a_video(gallery: Path, video: Path, run: Run, tmp_path: Path) -> None:
    called = run(
        "identify",
        video,
        "--gallery",
        gallery,
        "--draw",
        tmp_path / "drawn",
        "--json",
        "--frames",
        "4",
        "--detector",
        "mtcnn",
        "--option",
        "detector.min_face=40",
    )
    assert called.status == 0
    assert called.error == "facereg: 4 frames: 4 done, 0 skipped, 0 failed"
    assert all(set(line) == WHO | {"frame", "time_s", "track"} for line in called.lines)
    first_track = [line for line in called.lines if line["track"] == 0]
    assert [line["frame"] for line in first_track] == [0, 1, 2, 3]
    assert [line["time_s"] for line in first_track] == [0.0, 0.1, 0.2, 0.3]  # 10 frames a second
    assert {line["label"] for line in first_track} == {"Eileen Collins"}
    lefts = [line["box"][0] for line in first_track]  # type: ignore[index]
    assert lefts[3] - lefts[0] == pytest.approx(24, abs=8)  # 3 frames of 8 px; the detector's boxes shake
    assert len(list((tmp_path / "drawn").iterdir())) == 4


def test_identify_goes_through_a_cut_video_and_says_what_is_missing(
    gallery: Path, video: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "cut.avi").write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    quick = ["--detector", "mtcnn", "--option", "detector.min_face=40"]
    called = run("identify", tmp_path / "cut.avi", "--gallery", gallery, "--json", *quick)
    assert called.status == 1
    frames = {line["frame"] for line in called.lines}
    assert frames == set(range(len(frames)))
    assert 0 < len(frames) < 5
    missing = 5 - len(frames)
    assert f"cut.avi: {missing} frame" in called.err
    assert called.err.endswith(f"5 frames: {len(frames)} done, 0 skipped, {missing} failed\n")


def test_gallery_commands_keep_a_gallery(gallery: Path, run: Run, tmp_path: Path) -> None:
    shown = run("gallery", "show", "Eileen Collins", "--gallery", gallery, "--json").document
    assert [Path(source).name for source in shown["sources"]] == ["1.jpg", "2.png"]  # type: ignore[attr-defined]
    export, copy = tmp_path / "team.npz", tmp_path / "copy.gallery"
    assert run("gallery", "export", export, "--gallery", gallery, "--json").document["embeddings"] == 2
    assert run("gallery", "import", export, "--gallery", copy, "--json").document["added"] == 2
    checked = run("gallery", "check", "--gallery", copy, "--json")
    assert (checked.status, checked.document) == (0, {"sound": True, "people": 1, "problems": []})
    assert run("gallery", "remove", "Eileen Collins", "--gallery", copy, "--json").document["removed"] == 2
    assert run("gallery", "list", "--gallery", copy, "--json").lines == []
    gone = run("gallery", "show", "Eileen Collins", "--gallery", copy)
    assert (gone.status, gone.out) == (1, "")
    assert "nobody named 'Eileen Collins'" in gone.error


def test_gallery_check_ends_with_1_where_there_is_damage(gallery: Path, run: Run) -> None:
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        vector = held.embeddings()[1].vectors[1].tobytes()
    content = gallery.read_bytes()
    place = content.index(vector)
    gallery.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    checked = run("gallery", "check", "--gallery", gallery, "--json")
    assert checked.status == 1
    assert checked.document["sound"] is False
    assert len(checked.document["problems"]) == 1  # type: ignore[arg-type]


def test_models_and_plugins_are_listed_with_the_keys_of_the_design(run: Run) -> None:
    models = run("models", "--json").lines
    assert all(set(line) == {"name", "model", "tag", "role", "licence", "card", "weights"} for line in models)
    assert {line["name"] for line in models} >= {"mtcnn", "five-point", "mobilenetv3-arcface", "exact"}
    assert {line["role"] for line in run("models", "--role", "embedder", "--json").lines} == {"embedder"}
    plugins = run("plugins", "list", "--json").lines
    assert all(set(line) == {"name", "version", "state", "reason", "models"} for line in plugins)
    assert {line["name"] for line in plugins} >= {"builtin", "mtcnn", "mobilenetv3", "onnx"}


def test_plugins_check_runs_the_contract(run: Run) -> None:
    called = run("plugins", "check", "exact", "--json")
    assert called.status == 0
    assert all(set(line) == {"model", "check", "passed", "skipped", "message"} for line in called.lines)
    assert "a known vector finds its person" in {line["check"] for line in called.lines}
    assert all(line["passed"] != line["skipped"] for line in called.lines)
    assert all(line["message"] for line in called.lines if line["skipped"])


def test_the_demo_names_the_known_and_not_the_stranger(run: Run, tmp_path: Path) -> None:
    called = run("demo", "--out", tmp_path / "demo", "--json")
    assert (called.status, called.err) == (0, "")
    assert [line["right"] for line in called.lines] == [True] * 8
    assert [set(line) for line in called.lines] == [{"image", "labels", "expected", "right"}] * 8
    assert all(Path(str(line["image"])).is_file() for line in called.lines)
    again = run("demo", "--out", tmp_path / "demo")
    assert again.status == 0
    assert again.out.splitlines()[-1] == f"8 of 8 right; the drawn pictures are in {tmp_path / 'demo'}"


def test_the_version_is_told(run: Run) -> None:
    from facereg import __version__

    assert run("--version").out == f"facereg {__version__}\n"


def test_a_picture_given_twice_is_worked_on_twice(noise_image: Image, run: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise_image)
    assert len(run("detect", tmp_path / "a.png", tmp_path / "a.png", "--json").lines) == 2


def test_mtcnn_convert_names_each_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    converted: list[tuple[Path, Path]] = []
    monkeypatch.setattr("facereg_mtcnn.publish.convert_published", lambda folder, out: converted.append((folder, out)))
    called = run("mtcnn-convert", "published", "--out", "mine", "--json")
    assert (called.status, called.err) == (0, "")
    assert called.lines == [
        {"name": f"mtcnn-{name}", "file": str(Path("mine") / f"{name}.onnx")} for name in ("pnet", "rnet", "onet")
    ]
    assert converted == [(Path("published"), Path("mine"))]


@pytest.mark.parametrize("words", [("detect", ""), ("identify", "", "--gallery", "g"), ("embed", "a.jpg", "--out", "")])
def test_an_empty_argument_is_not_the_folder_we_are_in(words: tuple[str, ...], run: Run) -> None:
    called = run(*words)
    assert (called.status, called.out) == (2, "")
    assert called.error == (
        "facereg: expected a value for each argument, got an empty one; check the variables of the command line"
    )


@pytest.mark.parametrize("far", ["0", "-0.1", "2"])
def test_a_rate_that_is_none_is_refused_before_a_picture_is_read(far: str, run: Run) -> None:
    called = run("calibrate", "--images", "nowhere", "--pairs", "nothing", "--far", far)
    assert (called.status, called.out) == (2, "")
    assert "--far" in called.err


def test_files_of_commands_only_parse_and_print() -> None:
    folder = Path(facereg.cli.__file__).parent
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in folder.glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 250} == {}


@pytest.mark.parametrize(
    "words",
    [
        ["quantize", "embedder", "gone.jpg"],
        ["export", "mobilenetv3-arcface"],
        ["train", "mobilenetv3-arcface", "--data", "gone"],
    ],
    ids=lambda words: words[0],
)
def test_a_file_in_place_of_the_folder_for_what_is_made_is_told_before_the_work(
    words: list[str], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    called = run(*words, "--out", tmp_path / "file")
    assert called.status == 1
    assert called.error == f"facereg: {tmp_path / 'file'}: expected a folder to write into, got a file; name another"


def test_a_file_in_place_of_the_folder_of_what_is_written_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    called = run("embed", "gone.jpg", "--out", tmp_path / "file" / "faces.npz")
    assert "expected it in a folder that is there, found a file; make the folder" in called.error
