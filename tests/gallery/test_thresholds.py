"""What thresholds mean: rates between those measured, and galleries of many people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.exact import ExactMatcher
from facereg.errors import ContractError, FaceregError
from facereg.gallery.explaining import explain
from facereg.gallery.thresholds import (
    Calibration,
    Tail,
    Threshold,
    calibration_for,
    calibrations_file,
    far_for,
    keep_threshold,
    store_calibration,
)
from facereg.registry.installed import Registry
from facereg.testing.pictures import vectors
from facereg.types import Embeddings
from tests.rights import folder_with


def test_a_rate_between_two_measured_lies_between_their_thresholds() -> None:
    held = Calibration({0.01: 0.3, 0.0001: 0.5}, "a test")
    assert held.at() == held.at(0.01)
    assert held.at(0.01).value == pytest.approx(0.3)
    assert held.at(0.001).value == pytest.approx(0.4)
    assert held.at(0.001).far == pytest.approx(0.001)
    assert held.at(1e-9) == held.at(0.0001)  # not measured
    assert held.at(0.5) == held.at(0.01)
    assert held.at(0.5).far == pytest.approx(0.01)


@pytest.mark.parametrize("thresholds", [{}, {0.0: 0.5}, {1.5: 0.5}, {float("nan"): 0.5}, {-0.1: 0.5}])
def test_thresholds_without_a_rate_are_refused(thresholds: dict[float, float]) -> None:
    with pytest.raises(ContractError, match="expected one by a rate above 0"):
        Calibration(thresholds, "a test")


@pytest.mark.parametrize("value", [37.0, -1.1, float("nan"), float("inf")])
def test_thresholds_that_are_no_cosine_are_refused(value: float) -> None:
    with pytest.raises(ContractError, match=r"expected cosine similarities in -1\.\.1"):
        Calibration({0.1: 0.2, 0.01: value}, "a test")


@pytest.mark.parametrize("templates", [True, False])
def test_as_many_strangers_are_named_as_was_asked_whatever_the_gallery(templates: bool) -> None:
    everybody, probes = vectors(400, 16, "a").vectors, vectors(4000, 16, "a", seed=1).vectors
    impostors = np.sort((everybody @ probes.T).ravel())[::-1]
    for count in (2, 20, 400):
        with ExactMatcher(threshold=1.0, templates=templates) as matcher:
            matcher.add([str(row // 2) for row in range(count)], Embeddings(everybody[:count], "a"))
            assert matcher.vectors_compared == (count // 2 if templates else count)
            matcher.threshold = float(impostors[int(len(impostors) * far_for(matcher.vectors_compared, 0.1))])
            named = np.mean([match.accepted for match in matcher.match(Embeddings(probes, "a"))])
        assert named == pytest.approx(0.1, abs=0.04)


def test_a_threshold_follows_the_gallery_as_it_grows() -> None:
    """What was chosen for few people would name too many strangers among many."""
    everybody = Embeddings(vectors(8, 16, "a").vectors, "a")
    asked: list[int] = []

    def choose(compared: int) -> float:
        asked.append(compared)
        return compared / 10

    with ExactMatcher(threshold=1.0) as matcher:
        matcher.add(["ada"], everybody[:1])
        keep_threshold(matcher, choose)
        assert matcher.threshold == 0.1
        matcher.add([str(row) for row in range(7)], everybody[1:])
        for _ in range(2):
            assert matcher.match(everybody[:1]).threshold == 0.8
    assert asked == [1, 8]


HELD = Calibration(
    {0.01: 0.3, 0.001: 0.41}, "200 pairs of a test", {0.01: (0.28, 0.33), 0.001: (0.37, 0.45)}, Tail(0.04, -0.1)
)
CARD = "model:0123"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEREG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def _user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FACEREG_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))


def test_what_was_calibrated_is_found_again(home: Path) -> None:
    assert store_calibration(CARD, HELD) == home / "calibrations.json"
    store_calibration("other:1", Calibration({0.1: 0.2}, "another"))
    assert calibration_for(CARD, Registry()) == HELD


@pytest.mark.usefixtures("_user")
def test_the_users_folder_of_settings_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert calibrations_file() == tmp_path / "user/.config/facereg/calibrations.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert calibrations_file() == tmp_path / "xdg/facereg/calibrations.json"
    monkeypatch.setenv("FACEREG_HOME", str(tmp_path / "own"))
    assert calibrations_file() == tmp_path / "own/calibrations.json"


def nothing_is_known_but_the_card() -> None:
    with pytest.raises(FaceregError, match=f"no threshold is known for '{CARD}'"):  # no card either, of this one
        calibration_for(CARD, Registry())


@pytest.mark.usefixtures("_user")
def test_without_a_home_nothing_was_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    nothing_is_known_but_the_card()
    with pytest.raises(FaceregError, match="expected a home folder, found none; set FACEREG_HOME to a folder"):
        store_calibration(CARD, HELD)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming a user without an entry needs root")
def test_a_user_without_an_entry_has_calibrated_nothing() -> None:
    """As in a container that is run with a number for its user."""
    words = (
        "import os, pwd, platformdirs.unix, tests.gallery.test_thresholds as module; "
        "os.setuid(54321); module.nothing_is_known_but_the_card()"
    )
    without = {name: value for name, value in os.environ.items() if name not in ("HOME", "FACEREG_HOME")}
    done = subprocess.run([sys.executable, "-c", words], env=without, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_user")
def test_in_a_home_of_somebody_else_nothing_was_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    with folder_with(0o755) as folder:
        monkeypatch.setenv("HOME", str(folder))
        store_calibration(CARD, HELD)
        folder.chmod(0)
        nothing_is_known_but_the_card()
        with pytest.raises(FaceregError, match="cannot be written .*set FACEREG_HOME to a folder that can"):
            store_calibration(CARD, HELD)
        monkeypatch.setenv("FACEREG_HOME", str(folder / ".config/facereg"))  # asked for: not passed over
        with pytest.raises(FaceregError, match="cannot be read .Permission denied.; change its rights"):
            calibration_for(CARD, Registry())
        folder.chmod(0o755)


STORE = """
import sys
from facereg.gallery.thresholds import Calibration, store_calibration
for number in range(30):
    store_calibration(f"{sys.argv[1]}:{number}", Calibration({0.1: 0.5}, "a test"))
