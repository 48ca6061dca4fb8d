"""Several embedders on one data set under one protocol: trained, measured, and set side by side.

`run_study(read_study(Path("study.toml")))` does what `facereg study run study.toml` does; a study that was stopped
goes on where it stood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facereg import _lazy

if TYPE_CHECKING:
    from facereg.study.plan import PublishedRow as PublishedRow
    from facereg.study.plan import StudyPlan as StudyPlan
    from facereg.study.plan import StudyRow as StudyRow
    from facereg.study.plan import TrainingData as TrainingData
    from facereg.study.plan import VerificationProtocol as VerificationProtocol
    from facereg.study.plan import read_study as read_study
    from facereg.study.running import StudyResult as StudyResult
    from facereg.study.running import run_study as run_study

_HOMES = {
    "facereg.study.plan": "PublishedRow StudyPlan StudyRow TrainingData VerificationProtocol read_study",
    "facereg.study.running": "StudyResult run_study",
}

__getattr__, __dir__, __all__ = _lazy(__name__, _HOMES)
