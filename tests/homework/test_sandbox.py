"""A player that was forked is as much apart as one that bubblewrap starts itself, and no less able."""

import json
import os
import socket

import psutil
import pytest
from grading import sandbox
from grading.judge import Judge, Limits
from grading.sandbox import Bubblewrap, Process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(sandbox.no_bubblewrap()), reason="no bubblewrap: see the test of the sentence"),
]
LOOK = """
import json, os, torch
def lines(path, end="\\n"):
    with open(f"/proc/self/{path}") as file:
        return file.read().split(end)
rights = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn")
files = (f"/proc/self/fd/{number}" for number in range(30))
spaces = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt", "pid", "net", "ipc", "uts")}
around = {
    "rights": [line for line in lines("status") if line.split(":")[0] in rights],
    "mounts": [line.split()[3:6] for line in lines("mountinfo")],
    "files": sorted({os.readlink(path).split(":")[0] for path in files if os.path.exists(path)}),
    "network": len(lines("net/dev")),
    "limits": lines("limits"),
    "environment": {name: value for name, value in os.environ.items() if name != "PWD"},
    "names": sorted({line.split("=")[0] for line in lines("environ", chr(0))} - {"PWD"}),
    "folder": [os.getcwd(), os.listdir(".")],
    "threads": torch.get_num_threads(),
}
print(json.dumps([spaces, around, sum(name.isdigit() for name in os.listdir("/proc"))]))
"""


def looked(folder, threads=1):
    """What a member's code finds around it: namespaces, the rest, how many processes; and who they are here."""
    with Judge(folder, Limits(), threads, Bubblewrap()) as judge:
        (output,) = judge.member_cell(LOOK)
        return *json.loads(output.text), judge.line.player.heads


@pytest.fixture(scope="module")
def forking():
    Process.start_preloaded()
    ours = Process.preloaded
    yield
    ours.close()  # whereupon the process that forks ends
    Process.preloaded = None


def test_fork_finds_what_a_process_of_its_own_finds(tmp_path, forking, monkeypatch):
    (tmp_path / "beside.txt").write_text("mine")
    spaces, around, processes, (walls, player) = looked(tmp_path, threads=2)
    assert all(os.readlink(f"/proc/self/ns/{name}") != space for name, space in spaces.items())
    assert not walls.is_running() and not player.is_running()
    monkeypatch.setattr(Process, "preloaded", None)
    _, own, own_processes, heads = looked(tmp_path, threads=2)
    assert len(heads) == 1
    added = set(around["environment"]) - set(own["environment"])
    assert all(name.startswith("TORCH") for name in added), added  # by what was imported
    own["environment"] |= {name: around["environment"][name] for name in added}
    assert around == own
    assert processes == own_processes + 1  # what keeps the walls up
    assert "CapEff:\t0000000000000000" in around["rights"]


@pytest.mark.parametrize("walls", [Bubblewrap(), None])
def test_fork_that_ends_is_told_and_leaves_nothing(tmp_path, forking, walls):
    with Judge(tmp_path, Limits(), threads=1, walls=walls) as judge:
        judge.member_cell("import os, time\nif os.fork() == 0:\n    time.sleep(1000)")
        heads = judge.line.player.heads
        children = heads[-1].children()
        (output,) = judge.member_cell("import os\nos._exit(1)")
        assert "ended the kernel" in output.evalue
        assert judge.member_cell("1 + 1")[0].data["text/plain"] == "2"
    gone, alive = psutil.wait_procs([*heads, *children], timeout=60)
    assert len(gone) == 3 and not alive


def test_where_forking_fails_a_process_of_its_own_is_started(tmp_path, monkeypatch):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    with ours:
        monkeypatch.setattr(Process, "preloaded", ours)
        assert len(looked(tmp_path)[-1]) == 1
