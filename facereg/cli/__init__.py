"""The command line: thin commands over the library."""

from __future__ import annotations

import os
import sys  # nothing else: an interruption while more is imported must find `main` at work


def main() -> None:
    """Run `facereg`: an error is one line on stderr and exit status 1, an interruption 130, while it starts too."""
    try:
        _tell_of_interruption()
        from facereg.cli.streams import complain, plain_streams
        from facereg.errors import FaceregError

        try:
            with plain_streams():
                _run()
        except FaceregError as error:
            complain(str(error))
            sys.exit(1)
        except BrokenPipeError:  # the reader has seen enough
            sys.exit(1)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # of a library or a plugin: named in one line, whatever it is
            if os.environ.get("FACEREG_TRACEBACK"):
                raise
            complain(_named(error))
            sys.exit(1)
    except KeyboardInterrupt:
        _end_interrupted()


def _named(error: BaseException) -> str:
    """Say in one line what went wrong that no module names."""
    import errno

    from facereg.errors import words_of

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'a file'}: cannot be written ({error.strerror}); make room, then call it again"
    if isinstance(error, OSError) and error.filename is not None:  # a name too long, a disk that fails, no right
        return f"{str(error.filename)[:200]}: cannot be used ({error.strerror}); check the path"
    said = f"{type(error).__name__} ({words_of(error, 200)})"
    return f"unexpected {said}; set FACEREG_TRACEBACK=1 to see where, and report it"


def _tell_of_interruption() -> None:
    """Have an interruption told at once: what is at work ends first, which may take seconds."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, nor a host program's own
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    _say_interrupted()
    raise KeyboardInterrupt


def _say_interrupted() -> None:
    import signal
    from contextlib import suppress

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends all at once, without a traceback
    with suppress(OSError):
        os.write(2, b"\nfacereg: interrupted; what is at work ends first, a second interruption does not wait\n")


def _end_interrupted() -> None:
    import signal

    if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:  # it came before `_interrupt` was there to tell
        _say_interrupted()
    sys.exit(130)


def _run() -> None:
    import warnings

    _keep_out_of_the_home()
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet; facereg.video says what is wrong with a video
    warnings.filterwarnings("ignore", module="PIL")  # of damage and size, in two lines; read_image says it in one
    from facereg.cli.app import app
    from facereg.cli.streams import complain

    if "" in sys.argv[1:]:  # of a shell's variable that is not set; as a path it would be the folder we are in
        complain("expected a value for each argument, got an empty one; check the variables of the command line")
        sys.exit(2)
    app()


def _keep_out_of_the_home() -> None:
    """Have matplotlib, which makes the folder when it is imported, keep its list of fonts for this process only."""
    if "MPLCONFIGDIR" not in os.environ:
        import atexit
        import shutil
        from functools import partial
        from tempfile import gettempdir

        folder = os.path.join(gettempdir(), f"facereg-matplotlib-{os.urandom(8).hex()}")
        os.environ["MPLCONFIGDIR"] = folder
        atexit.register(partial(shutil.rmtree, folder, ignore_errors=True))
