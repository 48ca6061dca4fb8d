"""Where a gallery lies: a file, or an address that a plugin opens, in Python and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from facereg import Address, PluginError, StoreSpec, UnknownNameError, hookimpl
from facereg.gallery import Gallery, Sealer, Source
from facereg.gallery.access import Access, make_gallery
from facereg.registry.installed import Registry
from facereg.testing.pictures import vectors
from tests.calling import Run


class Shelf(Access):
    """A file, by another address."""

    def __init__(self, address: Address, sealer: Sealer, *, make: str | None, anew: bool) -> None:
        path = Path(address.text.removeprefix("shelf://"))
        if make is not None:
            make_gallery(path, make, sealer)
        super().__init__(path, sealer)
        self.address = address


def no_store(address: Address, sealer: Sealer, *, make: str | None, anew: bool) -> dict[str, str]:
    return {}


class Shelves:
    def __init__(self, factory: str = f"{__name__}:Shelf") -> None:
        self.factory = factory

    @hookimpl
    def facereg_stores(self) -> list[StoreSpec]:
        return [StoreSpec("shelf", self.factory)]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry()
    monkeypatch.setattr("facereg.gallery.opening.default_registry", lambda: made)
    return made


@pytest.mark.parametrize(
    ("text", "scheme", "shown"),
    [
        ("team.gallery", "", "team.gallery"),
        ("/data/a@b/team", "", "/data/a@b/team"),
        ("postgresql://ada:secret@host/db", "postgresql", "postgresql://***@host/db"),
        ("postgresql://host/db?user=ada&password=secret", "postgresql", "postgresql://host/db"),
        ("postgresql:///db?password=secr@t", "postgresql", "postgresql://***"),
        ("postgresql://ada:sec?ret@host/db", "postgresql", "postgresql://***"),
        ("postgres://ada:sec@ret@host/db", "postgres", "postgres://***@host/db"),
    ],
)
def test_an_address_shows_no_credentials(text: str, scheme: str, shown: str) -> None:
    address = Address.of(text)
    assert (address.scheme, str(address)) == (scheme, shown)
    assert "sec" not in repr(address)
    assert Address.of(address) is address


def test_an_address_that_no_plugin_opens_is_one_line(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="no store of galleries named 'postgresql'") as raised:
        Gallery.open("postgresql://ada:secret@host/db")
    assert "secret" not in str(raised.value)


def test_a_plugin_opens_its_addresses_from_python(registry: Registry, tmp_path: Path) -> None:
    registry.register(Shelves(), name="shelves")
    with Gallery.open(f"shelf://{tmp_path}/g", space="a", create=True) as held:
        held.enroll("Ada", vectors(1, 8, "a"), [Source("1.jpg", "0" * 64)])
        assert str(held.address) == f"shelf://{tmp_path}/g"
    with Gallery.open(tmp_path / "g") as held:
        assert [person.name for person in held.people()] == ["Ada"]


def test_a_store_that_is_none_is_the_plugins_fault(registry: Registry) -> None:
    registry.register(Shelves(f"{__name__}:no_store"), name="shelves")
    with pytest.raises(PluginError, match="expected .*no_store to make a Store, got dict"):
        Gallery.open("shelf://x")


def test_commands_take_addresses(registry: Registry, run: Run, tmp_path: Path) -> None:
    registry.register(Shelves(), name="shelves")
    address, export = f"shelf://{tmp_path}/g", str(tmp_path / "team.npz")
    with Gallery.open(address, space="a", create=True) as held:
        held.enroll("Ada", vectors(1, 8, "a"), [Source("1.jpg", "0" * 64)])
    assert run("gallery", "list", "--gallery", address).out.startswith("Ada: 1 embedding")
    assert run("gallery", "export", export, "--gallery", address).status == 0
    copied = run("gallery", "import", export, "--gallery", f"shelf://{tmp_path}/copy")
    assert copied.out == f"shelf://{tmp_path}/copy: 1 embedding added\n"
    assert run("gallery", "check", "--gallery", address).out == f"{address}: sound, 1 people\n"