"""


def test_calibrations_at_once_are_all_kept(home: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", STORE, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    held = json.loads((home / "calibrations.json").read_text("utf-8"))
    assert set(held) == {f"{name}:{number}" for name in "abc" for number in range(30)}


def test_an_entry_of_before_has_no_checksum_and_counts(home: Path) -> None:
    home.mkdir()
    (home / "calibrations.json").write_text(json.dumps({CARD: {"thresholds": {"0.01": 0.3}, "origin": "before"}}))
    assert calibration_for(CARD, Registry()) == Calibration({0.01: 0.3}, "before")
    store_calibration("other:1", HELD)
    assert calibration_for(CARD, Registry()) == Calibration({0.01: 0.3}, "before")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        '{"model:0123": 3}',
        '{"model:0123": []}',
        '{"model:0123": {"thresholds": {"0.01": "0.3"}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": true}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": 37}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": NaN}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": 1' + "0" * 400 + '}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"x": 0.3}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": 0.3}, "origin": 7}}',
        '{"model:0123": {"thresholds": {"0.01": 0.3}, "origin": "x", "more": 1}}',
        '{"model:0123": {"thresholds": {}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": 0.3, "0.010": 0.4}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": 0.3, "0.1": 0.4}, "origin": "x"}}',
        '{"model:0123": {"version": 2, "thresholds": {"0.01": 0.3}, "origin": "x"}}',
        '{"model:0123": {"version": 3, "thresholds": {"0.01": 0.3}, "origin": "x"}}',
        '{"model:0123": {"thresholds": {"0.01": 0.3}, "origin": "x", "sha256": null}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\xff",
    ],
    ids=lambda text: text[:70],
)
def test_another_file_is_said_in_one_line(home: Path, text: str) -> None:
    home.mkdir()
    (home / "calibrations.json").write_bytes(text.encode("latin-1"))
    for call in (lambda: calibration_for(CARD, Registry()), lambda: store_calibration("x:1", HELD)):
        with pytest.raises(FaceregError, match="calibrations.json: expected what 'facereg calibrate' wrote") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize("others", [0, 1])
def test_an_entry_whose_checksum_is_gone_is_none_of_before(home: Path, others: int) -> None:
    """The end of its `origin` is damaged so that the checksum belongs to that text."""
    path = store_calibration(CARD, HELD)
    for number in range(others):
        store_calibration(f"other:{number}", HELD)
    text = path.read_text()
    path.write_text(text.replace('",\n    "sha256": "', "x" * 18, 1))
    assert '"sha256"' not in json.loads(path.read_text())[CARD]
    with pytest.raises(FaceregError, match="expected what 'facereg calibrate' wrote"):
        calibration_for(CARD, Registry())


@pytest.mark.parametrize("thresholds", [{0.01: 0.3, 0.1: 0.4}, {0.1: 0.2, 0.01: 0.1}])
def test_a_threshold_does_not_rise_with_the_rate(thresholds: dict[float, float]) -> None:
    with pytest.raises(ContractError, match="expected none that rises with the false accept rate"):
        Calibration(thresholds, "x")


def test_bytes_that_are_changed_never_give_another_threshold(home: Path) -> None:
    path = store_calibration(CARD, HELD)
    store_calibration("other:1", Calibration({0.1: 0.25}, "another"))
    before, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(1000):
        content = bytearray(before)
        place = int(rng.integers(len(content)))
        content[place] = int(rng.integers(256)) if rng.random() < 0.5 else content[int(rng.integers(len(content)))]
        path.write_bytes(content)
        try:
            found = calibration_for(CARD, Registry())
        except FaceregError as error:
            said = str(error)
            continue
        assert found == HELD, bytes(content)
    assert "calibrations.json" in said


@pytest.mark.parametrize(
    ("candidates", "used", "margin", "text"),
    [
        (
            [("Ada", 0.7), ("Bob", 0.3)],
            Threshold(0.5, 0.001, "20 pairs"),
            0.2,
            "nearest to Ada, 0.200 above the threshold 0.500 of false accept rate 0.001 (20 pairs)"
            "; second best Bob, 0.300",
        ),
        (
            [("Ada", 0.4)],
            Threshold(0.5, None, "given"),
            -0.1,
            "nearest to Ada, 0.100 below the threshold 0.500 (given)",
        ),
        ([], Threshold(0.5, None, "given"), None, "nobody is known; the threshold 0.500 (given)"),
    ],
    ids=["known", "stranger", "nobody"],
)
def test_why_a_face_has_a_name_or_none_is_told(
    candidates: list[tuple[str, float]], used: Threshold, margin: float | None, text: str
) -> None:
    line = {"candidates": [{"label": name, "similarity": value} for name, value in candidates]}
    told = explain(line, used)
    assert told["text"] == text
    assert told["margin"] == (None if margin is None else pytest.approx(margin))
    assert told["origin"] == used.origin


def test_below_the_rates_measured_the_tail_goes_on_or_the_nearest_is_stated() -> None:
    with_tail = Calibration({0.01: 0.3, 0.001: 0.4}, "a test", tail=Tail(0.05, 0.0))
    assert with_tail.at(1e-4).value == pytest.approx(0.4 + 0.05 * np.log(10))  # an exponential fall
    assert with_tail.at(1e-4).far == 1e-4
    assert with_tail.at(1e-300).value == 1.0  # no cosine is higher
    assert with_tail.at(0.001) == Calibration({0.01: 0.3, 0.001: 0.4}, "a test").at(1e-9)
    bounded = Tail(0.05, -0.5)  # nothing exceeds it by more than 0.05 / 0.5
    assert bounded.exceeded_by(1e-300) == pytest.approx(0.1)


def test_what_is_no_tail_or_interval_is_refused() -> None:
    with pytest.raises(ContractError, match="tail: expected a scale in 0..1"):
        Tail(-1.0, 0.0)
    with pytest.raises(ContractError, match="intervals: expected low, high of rates that have a threshold"):
        Calibration({0.01: 0.3}, "a test", {0.1: (0.2, 0.3)})
