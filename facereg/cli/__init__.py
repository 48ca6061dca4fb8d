"""The command line: thin commands over the library."""

from __future__ import annotations

import os
import sys
import warnings


def main() -> None:
    """Run `facereg`; errors of ours are one line on stderr and exit status 1."""
    from facereg.cli.app import app
    from facereg.errors import FaceregError

    warnings.filterwarnings("ignore", module="PIL")  # of damage and size, in two lines; read_image says it in one
    try:
        app()
    except FaceregError as error:
        print(f"facereg: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # whoever read our lines has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("facereg: interrupted", file=sys.stderr)
        sys.exit(130)
