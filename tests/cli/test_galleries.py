"""Every command with --gallery, on a gallery in each store: the same words give the same answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from facereg.cli.app import app
from facereg.gallery import Gallery, Source
from facereg.testing.pictures import vectors
from tests import kinds
from tests.calling import Run

SPACE, CROWD = "painted-colours:1", 40
STAGES, OTHER = "STAGES", "OTHER"  # where the painted stages go, and another gallery
# in this order, which leads one gallery through all of them; of the JSON that comes, what does not differ by the run
CALLS: list[tuple[str, list[str], dict[str, object]]] = [
    ("enroll", ["people", "--no-check", STAGES], {"enrolled": 3, "skipped": [], "failed": []}),
    ("identify", ["people/ada/1.png", "--threshold", "0.9", STAGES], {"label": "ada"}),
    ("calibrate", ["--far", "0.1"], {"space": SPACE}),
    ("gallery list", [], {"name": "ada", "embeddings": 2}),
    ("gallery show", ["ada"], {"name": "ada", "space": SPACE}),
    ("gallery rename", ["ada", "Ada"], {"name": "Ada", "renamed": 2}),
    ("gallery export", ["team.npz"], {"embeddings": 2 * CROWD + 3}),
    ("gallery remove", ["Ada"], {"removed": 2}),
    ("gallery import", ["team.npz"], {"added": 2}),
    ("gallery check", [], {"sound": True, "people": CROWD + 2}),
    ("gallery audit", [], {"action": "import", "embeddings": 2}),
    ("gallery rotate", ["--unkeyed"], {"embeddings": 2 * CROWD + 3}),
    ("gallery restore", ["team.npz"], {"people": CROWD + 2}),
    ("gallery rebuild", [OTHER], {"people": CROWD + 2, "left_out": []}),
]


def _with_gallery(command: object, path: str = "") -> Iterator[str]:
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from _with_gallery(command.get_command(None, name), f"{path} {name}")  # type: ignore[attr-defined]
    elif any("--gallery" in parameter.opts for parameter in getattr(command, "params", ())):
        yield path.strip()


def test_every_command_with_a_gallery_is_called_here() -> None:
    found = set(_with_gallery(typer.main.get_command(app)))
    assert found == {command for command, _, _ in CALLS} | {"group enroll"}  # which needs an index: at the end below


@pytest.mark.parametrize("store", ["file", "postgresql"])
def test_every_command_takes_a_gallery_in_each_store(
    store: str,
    run: Run,
    painted: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    for name in [name for name in os.environ if name.startswith("FACEREG_GALLERY_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name in ("ada/1", "ada/2", "bob/1"):
        path = tmp_path / f"people/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds.painted(path, 1 if "ada" in name else 2)
        with path.open("ab") as file:  # another picture by its bytes
            file.write(name.encode())
    place = "team.gallery" if store == "file" else request.getfixturevalue("database")
    other = f"other-{place}" if store == "file" else f"{place}_other"
    with Gallery.open(place, space=SPACE, create=True) as gallery:
        for person in range(CROWD):
            given = [Source(f"{2 * person + n}.jpg", f"{2 * person + n:064x}") for n in range(2)]
            gallery.enroll(f"person {person}", vectors(2, 8, SPACE, seed=person), given)
    for command, words, expected in CALLS:
        told = [word for word in words if word not in (STAGES, OTHER)]
        target = other if OTHER in words else place
        told = [place, *told] if OTHER in words else told
        called = run(*command.split(), *told, *(painted if STAGES in words else ()), "--gallery", target, "--json")
        assert called.status == 0, (command, called.err)
        assert any(expected.items() <= line.items() for line in called.lines), (command, called.out)
    with Gallery.open(place) as one, Gallery.open(other) as two:
        assert one.embeddings()[0] == two.embeddings()[0]
        assert two.check() == []
    assert run("index", "people", "--out", "people.index", *painted).status == 0
    assert run("group", "make", "people.index", "--threshold", "0.9").status == 0
    called = run("group", "enroll", "people.index", "--unnamed", "--gallery", place, "--json")
    assert called.status == 0, called.err
    assert sum(int(str(line["enrolled"])) for line in called.lines) == 2  # ada; a face alone is no group


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ada:s3/cr3t@127.0.0.1:1/faces",
        "postgresql:///faces?password=s3/cr3t",
        "postgresql://ada:s3 'cr3t\"@127.0.0.1:1/faces",
        "postgresql:ada:s3cr3t@127.0.0.1:1/faces",
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        ("index", "people", "--out", OTHER),
        ("find", "people/ada.png", "--index", OTHER),
        ("group", "show", OTHER),
        ("gallery", "restore", OTHER, "--gallery", "g"),
        ("gallery", "import", OTHER, "--gallery", "g"),
        ("gallery", "remove", "ada", "--gallery", "g", "--backup", OTHER),
        ("enroll", OTHER, "--gallery", "g"),
        ("identify", OTHER, "--gallery", "g"),
        ("verify", OTHER, OTHER),
    ],
    ids=" ".join,
)
def test_an_address_in_the_place_of_a_path_shows_no_credentials(
    words: tuple[str, ...], address: str, run: Run, painted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").mkdir()
    Gallery.open(tmp_path / "g", space=SPACE, create=True).close()
    called = run(*(address if word == OTHER else word for word in words))
    assert called.status in (1, 2)
    assert "s3" not in called.err + called.out
    assert "cr3t" not in called.err + called.out
