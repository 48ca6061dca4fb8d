"""The people who are known: embeddings in one SQLite file."""

from facereg.gallery.rows import Source
from facereg.gallery.store import Enrolled, Gallery, Person, exported_space

__all__ = ["Enrolled", "Gallery", "Person", "Source", "exported_space"]
