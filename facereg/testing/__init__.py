"""The conformance kit: what every plugin's stages must do, as classes that its tests subclass.

```python
from facereg.registry.installed import Registry
from facereg.testing import DetectorContract

class TestMyDetector(DetectorContract):
    def make(self):
        return Registry.load().create("my-detector", role="detector")
```

`facereg plugins check NAME` runs the same checks without pytest.
"""

from facereg.testing.contracts import (
    AlignerContract,
    DetectorContract,
    EmbedderContract,
    MatcherContract,
    Outcome,
    run_contract,
)

__all__ = [
    "AlignerContract",
    "DetectorContract",
    "EmbedderContract",
    "MatcherContract",
    "Outcome",
    "run_contract",
]
