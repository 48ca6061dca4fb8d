"""The command line: thin commands over the library."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import warnings
from functools import partial


def main() -> None:
    """Run `facereg`; errors of ours are one line on stderr and exit status 1."""
    _keep_out_of_the_home()
    from facereg.cli.app import app
    from facereg.errors import FaceregError

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet; read_frames says what is wrong with a video
    warnings.filterwarnings("ignore", module="PIL")  # of damage and size, in two lines; read_image says it in one
    try:
        app()
    except FaceregError as error:
        print(f"facereg: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("facereg: interrupted", file=sys.stderr)
        sys.exit(130)


def _keep_out_of_the_home() -> None:
    """Have matplotlib, which makes the folder when it is imported, keep its list of fonts for this process only."""
    if "MPLCONFIGDIR" not in os.environ:
        from tempfile import gettempdir

        folder = os.path.join(gettempdir(), f"facereg-matplotlib-{os.urandom(8).hex()}")
        os.environ["MPLCONFIGDIR"] = folder
        atexit.register(partial(shutil.rmtree, folder, ignore_errors=True))
