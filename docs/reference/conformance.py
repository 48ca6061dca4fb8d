"""Write conformance.md, a table of every check, from the checks: `python docs/reference/conformance.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from facereg.testing import PluginContract
from facereg.testing.checking import Contract
from facereg.testing.contracts import CONTRACTS, checks_of, sentence_of
from facereg.testing.every_role import StageContract

sys.path.append(str(Path(__file__).parents[2]))  # the tests are no part of what is installed
from tests.testing.planted import PLANTED

PAGE = Path(__file__).with_name("conformance.md")
HEAD = """\
# Conformance

`facereg plugins check NAME` runs these checks on a plugin's models; a plugin's tests run the same by a class of a few \
lines:

```py
class TestItKeepsTheContract(DetectorContract):  # or AlignerContract, EmbedderContract, MatcherContract
    def make(self) -> Detector:
        return SkinColourDetector()
```

A check passes, fails with one line (expected, got, what to change), or is skipped with the reason: without \
scikit-image and matplotlib (`pip install "facereg-core[app]"`) there is no photograph to look at. A model that cannot \
be made fails the first check, and the others are skipped. `python -O` changes nothing.

What a check must know of a stage, the stage states:

| attribute | of | meaning |
|---|---|---|
| `landmark_count` | detector | 5, or 0 where it gives none |
| `needs_landmarks` | aligner | whether it wants the detector's five points |
| `answers` | embedder | file of the vectors that the trained network itself gives for `facereg.testing.face_crops`; \
written by `facereg.testing.write_answers` |
| `recall` | matcher | share of the closest people that it finds: 1, or less for an approximate index, whose checks \
then ask for that share |
| `expected_failures` | a contract class | checks that cannot pass, each with its reason; skipped, and failed once \
they pass |
| `import_s` | a contract class | seconds that the plugin's module may take to import; 2 |

What no check tells: BGR in place of RGB and pixels 0..1 in place of -1..1 leave vectors that still tell people apart, \
only worse. Only an embedder with `answers` is held to them; for another that check is skipped.

What is no fault: an aligner may refuse a face, with a reason, and a crop of a face without area may be black. A \
detector may find a few faces in noise, which no training shows. There is no largest picture: a network that takes \
1,024 px gets a scaled picture, and its boxes are scaled back. Boxes may be rounded, or end at the picture's edge; \
every score may be the same; a crop may lie 3 px beside what its transform says, as other ways to interpolate give.

Written by [`conformance.py`](conformance.py) from the checks.
"""

VALIDATE = """\
`facereg plugins validate [WHEEL|DISTRIBUTION|PLUGIN|MODULE]` looks at what a plugin says and ships, and runs no \
model; a wheel is unpacked and looked at in a process of its own. A plugin's tests run the same by a class:

```py
class TestThePlugin(PluginContract):
    plugin = "facereg-skin-colour"
```
"""

PLANTS = """\
## Planted faults

The kit is tested by faults planted in stages and in a plugin that pass without them; each is caught by the check \
meant for it, in one line that says expected, got and what to change. {sum}.
"""


def page() -> str:
    """Return the page as Markdown."""
    shared = checks_of(StageContract)
    parts = [HEAD, "## Every role\n", *_table(StageContract, shared)]
    for role, contract in CONTRACTS.items():
        own = [name for name in checks_of(contract) if name not in shared]
        parts += [f"\n## {role.capitalize()}\n", *_table(contract, own)]
    parts += ["\n## Plugin\n", VALIDATE, *_table(PluginContract, checks_of(PluginContract))]
    parts += ["", PLANTS.format(sum=", ".join(f"{kind} {len(faults)}" for kind, faults in PLANTED.items()))]
    return "\n".join([*parts, *_planted()]) + "\n"


def _planted() -> list[str]:
    rows = ["| planted in | caught by | faults |", "|---|---|---|"]
    for kind, faults in PLANTED.items():
        for check in sorted({fault.check for fault in faults}):
            names = "; ".join(fault.name for fault in faults if fault.check == check)
            rows.append(f"| {kind} | {check} | {_code(names)} |")
    return rows


def _table(contract: type[Contract], names: list[str]) -> list[str]:
    rows = []
    for name in names:
        check = getattr(contract, name)
        rows.append(f"| {sentence_of(name)} | {check.catches} | {_code(check.change)} |")
    return ["| check | catches | what to do |", "|---|---|---|", *rows]


def _code(text: str) -> str:
    return text.replace("|", chr(92) + "|").replace(" * ", " \\* ")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
