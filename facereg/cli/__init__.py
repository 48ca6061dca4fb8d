"""The command line: thin commands over the library."""

from __future__ import annotations

import os
import sys
import warnings


def main() -> None:
    """Run `facereg`; errors of ours are one line on stderr and exit status 1."""
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
