"""Plans that are odd, and what others wrote into them: refused in one line before any work, or carried through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facereg.errors import ContractError, DatasetError, FaceregError
from facereg.images import write_image
from facereg.study import read_study, run_study
from facereg.study import rows as study_rows
from tests.calling import Run
from tests.data.layouts import jpeg, write_record
from tests.disks import small_disk
from tests.fakes import picture
from tests.study.test_study import PLAN, calls, changed, plan, told

__all__ = ["plan"]  # the fixture


def test_a_variable_that_is_not_set_is_named(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACES_NOWHERE", raising=False)
    with pytest.raises(ContractError, match=r"images: expected a path, got '\$FACES_NOWHERE/lfw', whose variable"):
        changed(plan, ('images = "images"', 'images = "$FACES_NOWHERE/lfw"'))
    with pytest.raises(ContractError, match=r"study.toml: out: expected a path, got '\$\{FACES_NOWHERE\}'"):
        changed(plan, ('out = "out"', 'out = "${FACES_NOWHERE}"'))
    with pytest.raises(ContractError, match="train: data: expected a path"):
        changed(plan, ('data = ["learned"]', 'data = ["learned", "$FACES_NOWHERE"]'))


def test_names_of_other_letters_have_folders_of_their_own(plan: Path) -> None:
    study = changed(plan, ('name = "Trained"', 'name = "Модель Ж"'), ('name = "As it stands"', 'name = "模型"'))
    assert [row.slug for row in study.rows] == ["模型", "модель-ж"]
    with pytest.raises(ContractError, match="rows: expected names whose folders differ, got 'As it stands' and 'as it"):
        changed(plan, ('name = "Trained"', 'name = "as it  stands!"'))
    [long, _] = changed(plan, ('name = "As it stands"', f'name = "{"long " * 100}"')).rows
    assert len(long.slug.encode()) <= 100


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("accuracy = 0.9593", "accuracy = 95.93"), "The paper's: accuracy: expected a share in 0..1, got 95.93"),
        (('"0.1" = 0.9576', '"0.1" = nan'), "The paper's: tpr_at_far: expected a share in 0..1 for 0.1, got nan"),
        (('"0.1" = 0.9576', '"0.1" = true'), "The paper's: tpr_at_far: expected a share in 0..1 for 0.1, got True"),
        (('"0.1" = 0.9576', '"10 %" = 0.9'), "tpr_at_far: expected the rates 0.1, 0.01, 0.001, got '10 %'"),
        (("embedding = 128", "embedding = -1"), "The paper's: embedding: expected 0 or more, got -1"),
        (("seed = 3", "seed = -3"), "seed: expected 0 or more, got -3"),
        (('data = ["learned"]', 'data = ["learned"]\nleast = -1'), "least: expected 0 or more, got -1"),
    ],
)
def test_figures_that_are_none_are_refused(change: tuple[str, str], expected: str, plan: Path) -> None:
    with pytest.raises(ContractError, match=re.escape(expected)):
        changed(plan, change)


@pytest.mark.parametrize("rate", ["0.10", "1e-1"])
def test_a_published_rate_may_be_written_in_any_way(rate: str, plan: Path) -> None:
    result, _ = told(changed(plan, ('"0.1" = 0.9576', f'"{rate}" = 0.9576')))
    assert "| The paper's (published) | 128 | 95.93 | 95.76 | 92.86 | - | - |" in result.pages[0].read_text("utf-8")


@pytest.mark.parametrize("key", ["pairs", "threshold_pairs"])
def test_a_list_of_one_kind_of_pairs_is_refused_before_any_work(key: str, plan: Path) -> None:
    lines = [f"images/p{person}/p{person}_0001.jpg images/p{person}/p{person}_0002.jpg 1" for person in range(1, 20)]
    (plan.parent / "genuine.txt").write_text("\n".join(lines), "ascii")
    mixed = [*lines, *(f"images/p{n}/p{n}_0001.jpg images/p{n + 1}/p{n + 1}_0001.jpg 0" for n in range(1, 19))]
    (plan.parent / "mixed.txt").write_text("\n".join(mixed), "ascii")
    named = {"pairs": "mixed.txt", "threshold_pairs": "mixed.txt", key: "genuine.txt"}
    lists = "\n".join(f'{name} = "{path}"' for name, path in named.items())
    changes = ('images = "images"', 'images = "."\nformat = "list"'), ('pairs = "pairs.txt"', lists)
    with pytest.raises(ContractError, match="genuine.txt: expected genuine and impostor pairs, got one kind only"):
        run_study(changed(plan, *changes))
    assert not (plan.parent / "out").exists()


def test_pairs_that_the_threshold_was_chosen_on_are_told(plan: Path) -> None:
    both = ('pairs = "pairs.txt"', 'pairs = "pairs.txt"\nthreshold_pairs = "pairs.txt"')
    _, notes = told(changed(plan, both))
    assert any("40 of 40 pairs are among those that the threshold is chosen on" in note for note in notes)


def test_people_drawn_from_another_set_are_not_learned_from(plan: Path) -> None:
    drawn = ('data = ["learned"]', 'data = ["learned"]\npeople = 2')
    told(changed(plan, drawn))
    told(changed(plan, drawn))  # of the same set: kept
    write_image(plan.parent / "elsewhere" / "learned" / "Xi" / "1.png", picture(1))
    write_image(plan.parent / "elsewhere" / "learned" / "Xi" / "2.png", picture(2))
    (plan.parent / "elsewhere" / "learned" / "Yo").mkdir()
    for number in (1, 2):
        write_image(plan.parent / "elsewhere" / "learned" / "Yo" / f"{number}.png", picture(number))
    with pytest.raises(DatasetError, match=r"data/learned-2-2-3: expected the people of .*learned, got those drawn of"):
        run_study(changed(plan, (drawn[0], 'data = ["elsewhere/learned"]\npeople = 2')))
    write_image(plan.parent / "learned" / "Di" / "1.png", picture(3))
    with pytest.raises(DatasetError, match=r"; remove that folder"):
        run_study(changed(plan, drawn))
    assert len(calls(plan)) == 1


def test_a_record_that_was_replaced_is_told_from_the_one_drawn_of(plan: Path) -> None:
    drawn = ('data = ["learned"]', 'data = ["ms1m"]\npeople = 4')
    write_record(plan.parent / "ms1m", [[jpeg(10), jpeg(20)] for _ in range(6)])
    told(changed(plan, drawn))
    write_record(plan.parent / "ms1m", [[jpeg(10), jpeg(20), jpeg(30)] for _ in range(6)])
    with pytest.raises(DatasetError, match=r"data/ms1m-4-2-3: expected the people of .*ms1m, got those drawn of"):
        run_study(changed(plan, drawn))


@pytest.mark.parametrize("kind", ["nothing", "itself"])
def test_a_picture_that_is_a_dead_link_is_named_and_its_pairs_refused(kind: str, plan: Path, run: Run) -> None:
    path = plan.parent / "images" / "p1" / "p1_0001.jpg"
    path.unlink()
    path.symlink_to(path.with_name("gone.jpg") if kind == "nothing" else path)
    called = run("study", "run", plan, "--json")
    assert called.status == 1, called.err
    assert {row["missing"] for row in called.document["rows"]} == {4}  # type: ignore[attr-defined]
    lines = called.document["unreadable"]
    assert isinstance(lines, list)
    assert len(lines) == 1
    assert "p1_0001.jpg" in lines[0]


@pytest.mark.parametrize("name", ["_under_", "a | b", "<i>x</i>", "$x_$y^$", "5 $ or 6 $", "*bold* `code` [a](b)"])
def test_names_of_rows_are_shown_as_they_are(name: str, plan: Path) -> None:
    result, _ = told(changed(plan, ('name = "As it stands"', f"name = '{name}'"), ("mapped = 0", "mapped = 0")))
    assert result.failed == {}
    markdown, html = (page.read_text("utf-8") for page in result.pages)
    rows = [line for line in markdown.splitlines() if line.startswith("|") and "| 8 |" in line]
    assert len(rows) == 2
    cell = re.split(r"(?<!\\) \| ", rows[0].removeprefix("| "))[0]
    assert re.sub(r"\\(.)", r"\1", cell) == name
    assert not re.search(r"(?<!\\)[*`<\[]", cell)
    assert "<i>x" not in html
    assert (plan.parent / "out" / "curves.png").stat().st_size > 1000


def test_notes_of_many_pictures_are_read_again(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10,000 pictures without a face each has a line, in a file that is longer than settings may be."""
    monkeypatch.setattr(study_rows, "MAX_SETTINGS", 10, raising=False)
    told(read_study(plan))
    _, notes = told(read_study(plan))
    assert notes[:2] == ["As it stands: embedded before, kept", "Trained: embedded before, kept"]


def test_a_plan_of_published_rows_alone_is_refused(plan: Path) -> None:
    text = re.sub(r"\[\[rows\]\].*?(?=\[\[p)", "", PLAN, flags=re.DOTALL)
    plan.write_text(text, "utf-8")
    with pytest.raises(ContractError, match=r"rows: expected at least one model, got none; write \[\[rows\]\]"):
        read_study(plan)


@pytest.mark.parametrize("room", ["4k", "12k", "24k", "40k", "100k"])
def test_a_study_on_a_full_disk_says_so_and_goes_on_where_there_is_room(room: str, plan: Path) -> None:
    with small_disk(plan.parent / "disk", room) as disk:
        study = changed(plan, ('out = "out"', 'out = "disk/out"'))
        try:
            result, _ = told(study)
        except FaceregError as error:
            said = [str(error)]
        else:
            said = list(result.failed.values())
        assert any("cannot be written (No space left on device)" in line for line in said), said
        left = [path.name for path in disk.rglob("*") if path.name.startswith(".")]
        assert left == []  # nothing half made
