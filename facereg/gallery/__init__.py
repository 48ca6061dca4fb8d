"""The people who are known: embeddings in one SQLite file."""

from facereg.gallery.exports import exported_space
from facereg.gallery.repair import Rebuilt, rebuild_gallery, restore_gallery
from facereg.gallery.rows import Source
from facereg.gallery.store import Enrolled, Gallery, Person

__all__ = [
    "Enrolled",
    "Gallery",
    "Person",
    "Rebuilt",
    "Source",
    "exported_space",
    "rebuild_gallery",
    "restore_gallery",
]
