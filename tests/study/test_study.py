"""A study on a small tree of painted people: its tables, its pages, and that nothing is done twice."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facereg.errors import ContractError, DatasetError, UnknownNameError
from facereg.images import write_image
from facereg.networks.spec import import_object
from facereg.registry.installed import default_registry
from facereg.study import StudyPlan, StudyResult, read_study, run_study
from facereg.study.maps import most_pictured
from facereg.training import describe_settings
from tests.calling import Run
from tests.data.layouts import jpeg, write_record
from tests.fakes import picture
from tests.study.recipes import Recipes

PEOPLE, FOLDS = 20, 10
PLAN = """
title = "Painted & <compared>"
out = "out"
seed = 3

[train]
data = ["learned"]

[test]
images = "images"
pairs = "pairs.txt"
detector = "painted"
flip = "none"
draws = 50
mapped = 0

[[rows]]
name = "As it stands"
embedder = "painted-colours"

[[rows]]
name = "Trained"
embedder = "painted-others"
recipe = "noted"
settings = { epochs = 2.5 }

[[published]]
name = "The paper's"
embedding = 128
accuracy = 0.9593
tpr_at_far = { "0.1" = 0.9576, "0.01" = 0.9286 }
"""
MAPPED = ("mapped = 0", "mapped = 4")


@pytest.fixture
def plan(tmp_path: Path, painted: list[str]) -> Path:
    """Twenty people of two pictures, the last without a face in one; a pair of each kind a fold for each two people."""
    registry = default_registry()
    if not any(spec.name == "noted" for spec in registry.recipes()):
        registry.register(Recipes(), name="study-recipes")
    for person in range(1, PEOPLE + 1):
        for number in (1, 2):
            shown = [] if (person, number) == (PEOPLE, 2) else [80 + person]  # of colours that differ enough
            path = tmp_path / "images" / f"p{person}" / f"p{person}_{number:04d}.png"
            write_image(path, picture(*shown))
            path.rename(path.with_suffix(".jpg"))
    lines = [f"{FOLDS} 2"]
    for fold in range(FOLDS):
        one, two = fold * 2 + 1, fold * 2 + 2
        lines += [f"p{one} 1 2", f"p{two} 1 2", f"p{one} 1 p{two} 1", f"p{two} 1 p{(two % PEOPLE) + 1} 1"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n", "ascii")
    for name in ("Ann", "Bo", "Cy"):
        write_image(tmp_path / "learned" / name / "1.png", picture(1))
        write_image(tmp_path / "learned" / name / "2.png", picture(2))
    (tmp_path / "study.toml").write_text(PLAN, "utf-8")
    return tmp_path / "study.toml"


def changed(plan: Path, *changes: tuple[str, str]) -> StudyPlan:
    text = PLAN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    plan.write_text(text, "utf-8")
    return read_study(plan)


def told(study: StudyPlan) -> tuple[StudyResult, list[str]]:
    notes: list[str] = []
    return run_study(study, notice=notes.append), notes


def calls(plan: Path, row: str = "trained") -> list[Mapping[str, object]]:
    lines = (plan.parent / "out" / "rows" / row / "train" / "calls.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_row_is_trained_measured_and_says_where_it_comes_from(plan: Path) -> None:
    result, _ = told(read_study(plan))
    assert result.failed == {}
    stands, trained = result.figures()
    for figures in (stands, trained):
        assert (figures["pairs"], figures["missing"], figures["folds"]) == (40, 1, FOLDS)
        assert figures["accuracy"] == pytest.approx(39 / 40)  # the pair without a face is a genuine one
        assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
        assert figures["tpr_at_far"] == {"0.1": pytest.approx(0.95), "0.01": None, "0.001": None}
        assert figures["embedding"] == 8
        assert figures["crops_per_s"] > 0
        assert figures["measured"]
        assert "commit" in figures
    assert (stands["recipe"], stands["seed"]) == (None, None)
    assert (trained["recipe"], trained["seed"], trained["settings"]) == ("noted", 3, {"epochs": 2.5})
    assert trained["data"] == "learned: 3 people, 6 pictures"
    assert trained["trained"] == "2026-01-01T00:00:00+00:00"
    assert calls(plan) == [
        {"resume": True, "given": {"devices": "1", "epochs": "2.5", "seed": "3"}, "people": ["Ann", "Bo", "Cy"]}
    ]
    written = json.loads((plan.parent / "out" / "rows" / "trained" / "row.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(trained))


def test_the_pages_hold_the_tables_and_the_html_page_needs_no_other_file(plan: Path) -> None:
    result, _ = told(read_study(plan))
    markdown, html = (page.read_text("utf-8") for page in result.pages)
    assert markdown.startswith("# Painted & <compared>\n")
    row = next(line for line in markdown.splitlines() if line.startswith("| As it stands | 8 |"))
    assert re.match(r"\| As it stands \| 8 \| 97\.50 ± 7\.50 \[\d+\.\d\d, \d+\.\d\d\] \| 95\.00 \[", row)
    assert row.endswith("| too few pairs | too few pairs | 1 |")
    assert "| The paper's (published) | 128 | 95.93 | 95.76 | 92.86 | - | - |" in markdown
    assert "| Trained | noted | epochs=2.5 | 3 | learned: 3 people, 6 pictures (" in markdown
    assert "![ROC and DET of all models](curves.png)" in markdown
    assert (plan.parent / "out" / "curves.png").stat().st_size > 1000
    assert "<title>Painted &amp; &lt;compared&gt;</title>" in html
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    assert html.count("data:image/png;base64,") == markdown.count("![")
    assert "As it stands" in html


def test_a_study_that_is_run_again_does_nothing_twice(plan: Path) -> None:
    first, notes = told(read_study(plan))
    assert sum("embedding 40 pictures" in note for note in notes) == 2
    second, notes = told(read_study(plan))
    assert notes[:2] == ["As it stands: embedded before, kept", "Trained: embedded before, kept"]
    [unseen] = notes[2:]
    assert unseen.endswith("p20_0002.jpg: expected a face, found none; use a larger or sharper picture")
    assert len(calls(plan)) == 1
    assert second.figures() == first.figures()
    assert (plan.parent / "out" / "rows" / "trained" / "vectors.npz").stat().st_mode & 0o077 == 0


def test_a_training_that_was_stopped_goes_on(plan: Path) -> None:
    study = changed(plan, ("epochs = 2.5", "stop = true"))
    with pytest.raises(KeyboardInterrupt):
        run_study(study)
    result, notes = told(study)
    assert "Trained: going on with noted" in notes
    assert "As it stands: embedded before, kept" in notes
    assert [call["resume"] for call in calls(plan)] == [True, True]
    assert result.figures()[1]["train_s"] is None  # of a training in parts nobody knows the whole


def test_what_was_trained_otherwise_is_neither_used_nor_removed(plan: Path) -> None:
    told(read_study(plan))
    result, notes = told(changed(plan, ("epochs = 2.5", "epochs = 9.0")))
    assert [row.name for row in result.rows] == ["As it stands"]
    assert "expected the settings that" in result.failed["Trained"]
    assert f"Trained: failed: {result.failed['Trained']}" in notes
    assert "Trained is not in the tables: Trained: expected the settings" in result.pages[0].read_text("utf-8")
    told(changed(plan))
    write_image(plan.parent / "learned" / "Di" / "1.png", picture(3))
    result, _ = told(read_study(plan))
    assert "expected the data that" in result.failed["Trained"]
    assert len(calls(plan)) == 1


def test_a_change_of_the_protocol_makes_new_vectors_and_no_new_training(plan: Path) -> None:
    told(read_study(plan))
    _, notes = told(changed(plan, ('flip = "none"', 'flip = "concat"')))
    assert sum("embedding 40 pictures" in note for note in notes) == 2
    assert len(calls(plan)) == 1
    _, notes = told(changed(plan, ('flip = "none"', 'flip = "concat"'), ("draws = 50", "draws = 0")))
    assert sum("embedded before, kept" in note for note in notes) == 2  # figures are made anew, vectors are not


def test_damaged_files_of_a_stopped_study_are_made_again(plan: Path) -> None:
    first, _ = told(read_study(plan))
    out = plan.parent / "out"
    for path in (out / "faces.npz", out / "rows" / "trained" / "vectors.npz"):
        path.write_bytes(path.read_bytes()[:50])
    second, notes = told(read_study(plan))
    assert any("finding faces in 40 pictures" in note for note in notes)
    assert [row["accuracy"] for row in second.figures()] == [row["accuracy"] for row in first.figures()]


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("failing", "data: expected other people"),
        ("breaking", "breaking: failed: RuntimeError: out of memory in two lines"),
    ],
)
def test_a_row_that_fails_is_named_and_the_others_go_on(recipe: str, reason: str, plan: Path, run: Run) -> None:
    changed(plan, ('recipe = "noted"', f'recipe = "{recipe}"'), ("settings = { epochs = 2.5 }", ""))
    called = run("study", "run", plan, "--json")
    assert called.status == 1
    assert [row["name"] for row in called.document["rows"]] == ["As it stands"]  # type: ignore[attr-defined]
    assert called.document["failed"] == [{"name": "Trained", "reason": reason}]
    assert f"Trained: failed: {reason}" in called.err


def test_the_command_says_where_the_report_is(plan: Path, run: Run) -> None:
    called = run("study", "run", plan)
    assert called.status == 0
    assert called.out.splitlines() == [
        "As it stands: accuracy 0.9750, too few pairs for FAR 1 %",
        "Trained: accuracy 0.9750, too few pairs for FAR 1 %",
        f"{plan.parent / 'out' / 'report.html'}: 2 models",
    ]


def test_people_are_drawn_from_a_record_for_every_row(plan: Path) -> None:
    write_record(plan.parent / "ms1m", [[jpeg(10), jpeg(20)] for _ in range(6)])
    result, notes = told(changed(plan, ('data = ["learned"]', 'data = ["ms1m"]\npeople = 4')))
    assert result.figures()[1]["data"] == "ms1m-4-2-3: 4 people, 8 pictures"
    assert len(calls(plan)[0]["people"]) == 4  # type: ignore[arg-type]
    assert any("writing people to" in note for note in notes)
    _, notes = told(read_study(plan))
    assert not any("writing people to" in note for note in notes)


def test_other_people_are_drawn_for_another_seed(plan: Path) -> None:
    drawn = ('data = ["learned"]', 'data = ["learned"]\npeople = 2')
    named = ('name = "Trained"', 'name = "Trained with seed 4"')
    told(changed(plan, drawn))
    told(changed(plan, drawn, named, ("seed = 3", "seed = 4")))
    people = [calls(plan, row)[0]["people"] for row in ("trained", "trained-with-seed-4")]
    assert people[0] != people[1]
    twice = ('data = ["learned"]', 'data = ["learned", "images/../learned"]')
    with pytest.raises(ContractError, match="expected folders of different names, got learned, learned"):
        run_study(changed(plan, twice))


def test_a_pipeline_file_says_how_faces_are_found(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_FILES", str(plan.parent / "files"))
    (plan.parent / "files").mkdir()
    (plan.parent / "files" / "stages.toml").write_text('[detector]\nname = "aligned"\n', "ascii")
    chosen = ('detector = "painted"', 'pipeline = "$STUDY_FILES/stages.toml"')
    result, notes = told(changed(plan, chosen))
    assert "finding faces in 40 pictures with aligned" in notes
    # the picture of nobody is a crop, too, and black: the painted embedder has no vector for it
    assert [row["missing"] for row in result.figures()] == [1, 1]
    assert {Path(error.path).name for error in result.errors} == {"p20_0002.jpg"}
    assert "Faces by aligned, aligned by five-point" in result.pages[0].read_text("utf-8")


def test_a_picture_that_cannot_be_read_is_named_and_its_pairs_refused(plan: Path, run: Run) -> None:
    (plan.parent / "images" / "p1" / "p1_0001.jpg").write_bytes(b"no picture")
    called = run("study", "run", plan, "--json")
    assert called.status == 1
    assert {row["missing"] for row in called.document["rows"]} == {4}  # type: ignore[attr-defined]
    assert len(called.document["unreadable"]) == 1  # type: ignore[arg-type]


def test_one_fold_wants_other_pairs_for_its_threshold(plan: Path) -> None:
    lines = (plan.parent / "pairs.txt").read_text("ascii").splitlines()
    (plan.parent / "one.txt").write_text("\n".join(["2", *lines[1:5]]), "ascii")
    study = changed(plan, ('pairs = "pairs.txt"', 'pairs = "one.txt"'))
    with pytest.raises(ContractError, match="test: one fold needs a threshold chosen on other pairs; name them as thr"):
        run_study(study)
    assert not study.out.exists()
    both = 'pairs = "one.txt"\nthreshold_pairs = "pairs.txt"'
    result, _ = told(changed(plan, ('pairs = "pairs.txt"', both)))
    assert [row["accuracy"] for row in result.figures()] == [1.0, 1.0]
    assert "the threshold is chosen on pairs.txt" in result.pages[0].read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (('title = "Painted & <compared>"', ""), "expected the key title"),
        (('flip = "none"', 'flip = "twice"'), "flip: expected one of sum, concat, none, got 'twice'"),
        (('flip = "none"', 'mirror = "none"'), "no key named mirror"),
        (('[train]\ndata = ["learned"]', ""), "train: data: expected folders of people for Trained"),
        (
            ('name = "Trained"', 'name = "as it  stands"'),
            "'As it stands' and 'as it  stands', both of 'as-it-stands'",
        ),
        (('recipe = "noted"', ""), "Trained: expected a recipe to be given settings"),
        (('recipe = "noted"', 'recipe = "noted"\nweights = "w"'), "expected a recipe or weights, got both"),
        (("draws = 50", 'draws = 50\nformat = "lfw2"'), "test: format: expected one of lfw"),
        (("draws = 50", "draws = -1"), "draws: expected 0 or more, got -1"),
        (("settings = { epochs = 2.5 }", "settings = 3"), "settings: expected a table, got 3"),
        (("[[rows]]", "[rows]"), "expected a study in TOML"),
        (("[test]", "[tests]"), "unknown key 'tests'; allowed: title"),
    ],
)
def test_a_plan_that_does_not_read_is_refused_in_one_line(changes: tuple[str, str], expected: str, plan: Path) -> None:
    with pytest.raises(ContractError, match=re.escape(expected)) as refused:
        changed(plan, changes)
    assert str(plan) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (('embedder = "painted-others"', 'embedder = "painted-other"'), "no embedder named 'painted-other'; did you"),
        (('recipe = "noted"', 'recipe = "note"'), "no recipe named 'note'; did you mean 'noted'?"),
        (("settings = { epochs = 2.5 }", "settings = { epoch = 2 }"), "no setting named epoch"),
        (
            ("settings = { epochs = 2.5 }", "settings = { epochs = 'two' }"),
            "settings: epochs: expected float, got ",
        ),
        (("settings = { epochs = 2.5 }", "options = { turn = 1 }"), "no option named turn"),
        (('embedder = "painted-others"', 'embedder = "mobilenetv3-arcface"\noptions = { flip = 3 }'), "flip: expected"),
    ],
)
def test_rows_that_cannot_be_run_are_all_named_before_any_work(
    changes: tuple[str, str], expected: str, plan: Path
) -> None:
    """The list of pairs is gone too: it is read after the rows."""
    missing = ('embedder = "painted-colours"', 'embedder = "mobilenetv3-arcface"\nweights = "gone.onnx"')
    study = changed(plan, changes, missing)
    (plan.parent / "pairs.txt").unlink()
    with pytest.raises(ContractError, match=rf"^rows: As it stands: .*gone.onnx.*; Trained: .*{re.escape(expected)}"):
        run_study(study)
    assert not study.out.exists()


@pytest.mark.parametrize("stage", ["detector", "aligner"])
def test_a_stage_that_is_not_there_ends_a_study_before_any_work(stage: str, plan: Path) -> None:
    study = changed(plan, ('detector = "painted"', 'detector = "painted"\naligner = "five-point"'))
    test = replace(study.test, **{stage: "other"})  # type: ignore[arg-type]
    study = replace(study, test=test)
    (plan.parent / "pairs.txt").unlink()
    with pytest.raises(UnknownNameError, match=f"no {stage} named 'other'"):
        run_study(study)


def test_pictures_that_are_not_there_end_a_study_before_any_work(plan: Path) -> None:
    (plan.parent / "images" / "p1" / "p1_0001.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 of 40 pictures are missing, such as .*p1_0001.jpg; check images"):
        run_study(read_study(plan))


def test_no_map_is_drawn_without_umap_and_that_is_said(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    result, notes = told(changed(plan, MAPPED))
    assert "no map of people is drawn, which needs umap-learn; pip install 'facereg-core[study]'" in notes
    assert "UMAP" not in result.pages[0].read_text("utf-8")


@pytest.mark.slow  # numba compiles for a quarter of a minute of a core
def test_the_people_with_most_pictures_are_mapped(plan: Path) -> None:
    pytest.importorskip("umap", reason="the [study] extra is not installed")
    result, _ = told(changed(plan, MAPPED))
    assert "![A few people, as each model sees them (UMAP)](people.png)" in result.pages[0].read_text("utf-8")
    assert (plan.parent / "out" / "people.png").stat().st_size > 1000


def test_people_to_map_are_those_with_most_pictures() -> None:
    from facereg.data.pairs import Pair, PairList

    paths = [Path(f"{row}") for row in range(7)]
    pairs = [
        Pair(paths[0], paths[1], True, ("Ann", "Ann")),
        Pair(paths[2], paths[3], True, ("Bo", "Bo")),
        Pair(paths[4], paths[2], True, ("Bo", "Bo")),
        Pair(paths[5], paths[6], False, ("Cy", "Di")),
    ]
    chosen = most_pictured(PairList(tuple(pairs), (0,) * 4), paths, 2)
    assert chosen == {"Bo": [2, 3, 4], "Ann": [0, 1]}
    nameless = PairList((Pair(paths[0], paths[1], True),), (0,))
    assert most_pictured(nameless, paths, 2) == {}


@pytest.mark.train
def test_a_network_is_trained_in_small_and_takes_its_place(plan: Path) -> None:
    """The recipe that ships, on a handful of crops: its weights are those of the row, and they are measured."""
    pytest.importorskip("lightning")
    for person in range(4):
        rng = np.random.default_rng(person)
        for number in range(4):
            crop = np.clip(rng.integers(0, 256, 3) + rng.normal(0, 20, (112, 112, 3)), 0, 255).astype(np.uint8)
            write_image(plan.parent / "learned" / f"m{person}" / f"{number}.png", crop)
    study = changed(
        plan,
        (
            'embedder = "painted-others"\nrecipe = "noted"',
            'embedder = "mobilenetv3-arcface"\nrecipe = "mobilenetv3-arcface"',
        ),
        ("settings = { epochs = 2.5 }", "settings = { epochs = 1, batch = 8, size = 32, warmup = 1 }"),
    )
    result, _ = told(study)
    assert result.failed == {}
    figures = result.figures()[1]
    assert (figures["embedding"], figures["seed"], figures["missing"]) == (128, 3, 1)
    weights = plan.parent / "out" / "rows" / "trained" / "train" / "mobilenetv3-arcface.onnx"
    assert figures["megabytes"] == pytest.approx(weights.stat().st_size / 1e6)
    assert figures["space"].startswith("mobilenetv3-arcface:")
    assert figures["train_s"] > 0


@pytest.mark.train
def test_the_papers_study_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREG_DATA", "/data")
    folder = Path(__file__).parents[2] / "benchmarks" / "study"
    study = read_study(folder / "paper.toml")
    assert study.train.data == (Path("/data/celeba-faces112"),)
    assert [row.recipe for row in study.rows] == [
        *("inceptionv2-triplet", "vgg16-online-triplet", "mobilenetv3-arcface", "")
    ]
    assert study.test.stages.detector.options == {"fallback": True}
    registry = default_registry()
    for row in study.rows:
        registry.model(row.embedder, role="embedder")
        settings = import_object(registry.recipe(row.recipe).settings_from) if row.recipe else None
        assert settings is None or set(row.settings) <= set(describe_settings(settings))


def test_the_example_of_the_docs_reads(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "compare-models.md"
    [example] = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (tmp_path / "study.toml").write_text(example, "utf-8")
    study = read_study(tmp_path / "study.toml")
    assert (study.out, study.train.people, len(study.rows)) == (tmp_path / "study", 10000, 2)
    assert study.published[0].tpr_at_far["0.001"] == 0.8643
