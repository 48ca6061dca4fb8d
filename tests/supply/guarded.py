"""Run a program that the kernel kills as soon as it, one of its threads or its children makes a forbidden call.

    python guarded.py CALL,CALL... PROGRAM ARGUMENT...

The kernel sees the threads of native libraries too, which no hook of Python does. Ends with 77 where the kernel, or
the kind of processor, has no such filter.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

UNAVAILABLE = 77
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
CALLS = {  # asm/unistd_64.h, asm-generic/unistd.h
    "x86_64": {"socket": 41, "connect": 42, "sendto": 44, "sendmsg": 46, "sendmmsg": 307},
    "aarch64": {"socket": 198, "connect": 203, "sendto": 206, "sendmsg": 211, "sendmmsg": 269},
}
KILL, ALLOW = 0x80000000, 0x7FFF0000  # linux/seccomp.h: SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h: BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2  # linux/prctl.h


def forbid(calls: list[str]) -> bool:
    """Have the kernel kill this process and its children at any of these calls; False where it cannot."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return False
    number, architecture = 0, 4  # offsets in struct seccomp_data
    program = [(LOAD, 0, 0, architecture), (JUMP_IF_EQUAL, 1, 0, ARCHITECTURES[machine]), (RETURN, 0, 0, KILL)]
    program.append((LOAD, 0, 0, number))
    for call in calls:
        program += [(JUMP_IF_EQUAL, 0, 1, CALLS[machine][call]), (RETURN, 0, 0, KILL)]
    program.append((RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    nothing = ctypes.c_ulong(0)
    if prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), nothing, nothing, nothing):
        return False
    return not prctl(SECCOMP, ctypes.c_ulong(FILTER), filter_, nothing, nothing)


if __name__ == "__main__":
    if not forbid(sys.argv[1].split(",")):
        sys.exit(UNAVAILABLE)
    os.execvp(sys.argv[2], sys.argv[2:])
