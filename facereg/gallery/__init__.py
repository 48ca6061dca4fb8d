"""The people who are known: embeddings in one SQLite file, or where a plugin keeps them."""

from facereg.gallery.audit import AuditLine
from facereg.gallery.changing import Change
from facereg.gallery.contract import Store
from facereg.gallery.exports import exported_space
from facereg.gallery.repair import Rebuilt, rebuild_gallery, remove_from_backup, restore_gallery, rotate_key
from facereg.gallery.rows import Connection, Row, Rows, Source, State, read_rows
from facereg.gallery.seals import Sealer
from facereg.gallery.store import Enrolled, Gallery, Person

__all__ = [
    "AuditLine",
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
    "remove_from_backup",
    "restore_gallery",
    "rotate_key",
]
