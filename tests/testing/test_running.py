"""How checks run and what they say: in pytest, by `facereg plugins check`, and where they cannot run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from facereg.builtin.alignment import FivePointAligner
from facereg.cli.app import app
from facereg.registry.installed import Registry, default_registry
from facereg.roles import Stage
from facereg.testing import AlignerContract, DetectorContract, PluginContract, contracts, pictures
from facereg.testing.checking import CheckFailedError, Contract
from facereg.testing.contracts import CONTRACTS, Outcome, checks_of, run_checks, run_contract, sentence_of
from facereg.testing.every_role import StageContract
from tests.testing.planted import PLANTED

ALL: Mapping[str, type[Contract]] = {"plugin": PluginContract, **{str(role): one for role, one in CONTRACTS.items()}}


@pytest.mark.parametrize("kind", ALL)
def test_each_check_says_what_it_catches_and_what_to_change(kind: str) -> None:
    contract = ALL[kind]
    for name in checks_of(contract):
        check = getattr(contract, name)
        assert len(check.catches) > 15, name
        assert len(check.change) > 15, name


@pytest.mark.parametrize("kind", ALL)
def test_each_check_catches_a_planted_fault(kind: str) -> None:
    planted = {fault.check for fault in (*PLANTED[kind], *PLANTED["every role"])}
    assert {sentence_of(name) for name in checks_of(ALL[kind])} <= planted


class Broken(FivePointAligner):
    def __init__(self) -> None:
        raise RuntimeError("no weights")


def contract_of(kind: type[StageContract], make: type[Stage], **attributes: object) -> StageContract:
    tried: StageContract = type("Tried", (kind,), {"make": lambda _: make(), **attributes})()
    return tried


def test_a_stage_that_cannot_be_made_fails_once_and_skips_the_rest() -> None:
    first, *rest = run_checks(contract_of(AlignerContract, Broken), "broken")
    assert (first.check, first.failed) == ("it can be made", True)
    assert "RuntimeError: no weights" in first.message
    assert {(outcome.passed, outcome.skipped, outcome.message) for outcome in rest} == {
        (False, True, "nothing to look at, as 'it can be made' failed")
    }


def test_without_photographs_checks_are_skipped_and_none_passes_unrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    pictures.portraits.cache_clear()
    try:
        outcomes = {one.check: one for one in run_contract("five-point", Registry.load())}
    finally:
        pictures.portraits.cache_clear()
    skipped = [one for one in outcomes.values() if one.skipped]
    assert len(skipped) >= 8
    assert {one.message for one in skipped} == {
        "the photographs need scikit-image and matplotlib; pip install 'facereg-core[app]'"
    }
    assert not any(one.passed for one in skipped)
    assert outcomes["the crop is what its transform cuts out"].skipped
    assert outcomes["no faces give no crops"].passed


class ExpectedToFail(AlignerContract):
    expected_failures: ClassVar[Mapping[str, str]] = {"test_it_can_be_made": "needs a GPU"}

    def make(self) -> FivePointAligner:
        return Broken()


def test_an_expected_failure_is_skipped_with_its_reason_and_a_pass_is_told() -> None:
    assert next(run_checks(ExpectedToFail(), "one")).message == "fails as stated: needs a GPU"
    fine = contract_of(AlignerContract, FivePointAligner, expected_failures=ExpectedToFail.expected_failures)
    outcome = next(run_checks(fine, "one"))
    assert outcome.failed
    assert "take it out of expected_failures" in outcome.message


def test_a_check_of_a_plugins_own_is_run_too() -> None:
    def test_own(self: AlignerContract) -> None:
        raise SystemExit("bye")

    outcomes = list(run_checks(contract_of(AlignerContract, FivePointAligner, test_own=test_own), "one"))
    assert [one.message for one in outcomes if one.failed] == ["SystemExit: bye"]


OPTIMISED = """\
from tests.testing.test_detectors import Right
from tests.testing.planting import look
from facereg.testing import DetectorContract
assert False, "asserts are on"
made = lambda: Right(lambda find, images: [find(image)[:0] for image in images])
print(look(DetectorContract, made, "it finds the face of a photograph").message)
"""


def test_optimised_python_changes_nothing() -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *sys.path])
    command = [sys.executable, "-O", "-c", OPTIMISED]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("expected the face of the photograph, got no face; give boxes"), done.stderr


def test_a_plugin_is_checked_with_every_tag_whose_weights_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "run_checks", lambda contract, model: iter([Outcome(model, "it", passed=True)]))

    def checked(name: str, weights: str | None = None) -> list[str]:
        return [outcome.model for outcome in run_contract(name, default_registry(), weights=weights)]

    assert checked("yolov5") == ["yolov5s-face", "yolov5s-face:int8"]
    assert checked("yolov5s-face:int8") == ["yolov5s-face:int8"]
    assert checked("yolov5", weights="mine.onnx") == ["yolov5s-face"]
    monkeypatch.setattr(contracts, "find_weights", lambda network: None)
    assert checked("yolov5") == ["yolov5s-face"]


def test_the_kit_asserts_nothing() -> None:
    kit = Path(pictures.__file__).parent
    assert [path.name for path in kit.glob("*.py") if "    assert " in path.read_text("utf-8")] == []


def test_the_command_says_the_sum_and_fails_where_a_check_does(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["plugins", "check", "five-point", "--json"])
    count = len(checks_of(AlignerContract))
    assert done.exit_code == 0
    assert f"{count} checks: {count} passed, 0 skipped, 0 failed" in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(row.keys() == {"model", "check", "passed", "skipped", "message"} for row in rows)

    def fails(self: DetectorContract) -> None:
        raise CheckFailedError("expected a, got b; do c")

    monkeypatch.setattr(AlignerContract, "test_no_faces_give_no_crops", fails)
    done = CliRunner().invoke(app, ["plugins", "check", "five-point"])
    assert done.exit_code == 1
    assert "FAILED five-point no faces give no crops: expected a, got b; do c\n" in done.stdout
    assert f"{count - 1} passed, 0 skipped, 1 failed" in done.stderr
