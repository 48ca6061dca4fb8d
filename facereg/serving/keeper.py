"""The process between us and a Triton server: it ends the server, and its folder, when whoever started it is gone.

However that came about: the pipe on standard input closes. Run as a script, with nothing of facereg:
python keeper.py UID:GID FOLDER COMMAND..., where `:` alone keeps the rights of the caller.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any

END_S = 12  # for the server, after it was asked to end; then it is killed


def keep(rights: str, folder: str, command: list[str]) -> int:
    """Run the command until it ends by itself, by SIGTERM, or because standard input closed; return its exit status."""
    uid, gid = (int(number) if number else None for number in rights.split(":"))
    own: dict[str, Any] = {} if uid is None else {"user": uid, "group": gid, "extra_groups": []}
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, **own)
    left = threading.Event()  # whoever started this is gone

    def end(*_: object) -> None:
        if server.poll() is None:
            server.terminate()

    def watch() -> None:
        while os.read(0, 64):
            pass
        left.set()
        end()
        try:
            server.wait(END_S)
        except subprocess.TimeoutExpired:
            server.kill()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    status = server.wait()
    if left.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    os._exit(keep(sys.argv[1], sys.argv[2], sys.argv[3:]))  # the thread that reads the pipe is not waited for
