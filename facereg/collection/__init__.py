"""Collections of pictures in which nobody has a name yet: their faces in one index, searched and put into groups.

Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facereg import _lazy

if TYPE_CHECKING:
    from facereg.collection.grouping import Grouping as Grouping
    from facereg.collection.groups import Group as Group
    from facereg.collection.groups import enrol_groups as enrol_groups
    from facereg.collection.groups import group_index as group_index
    from facereg.collection.groups import groups_of as groups_of
    from facereg.collection.groups import merge_groups as merge_groups
    from facereg.collection.groups import name_group as name_group
    from facereg.collection.groups import split_group as split_group
    from facereg.collection.indexing import IndexReport as IndexReport
    from facereg.collection.indexing import forget_missing as forget_missing
    from facereg.collection.indexing import index_folder as index_folder
    from facereg.collection.indexing import look_at as look_at
    from facereg.collection.indexing import looking as looking
    from facereg.collection.on_ray import looking_on_ray as looking_on_ray
    from facereg.collection.searching import IndexedFace as IndexedFace
    from facereg.collection.searching import find_face as find_face
    from facereg.collection.searching import name_faces as name_faces
    from facereg.collection.store import File as File
    from facereg.collection.store import Index as Index
    from facereg.collection.store import IndexedFaces as IndexedFaces
    from facereg.collection.store import Seen as Seen

_HOMES = {
    "facereg.collection.grouping": "Grouping",
    "facereg.collection.groups": ("Group enrol_groups group_index groups_of merge_groups name_group split_group"),
    "facereg.collection.indexing": "IndexReport forget_missing index_folder look_at looking",
    "facereg.collection.on_ray": "looking_on_ray",
    "facereg.collection.searching": "IndexedFace find_face name_faces",
    "facereg.collection.store": "File Index IndexedFaces Seen",
}

__getattr__, __dir__, __all__ = _lazy(__name__, _HOMES)
