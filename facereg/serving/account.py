"""The user as whom the server runs: none with more rights than it needs."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facereg.errors import RunnerError

NOBODY = "nobody"  # owns nothing
# prints the first path that cannot be read, or searched where it is a folder
READABLE = (
    'for path; do test -r "$path" && { test ! -d "$path" || test -x "$path"; } || { echo "$path"; exit 1; }; done'
)


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def chosen_account(name: str | None, needed: Sequence[Path]) -> tuple[Account | None, str]:
    """Return the user as whom to start the server, None for our own, and why it is ours where root starts it.

    Args:
        name: of the user; None takes `nobody` where root asks and that user can read what is needed, else our own.
        needed: files and folders that the server reads.
    Raises:
        RunnerError: if the user named is not there, cannot read what is needed, or is another and we are not root.
    """
    if name is None and os.geteuid() != 0:
        return None, ""
    try:
        entry = pwd.getpwnam(name or NOBODY)
    except KeyError as error:
        if name is None:
            return None, f"no user {NOBODY!r} on this machine; name one with --user"
        raise RunnerError(f"user {name!r}: not on this machine; name another with --user") from error
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if account.uid == os.geteuid():
        return None, ""
    if os.geteuid() != 0:
        raise RunnerError(f"user {name!r}: only root may start the server as another user; start it as that user")
    hidden = _unreadable(account, needed)
    if not hidden:
        return account, ""
    reason = f"user {account.name!r} cannot read {hidden}"
    if name is None:
        return None, f"{reason}; give it the rights, set FACEREG_CACHE to a folder that it can read, or name a --user"
    raise RunnerError(f"{reason}; give it the rights, set FACEREG_CACHE to a folder that it can read")


def _unreadable(account: Account, needed: Sequence[Path]) -> str:
    """Return the first path that a user cannot read, or nothing."""
    asked = subprocess.run(
        ["/bin/sh", "-c", READABLE, "sh", *map(str, needed)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode else ""
