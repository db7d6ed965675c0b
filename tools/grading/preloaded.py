"""Forks players: it has imported once what each of them needs, and takes a fork behind walls that bwrap has made.

Started by grading/sandbox.py with the environment that players have, it holds nothing of the grader's. A request
has a JSON object and files: the player's input and output, what keeps the walls up while it is open, where the
number of the player's process is told, and, where there are walls, a process behind them.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket

import player
import torch
from matplotlib_inline import backend_inline

from course_utils import data, training

IMPORTED = (backend_inline, data, training)
LIBC = ctypes.CDLL(None, use_errno=True)
NAMESPACES = 0x7C020000  # of mounts, host names, messages, users, processes and networks
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    requests = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    while True:
        content, files, _, _ = socket.recv_fds(requests, 100_000, 5)
        if not content:
            return  # the grader has ended
        if os.fork() == 0:
            try:
                requests.close()
                _become_player(json.loads(content), *files)
            finally:
                os._exit(1)
        for file in files:
            os.close(file)
        _reap()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become_player(options: dict, reads: int, writes: int, walls: int, told: int, *within: int) -> None:
    """One fork stays outside, to wait: when the player has ended it lets go of the walls, and these end too."""
    if any(LIBC.setns(process, NAMESPACES) for process in within):
        return
    if number := os.fork():
        os.write(told, str(number).encode())
        for file in (reads, writes, told, *within):
            os.close(file)
        _wait(number, walls)
        return
    for file in (walls, told, *within):
        os.close(file)
    os.setsid()
    if within:
        _give_up_rights()
    os.chdir(options["folder"])
    os.environ.update(options["environment"])
    torch.set_num_threads(options["threads"])
    player.play(options["handed_in"], options["characters"], options["file_size"], reads, writes)


def _wait(number: int, walls: int) -> None:
    """Until the player has ended, or the walls have: then it ends too, with what it has started."""
    either = select.poll()
    either.register(os.pidfd_open(number), select.POLLIN)
    either.register(walls, select.POLLERR)
    either.poll()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
    os.waitpid(number, 0)


def _give_up_rights() -> None:
    """What bwrap does with `--cap-drop ALL`: entering a user namespace gives every right in it."""
    number = 0
    while LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if LIBC.capset(header, none) or LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or number < 30:
        os._exit(1)
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
