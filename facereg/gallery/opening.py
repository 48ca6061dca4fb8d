"""From where a gallery lies to its store: ours for a file, a plugin's for an address."""

from __future__ import annotations

from facereg.errors import GalleryError, PluginError
from facereg.gallery.access import Access, make_gallery
from facereg.gallery.contract import Store
from facereg.gallery.seals import Sealer
from facereg.names import Address
from facereg.networks.spec import import_object
from facereg.registry.installed import default_registry


def open_store(address: Address, sealer: Sealer, *, make: str | None = None, anew: bool = False) -> Store:
    """Open where a gallery lies.

    Args:
        sealer: of its seals.
        make: the space of a gallery to make where there is none; None makes none.
        anew: make it whatever lies there, which goes with the first change; not for files, which are replaced whole.
    Raises:
        GalleryError: if there is none, it cannot be opened, or is sealed with another key, or none.
        UnknownNameError: if no plugin opens such an address.
    """
    if not address.scheme:
        return _open_file(address, sealer, make)
    spec = default_registry().store(address.scheme)
    store = import_object(spec.factory)(address, sealer, make=make, anew=anew)
    if not isinstance(store, Store):
        raise PluginError(f"{spec.name}: expected {spec.factory} to make a Store, got {type(store).__name__}")
    return store


def _open_file(address: Address, sealer: Sealer, make: str | None) -> Access:
    path = address.path
    try:
        there = path.exists()
    except OSError as error:
        raise GalleryError(f"{path}: cannot be reached ({error.strerror}); check its folder's rights") from error
    if make is not None:
        make_gallery(path, make, sealer)
    elif not there:
        raise GalleryError(f"{path}: found no gallery there; make one with 'facereg enroll DIR --gallery {path}'")
    return Access(path, sealer)
