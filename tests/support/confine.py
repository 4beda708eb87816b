"""Runs a program that the kernel refuses io_uring: confine.py PROGRAM ARG… (x86-64 and arm64, where the numbers are the same)."""

import ctypes
import os
import struct
import sys

IO_URING_CALLS = (425, 426, 427)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
LOAD_NUMBER, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
REFUSE, ALLOW = 0x00050000 | 1, 0x7fff0000  # EPERM, as container runtimes say it


def step(code, yes, no, k):
    return struct.pack("HBBI", code, yes, no, k)


def main():
    steps = [step(LOAD_NUMBER, 0, 0, 0)]
    for number in IO_URING_CALLS:
        steps += [step(IF_EQUAL, 0, 1, number), step(RETURN, 0, 0, REFUSE)]
    code = ctypes.create_string_buffer(b"".join(steps + [step(RETURN, 0, 0, ALLOW)]))
    program = struct.pack("HxxxxxxQ", len(steps) + 1, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER, program, 0, 0):
        sys.exit("confine: " + os.strerror(ctypes.get_errno()))
    os.execv(sys.argv[1], sys.argv[1:])


main()
