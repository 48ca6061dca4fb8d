"""The conformance kit: what every plugin's stages must do, as classes that its tests subclass.

```python
from facereg import Registry
from facereg.testing import DetectorContract

class TestMyDetector(DetectorContract):
    def make(self):
        return Registry.load().create("my-detector", role="detector")
```

`facereg plugins check NAME` runs the same checks without pytest.
"""

from facereg.testing.aligners import AlignerContract
from facereg.testing.contracts import Outcome, run_contract
from facereg.testing.detectors import DetectorContract
from facereg.testing.embedders import EmbedderContract, write_answers
from facereg.testing.matchers import MatcherContract
from facereg.testing.pictures import face_crops
from facereg.testing.plugins import PluginContract, validate

__all__ = [
    "AlignerContract",
    "DetectorContract",
    "EmbedderContract",
    "MatcherContract",
    "Outcome",
    "PluginContract",
    "face_crops",
    "run_contract",
    "validate",
    "write_answers",
]
