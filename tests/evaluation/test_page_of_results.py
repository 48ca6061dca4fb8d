"""One page of what evaluations wrote: whole in itself, and readable on a telephone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from facereg.errors import DatasetError
from facereg.evaluation.html import Table
from facereg.evaluation.page_of_results import write_page
from facereg.evaluation.reports import write_report
from facereg.images import write_image
from facereg.testing.pictures import noise

LOOK = (
    "<script>document.title = document.documentElement.scrollWidth + ' ' + innerWidth + ' ' +"
    " [...document.images].filter(one => one.naturalWidth).length</script>"
)


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    """Figures of two evaluations, the curve of the first, and a folder of worst pictures."""
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    first = {"pairs": 1000, "accuracy": 0.9725, "tpr_at_far": {"0.1": 0.99, "0.001": None}}
    write_report(paths[0], first, command="facereg evaluate verification", models={"embedder": "one"})
    write_report(paths[1], {"pairs": 1000, "nme": 4.5}, command="facereg <b>", models={"embedder": "two"})
    write_image(tmp_path / "a.png", noise(300, 900))
    write_image(tmp_path / "worst" / "01-somebody <i>.jpg", noise(200, 900))
    return paths


def test_figures_of_one_name_stand_in_one_row(results: list[Path], tmp_path: Path) -> None:
    write_page(results, tmp_path / "out" / "page.html", worst=[tmp_path / "worst"])
    text = (tmp_path / "out" / "page.html").read_text("utf-8")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    assert ["pairs", "1,000", "1,000"] in rows
    assert ["accuracy", "97.25 %", "-"] in rows
    assert ["tpr_at_far 0.001", "too few", "-"] in rows
    assert ["nme", "-", "4.50 %"] in rows
    assert "facereg &lt;b&gt;" in text
    assert "01-somebody &lt;i&gt;" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)  # nothing of another file


@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_shows_the_whole_page_without_scrolling_sideways(
    results: list[Path], tmp_path: Path, width: int
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    page = tmp_path / "page.html"
    write_page(results, page, worst=[tmp_path / "worst"])
    page.write_text(page.read_text("utf-8").replace("</body>", f"{LOOK}</body>"), "utf-8")
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    words += [f"--window-size={width},900", "--dump-dom", page.as_uri()]
    done = subprocess.run([browser, *words], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout)
    assert found is not None, done.stdout[:500]
    assert int(found[1]) <= int(found[2]) <= max(width, 500)  # Chromium has no narrower windows
    assert int(found[3]) == 2  # the curve and the worst picture


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"x.json: expected figures that 'facereg evaluate ... --out' wrote in JSON"),
        ("[1]", r"x.json: expected figures .*, with command and models, got other JSON"),
        ('{"images": 3}', r"with command and models, got other JSON"),
        ('{"a": NaN, "command": "", "models": {}}', r"in JSON"),
    ],
)
def test_a_file_of_something_else_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        write_page([tmp_path / "x.json"], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_folder_without_pictures_is_named(results: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: expected pictures"):
        write_page(results, tmp_path / "page.html", worst=[tmp_path / "empty"])


def test_numbers_stand_to_the_right_and_names_do_not() -> None:
    html = Table("t", ("",), (("97.2 %",), ("1,000",), ("-",), ("1cfdfec",), ("2026-11-26",))).html()
    assert re.findall(r"<td( class=.number.)?>", html) == [' class="number"'] * 3 + [""] * 2
