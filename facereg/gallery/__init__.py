"""The people who are known: embeddings in one SQLite file, or where a plugin keeps them."""

from facereg.gallery.changing import Change
from facereg.gallery.contract import Store
from facereg.gallery.exports import exported_space
from facereg.gallery.repair import Rebuilt, rebuild_gallery, restore_gallery
from facereg.gallery.rows import Connection, Row, Rows, Source, State, read_rows
from facereg.gallery.seals import Sealer
from facereg.gallery.store import Enrolled, Gallery, Person

__all__ = [
    "Change",
    "Connection",
    "Enrolled",
    "Gallery",
    "Person",
    "Rebuilt",
    "Row",
    "Rows",
    "Sealer",
    "Source",
    "State",
    "Store",
    "exported_space",
    "read_rows",
    "rebuild_gallery",
    "restore_gallery",
]
