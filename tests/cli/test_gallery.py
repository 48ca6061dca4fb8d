"""facereg gallery: people found in any spelling, renamed, moved between files; what is printed is safe to print."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facereg.gallery import Gallery, Source
from facereg.images import write_image
from facereg.testing.pictures import vectors
from tests.calling import Run

NFD, NFC = "Zoe\u0308", "Zo\u00eb"


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("FACEREG_GALLERY_KEY")]:
        monkeypatch.delenv(name)
    path = tmp_path / "team.gallery"
    with Gallery.open(path, space="a:1", create=True) as held:
        for number, name in enumerate(("Ada", NFD, "Bob")):
            own = [Source(f"\x1b[31m{number}{n}.jpg", f"{10 * number + n:064x}") for n in range(2)]
            held.enroll(name, vectors(2, 16, "a:1", seed=number), own)
    return path


@pytest.mark.parametrize("spelling", [NFC, NFD, f" {NFC} "], ids=["composed", "decomposed", "with spaces"])
def test_a_name_is_found_in_any_spelling(gallery: Path, run: Run, spelling: str) -> None:
    assert run("gallery", "show", spelling, "--gallery", gallery, "--json").document["name"] == NFC
    assert run("gallery", "rename", spelling, NFD, "--gallery", gallery, "--json").document["name"] == NFC
    assert run("gallery", "remove", spelling, "--gallery", gallery, "--json").document["removed"] == 2
    assert [line["name"] for line in run("gallery", "list", "--gallery", gallery, "--json").lines] == ["Ada", "Bob"]


def test_a_person_is_renamed(gallery: Path, run: Run) -> None:
    called = run("gallery", "rename", "Ada", "  Ada  Lovelace ", "--gallery", gallery, "--json")
    assert called.document == {"name": "Ada Lovelace", "was": "Ada", "renamed": 2, "embeddings": 2}
    shown = run("gallery", "show", "Ada Lovelace", "--gallery", gallery, "--json").document
    assert shown["sources"] == ["\x1b[31m00.jpg", "\x1b[31m01.jpg"]
    assert run("gallery", "check", "--gallery", gallery).status == 0
    gone = run("gallery", "rename", "Ada", "Eve", "--gallery", gallery)
    assert (gone.status, "nobody named 'Ada'" in gone.err) == (1, True)


def test_two_people_become_one_only_when_asked(gallery: Path, run: Run) -> None:
    refused = run("gallery", "rename", "Ada", "Bob", "--gallery", gallery)
    assert refused.status == 1
    assert "somebody named 'Bob' is there already" in refused.err
    assert run("gallery", "rename", "Ada", "Bob", "--merge", "--gallery", gallery, "--json").document == {
        "name": "Bob",
        "was": "Ada",
        "renamed": 2,
        "embeddings": 4,
    }
    assert run("gallery", "check", "--gallery", gallery).status == 0


@pytest.mark.parametrize("name", [" ", "a\nb", "a\u202eb", "\u200b", "a" * 201])
def test_a_new_name_is_a_persons_name(gallery: Path, run: Run, name: str) -> None:
    called = run("gallery", "rename", "Ada", name, "--gallery", gallery)
    assert called.status == 1
    assert "name: expected a person's name" in called.err
    assert run("gallery", "show", "Ada", "--gallery", gallery).status == 0


def test_what_others_wrote_is_printed_escaped(gallery: Path, run: Run) -> None:
    with closing(sqlite3.connect(gallery)) as connection:
        connection.execute("UPDATE people SET name = ? WHERE name = 'Bob'", ("Bob\x1b]0;title\x07",))
        connection.commit()
    for words in (["show", "Ada"], ["list"], ["check"], ["show", "\x1b[2J"]):
        called = run("gallery", *words, "--gallery", gallery)
        assert "\x1b" not in called.out + called.err


def test_a_backup_is_restored_and_a_damaged_gallery_rebuilt(gallery: Path, run: Run, tmp_path: Path) -> None:
    backup = tmp_path / "monday.npz"
    run("gallery", "export", backup, "--gallery", gallery)
    with closing(sqlite3.connect(gallery)) as connection:
        connection.execute("UPDATE embeddings SET person = 2 WHERE id = 1")
        connection.commit()
    assert run("gallery", "list", "--gallery", gallery).status == 1
    new = tmp_path / "new.gallery"
    rebuilt = run("gallery", "rebuild", gallery, "--gallery", new, "--json")
    assert rebuilt.status == 1  # something was left out
    assert (rebuilt.document["embeddings"], rebuilt.document["people"]) == (5, 3)
    assert "00.jpg: its bytes were altered; enrol the picture again" in str(rebuilt.document["left_out"])
    assert run("gallery", "restore", new, "--gallery", gallery, "--json").document["people"] == 3
    assert run("gallery", "check", "--gallery", gallery, "--json").document["sound"] is True
    assert run("gallery", "restore", backup, "--gallery", gallery, "--json").document["people"] == 3
    people = run("gallery", "list", "--gallery", gallery, "--json").lines
    assert {person["name"]: person["embeddings"] for person in people} == {"Ada": 2, "Bob": 2, NFC: 2}


def test_an_export_that_is_damaged_makes_no_gallery(gallery: Path, run: Run, tmp_path: Path) -> None:
    export = tmp_path / "team.npz"
    run("gallery", "export", export, "--gallery", gallery)
    with np.load(export) as held:
        columns = dict(held)
    np.savez(export, **columns | {"names": columns["names"][::-1]})
    called = run("gallery", "import", export, "--gallery", tmp_path / "new.gallery")
    assert called.status == 1
    assert "its seal is not that of what it holds" in called.err
    assert not (tmp_path / "new.gallery").exists()
    del columns["seal"], columns["key"]
    np.savez(export, **columns)
    assert run("gallery", "import", export, "--gallery", tmp_path / "new.gallery").status == 1
    added = run("gallery", "import", export, "--unsealed", "--gallery", tmp_path / "new.gallery", "--json")
    assert added.document["added"] == 6


def test_a_key_is_given_to_a_gallery_and_taken_from_it(
    gallery: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, keyed = tmp_path / "key", tmp_path / "keyed.gallery"
    key.write_text("0123456789abcdef\n")
    with monkeypatch.context() as given:
        given.setenv("FACEREG_GALLERY_KEY_FILE", str(key))
        assert run("gallery", "rebuild", gallery, "--unkeyed", "--gallery", keyed).status == 0
        assert run("gallery", "check", "--gallery", keyed).status == 0
        assert run("gallery", "list", "--gallery", gallery).status == 1
        assert run("gallery", "rebuild", gallery, "--unkeyed", "--old-key-file", key, "--gallery", "x").status == 2
    assert run("gallery", "list", "--gallery", keyed).status == 1
    assert run("gallery", "rebuild", keyed, "--old-key-file", key, "--gallery", tmp_path / "again").status == 0
    assert run("gallery", "check", "--gallery", tmp_path / "again").status == 0


@pytest.mark.parametrize(("rights", "said"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_gallery_that_others_may_read_is_said(gallery: Path, run: Run, rights: int, said: bool) -> None:
    gallery.chmod(rights)
    called = run("gallery", "check", "--gallery", gallery, "--json")
    assert (called.status, called.document["sound"]) == (0, True)
    assert ("others may read it (0" in called.err) is said


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_a_file_of_embeddings_is_its_owners_alone(run: Run, painted: list[str], tmp_path: Path, umask: int) -> None:
    write_image(tmp_path / "grey.png", np.full((64, 64, 3), 128, np.uint8))
    out, link = tmp_path / "faces.npz", tmp_path / "link.npz"
    link.symlink_to(out)
    before = os.umask(umask)
    try:
        assert run("embed", tmp_path / "grey.png", "--out", link, *painted).status == 0
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_new_name_that_looks_like_another_is_said(gallery: Path, run: Run, tmp_path: Path) -> None:
    run("gallery", "export", tmp_path / "all.npz", "--gallery", gallery)
    for new, old in (("BOB", "Bob"), ("B\u043eb", "Bob")):
        called = run("gallery", "rename", "Ada", new, "--gallery", gallery)
        assert called.status == 0
        assert f"warning: '{new}' and '{old}' differ only by case, invisible or look-alike letters" in called.error
        assert "warning" not in run("gallery", "rename", new, "Ada", "--gallery", gallery).err
    run("gallery", "rename", "Ada", "ada", "--gallery", gallery)
    imported = run("gallery", "import", tmp_path / "all.npz", "--gallery", gallery)
    assert "warning: 'Ada' and 'ada' differ only" in imported.error


def test_a_person_is_removed_from_the_backups_that_are_named(gallery: Path, run: Run, tmp_path: Path) -> None:
    copy, export, without = tmp_path / "monday.gallery", tmp_path / "team.npz", tmp_path / "other.npz"
    run("gallery", "restore", gallery, "--gallery", copy)
    run("gallery", "export", export, "--gallery", gallery)
    run("gallery", "remove", "Bob", "--gallery", gallery)
    run("gallery", "export", without, "--gallery", gallery)
    before = without.read_bytes()
    words = [word for file in (copy, export, without) for word in ("--backup", file)]
    called = run("gallery", "remove", NFD, "--gallery", gallery, *words, "--json").document
    assert called == {"name": NFD, "removed": 2, "backups": {str(copy): 2, str(export): 2, str(without): 2}}
    assert without.read_bytes() != before
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert not [one for one in vectors(2, 16, "a:1", seed=1).vectors if one.tobytes() in content]
    assert NFC.encode() not in content
    with Gallery.open(tmp_path / "from export", space="a:1", create=True) as held:
        held.import_(export)
        assert [person.name for person in held.people()] == ["Ada", "Bob"]
    for _ in range(2):  # who is in a backup still is in the gallery, so that the same can be called again
        missing = run("gallery", "remove", "Ada", "--gallery", gallery, "--backup", tmp_path / "nowhere")
        assert (missing.status, "found no file; check the path" in missing.error) == (1, True)
