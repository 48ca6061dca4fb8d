"""Options are read by their type, in one way, wherever they come from; what does not read is refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from facereg.errors import ContractError, PluginError
from facereg.options import Option, options_of, read_options
from facereg.pipeline.composer import Pipeline
from facereg.registry.factories import known_options
from facereg.registry.installed import Registry


@dataclass(frozen=True)
class Options:
    """Options of a model.

    Args:
        steps: how often it looks: more
            is slower.
        low, high: scores between.
        file: to read.
    """

    steps: int = 3
    low: float | None = 0.5
    high: float = 1.0
    flip: bool = True
    mode: Literal["fine", "coarse"] = "fine"
    three: tuple[float, float, float] = (0.1, 0.2, 0.3)
    sizes: tuple[int, ...] = ()
    file: Path | None = None
    title: str = ""


def known() -> dict[str, Option]:
    options = options_of(Options)
    assert options is not None
    return options


def read(**given: object) -> dict[str, object]:
    return read_options(known(), given, owner="skin")


def test_meanings_come_from_the_docstring() -> None:
    assert known()["steps"].meaning == "how often it looks: more is slower."
    assert known()["low"].meaning == known()["high"].meaning == "scores between."
    assert str(known()["low"]) == "low (float or none, default 0.5)"
    assert known()["mode"].type == "one of fine, coarse"
    assert known()["three"].type == "3 float with commas between"


def test_what_a_class_does_not_say_the_one_it_inherits_from_does() -> None:
    @dataclass(frozen=True)
    class More(Options):
        """Options of another model.

        Args:
            low: another meaning.
            depth: of it.
        """

        depth: int = 1

    options = options_of(More)
    assert options is not None
    meanings = {name: options[name].meaning for name in ("steps", "low", "high", "depth")}
    assert meanings == {
        "steps": "how often it looks: more is slower.",
        "low": "another meaning.",
        "high": "scores between.",
        "depth": "of it.",
    }


@pytest.mark.parametrize(
    ("name", "word", "value"),
    [
        ("steps", "7", 7),
        ("steps", " -7 ", -7),
        ("steps", np.int64(7), 7),
        ("low", "none", None),
        ("low", "null", None),
        ("low", None, None),
        ("low", "2e-4", 2e-4),
        ("high", 2, 2.0),
        ("high", np.float32(0.5), 0.5),
        ("mode", "coarse", "coarse"),
        ("three", "1,2,.5", (1.0, 2.0, 0.5)),
        ("three", "[1, 2, 0.5]", (1.0, 2.0, 0.5)),
        ("three", [1, 2, 0.5], (1.0, 2.0, 0.5)),
        ("sizes", "8", (8,)),
        ("file", "a/b", Path("a/b")),
        ("file", "none", None),
        ("title", "7", "7"),
        ("title", "none", "none"),
    ],
)
def test_a_word_or_value_becomes_the_options_type(name: str, word: object, value: object) -> None:
    got = read(**{name: word})[name]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize("word", ["False", "false", "off", "no", "0", "OFF", False])
def test_every_word_for_no_is_false(word: object) -> None:
    assert read(flip=word) == {"flip": False}


@pytest.mark.parametrize("word", ["True", "on", "YES", "1", True])
def test_every_word_for_yes_is_true(word: object) -> None:
    assert read(flip=word) == {"flip": True}


@pytest.mark.parametrize(
    ("name", "word", "expected"),
    [
        ("flip", "maybe", "bool"),
        ("flip", "", "bool"),
        ("flip", 2, "bool"),
        ("flip", 0, "bool"),
        ("steps", "²", "int"),
        ("steps", "\uff14", "int"),
        ("steps", "1e3", "int"),
        ("steps", "1_000", "int"),
        ("steps", 7.0, "int"),
        ("steps", True, "int"),
        ("steps", 2**63, "int"),
        ("steps", "9" * 5000, "int"),
        ("high", "1e400", "float"),
        ("high", "nan", "float"),
        ("high", "inf", "float"),
        ("high", float("nan"), "float"),
        ("high", 10**400, "float"),
        ("high", np.array(0.5), "float"),
        ("high", None, "float"),
        ("low", "many", "float"),
        ("mode", "finer", "one of fine, coarse"),
        ("three", "1,2", "3 float with commas between"),
        ("three", "[1, 2, NaN]", "3 float with commas between"),
        ("three", "[" * 50_000, "3 float with commas between"),
        ("three", np.array(1.0), "3 float with commas between"),
        ("file", "a\0b", "path"),
        ("file", "", "path"),
        ("title", 7, "str"),
    ],
)
def test_what_does_not_read_is_refused_in_one_line(name: str, word: object, expected: str) -> None:
    with pytest.raises(ContractError) as caught:
        read(**{name: word})
    message = str(caught.value)
    assert message.startswith(f"skin: option {name}: expected {expected}, got ")
    assert message.isprintable()
    assert len(message) < 400


def test_an_unknown_name_gives_the_nearest_with_type_and_default() -> None:
    with pytest.raises(ContractError) as caught:
        read(stps=3)
    names = "steps, low, high, flip, mode, three, sizes, file, title"
    assert str(caught.value) == f"no option named stps; skin has: {names}; nearest: steps (int, default 3)"


def test_the_keyword_parameters_of_a_factory_are_options_too() -> None:
    def factory(networks: object, *, flip: bool = True, size: int, plain=0.5) -> None:  # type: ignore[no-untyped-def]
        raise AssertionError

    def anything(**options: object) -> None:
        raise AssertionError

    options = options_of(factory, skip=frozenset({"networks"}))
    assert options is not None
    assert [str(one) for one in options.values()] == [
        "flip (bool, default True)",
        "size (int, needed)",
        "plain (float, default 0.5)",
    ]
    assert options_of(anything) is None


@pytest.mark.parametrize("spec", Registry.load().models(), ids=lambda spec: spec.name)
def test_every_option_of_an_installed_model_has_a_type_a_default_and_a_meaning(spec: object) -> None:
    options = known_options(spec)  # type: ignore[arg-type]
    assert options is not None
    for option in options.values():
        assert option.meaning, option
        assert option.type != "any", option
        kept = read_options(options, {option.name: option.default}, owner="model")
        assert kept == {option.name: option.default}


@pytest.mark.parametrize(
    ("role", "name", "given", "words"),
    [
        (
            "detector",
            "mtcnn",
            {"runner": "x"},
            "no option named runner; mtcnn has: min_face, .*; runner is given beside",
        ),
        ("detector", "mtcnn", {"min_fase": "4"}, r"nearest: min_face \(float, default 20.0\)"),
        ("detector", "mtcnn", {"networks": "x"}, "no option named networks"),
        ("detector", "mtcnn", {"min_face": "1"}, "expected min_face >= 6"),
        ("embedder", "mobilenetv3-arcface", {"flip": "perhaps"}, "option flip: expected bool, got 'perhaps'"),
        ("matcher", "exact", {"threshold": "0.5"}, "no option named threshold; exact has: templates"),
        ("aligner", "five-point", {"self": "x"}, "no option named self; five-point has: none"),
    ],
)
def test_a_wrong_option_of_a_model_is_one_line(
    role: Literal["detector", "aligner", "embedder", "matcher"], name: str, given: Mapping[str, object], words: str
) -> None:
    with pytest.raises((PluginError, ContractError), match=words):
        Registry.load().make(name, given, role=role, threshold=0.5 if role == "matcher" else None)


def test_words_in_python_and_in_a_file_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    detector = "[detector]\nname = 'mtcnn'\noptions = { thresholds = [0.5, 0.6, 0.7] }\n"
    path.write_text(f"[embedder]\noptions = {{ flip = 'off' }}\n{detector}")
    with Pipeline.from_file(path) as read_from_file:
        assert read_from_file.embedder.flip is False
        assert getattr(read_from_file.detector, "thresholds", None) == (0.5, 0.6, 0.7)
    with Pipeline.create(options={"embedder": {"flip": "no"}}) as made:
        assert made.embedder.flip is False


def test_a_file_nested_too_deep_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text("[detector]\noptions = { thresholds = " + "[" * 50_000 + "]" * 50_000 + " }\n")
    with pytest.raises(ContractError, match="nested more than 64 deep"):
        Pipeline.from_file(path)
