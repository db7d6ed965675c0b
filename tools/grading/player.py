"""Runs a member's cells and functions, in a process that can reach nothing else; grading/judge.py talks to it.

It reads frames from its standard input and answers on its standard output (see wire.py). The tests never
come here: only the arguments of their calls. Whatever the member's code does to this process, the worst that
it can send is a wrong value.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

import torch
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from wire import HEAD, Encoder, loads, parse, send

SHOWN = ("text/plain", "image/png")  # of what a cell displays; nothing that a browser could run
FRAMES = 30  # of a traceback


class Stopped(BaseException):  # not an Exception: `except Exception` in an answer must not swallow it
    """The time or the room for output of a cell is used up."""


class Printed(io.TextIOBase):
    """What a cell prints, up to `most` characters; what comes after them stops the cell."""

    def __init__(self, most: int, outputs: list) -> None:
        self.left, self.most, self.outputs = most, most, outputs

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if self.left <= 0:
            raise Stopped(f"made more than {self.most:,} characters of output")
        if not self.outputs or self.outputs[-1]["output_type"] != "stream":
            self.outputs.append({"output_type": "stream", "name": "stdout", "text": []})
        self.outputs[-1]["text"].append(str(text)[: self.left])
        self.left -= len(text)
        return len(text)


class Shell(InteractiveShell):
    """IPython's shell, which has no window to show figures in."""

    def enable_gui(self, gui: object = None) -> None:
        pass


class Publisher(DisplayPublisher):
    """Puts what a cell displays among its outputs."""

    def publish(self, data: dict, metadata: dict | None = None, **_: object) -> None:
        self.shell.outputs.append({"output_type": "display_data", "data": data})


class Player:
    """The member's side: an IPython shell, and what of it the grader may ask for."""

    def __init__(
        self, reads: io.BufferedReader, writes: io.BufferedWriter, raw: RawOutput, most: int
    ) -> None:
        self.reads, self.writes, self.raw, self.most = reads, writes, raw, most
        self.functions: list[Callable] = []
        self.refs: dict[int, int] = {}
        self.kept: dict[int, object] = {}
        self.shell = Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        self.shell.colors = "nocolor"
        self.shell.display_pub = Publisher(shell=self.shell)
        self.shell.outputs = []
        self.shell.showtraceback = self.shell.showsyntaxerror = self.keep_error

    def receive(self) -> tuple[dict, list[bytes]]:
        head = self.reads.read(HEAD.size)
        if len(head) < HEAD.size:
            os._exit(0)  # the grader has ended
        sizes = HEAD.unpack(head)
        return parse(self.reads.read(sizes[0]), self.reads.read(sizes[1]))

    def answer(self, message: dict, **values: object) -> None:
        encode = Encoder(self.keep)
        message = {**message, **{name: encode(value) for name, value in values.items()}}
        send(self.writes, message, encode.blobs)

    def keep(self, function: Callable) -> int:
        if id(function) not in self.refs:
            self.refs[id(function)] = len(self.functions)
            self.functions.append(function)
        return self.refs[id(function)]

    def serve(self) -> None:
        self.answer({"ready": True})
        while True:
            message, blobs = self.receive()
            getattr(self, f"do_{message['do']}")(message, blobs)

    def do_cell(self, message: dict, blobs: list[bytes]) -> None:
        try:
            with self.captured(message["seconds"], message["seconds"]) as outputs:
                self.shell.display_trap.hook = Results(self.shell, outputs)
                self.shell.run_cell(message["source"], store_history=False)
        except BaseException:  # raised beside what IPython catches
            self.keep_error()
        self.answer({"outputs": _shown(self.shell.outputs)})

    def do_define(self, message: dict, blobs: list[bytes]) -> None:
        for source, name in zip(message["sources"], message["names"], strict=True):
            with contextlib.suppress(Exception):
                exec(compile(source, name, "exec"), self.shell.user_ns)
        for name, blob in zip(message["values"], blobs, strict=True):
            with contextlib.suppress(Exception):
                self.shell.user_ns[name] = self.load(blob)
        self.answer({})

    def do_values(self, message: dict, blobs: list[bytes]) -> None:
        self.kept.clear()
        found = {name: self.shell.user_ns[name] for name in message["names"] if name in self.shell.user_ns}
        encode = Encoder(self.keep)
        values = {name: encode(value) for name, value in found.items()}
        send(self.writes, {"values": values}, encode.blobs)

    def do_call(self, message: dict, blobs: list[bytes]) -> None:
        outcome, shown = {}, []
        try:
            with self.captured(message["seconds"], message["busy"]) as shown:
                for number, blob in zip(message["kept"], blobs[1:], strict=True):
                    self.kept[number] = pickle.loads(blob)
                with _surroundings(*self.load(blobs[0])) as (arguments, keywords):
                    value = self.functions[message["ref"]](*arguments, **keywords)
            outcome["value"] = value
        except BaseException as error:
            outcome["error"] = _described(error)
        self.answer({"shown": _shown(shown)}, **outcome)

    def load(self, blob: bytes) -> object:
        return loads(blob, self.find)

    def find(self, mark: tuple) -> object:
        kind, number = mark
        if kind == "function":
            return self.functions[number]
        return self.kept[number] if kind == "kept" else self.callback(number)

    def callback(self, number: int) -> Callable:
        def call(*arguments, **keywords):
            self.answer({"callback": number}, arguments=arguments, keywords=keywords)
            message, blobs = self.receive()
            while message["do"] not in ("return", "raise"):  # the function calls one of the member's
                getattr(self, f"do_{message['do']}")(message, blobs)
                message, blobs = self.receive()
            if message["do"] == "raise":
                raise self.load(blobs[0])
            return self.load(blobs[0])

        return call

    @contextlib.contextmanager
    def captured(self, seconds: float, busy: float) -> Iterator[list]:
        """Within `seconds` and with room for `most` characters; yields the list that outputs go to."""
        outputs = self.shell.outputs = []
        printed = Printed(self.most, outputs)
        try:
            with (
                contextlib.redirect_stdout(printed),
                contextlib.redirect_stderr(printed),
                _alarm(seconds, busy),
            ):
                yield outputs
        finally:
            outputs += self.raw.taken()

    def keep_error(self, *_: object, **__: object) -> None:
        """In place of IPython's own, which can take long over a frame that holds much."""
        error = sys.exc_info()[1]
        place = error.__traceback__
        while place and "ipython-input" not in place.tb_frame.f_code.co_filename:
            place = place.tb_next  # the member's own lines alone
        lines = traceback.format_exception(type(error), error, place, limit=-FRAMES, chain=False)
        self.shell.outputs.append(
            {
                "output_type": "error",
                "ename": type(error).__name__,
                "evalue": str(error)[:2000],
                "traceback": "".join(lines)[-5000:].splitlines(),
            }
        )


class Results(CapturingDisplayHook):
    """Puts the value of a cell's last line among its outputs."""

    def __call__(self, result: object = None) -> None:
        if result is not None:
            data, _ = self.shell.display_formatter.format(result)
            self.outputs.append({"output_type": "execute_result", "data": data})


def _shown(outputs: list[dict]) -> list[dict]:
    shown = []
    for output in outputs:
        if "data" in output:
            data = {kind: str(text) for kind, text in output["data"].items() if kind in SHOWN}
            output = {**output, "data": data}
        elif output["output_type"] == "stream":
            output = {**output, "text": "".join(output["text"])}
        shown.append(output)
    return shown


def _described(error: BaseException) -> dict:
    """Name, kinds, sentence and places of an error, so that the grader can raise one like it."""
    places = [
        (frame.filename, frame.lineno or 1, frame.name, frame.line or "")
        for frame in traceback.extract_tb(error.__traceback__)
        if "ipython-input" in frame.filename  # the member's own lines
    ]
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {"kinds": kinds, "text": str(error)[:2000], "frames": places[-FRAMES:]}


@contextlib.contextmanager
def _surroundings(call: tuple, state: dict) -> Iterator[tuple]:
    """What torch was set to where the test stands: gradients, device, random numbers, functions replaced."""
    before = {(owner, name): getattr(sys.modules[owner], name) for owner, name in state["replaced"]}
    if state["random"] is not None:
        torch.set_rng_state(state["random"])
    device = torch.device(state["device"]) if state["device"] else contextlib.nullcontext()
    try:
        for (owner, name), function in state["replaced"].items():
            setattr(sys.modules[owner], name, function)
        with torch.set_grad_enabled(state["gradients"]), device:
            yield call
    finally:
        for (owner, name), function in before.items():
            setattr(sys.modules[owner], name, function)


@contextlib.contextmanager
def _alarm(seconds: float, busy: float) -> Iterator[None]:
    """Stops what takes `seconds`, or computes for `busy` of them: on a busy machine the two differ."""
    if not hasattr(signal, "setitimer"):
        yield  # Windows: the grader ends this process
        return

    def ring(*_: object) -> None:
        raise Stopped("did not end in time")

    timers = ((signal.SIGALRM, signal.ITIMER_REAL, seconds), (signal.SIGPROF, signal.ITIMER_PROF, busy))
    for number, timer, after in timers:
        signal.signal(number, ring)
        signal.setitimer(timer, max(after, 0.01), 1.0)
    try:
        yield
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)


class RawOutput:
    """A file that stands for the terminal: what programs and libraries write past Python's own print."""

    def __init__(self) -> None:
        self.file = os.open("printed past Python", os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(self.file, number)

    def taken(self) -> list[dict]:
        """As an output, up to 20,000 characters, and forgotten."""
        with contextlib.suppress(OSError):
            text = os.pread(self.file, 20_000, 0).decode(errors="replace")
            os.ftruncate(self.file, 0)
            return [{"output_type": "stream", "name": "stdout", "text": [text]}] if text else []
        return []


def _limit(file_size: int) -> None:
    try:
        import resource
    except ImportError:
        return  # Windows
    for name, most in (("CORE", 0), ("FSIZE", file_size), ("NOFILE", 512)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def play(handed_in: str, most: int, file_size: int, reads: int, writes: int) -> None:
    """Serve the grader, at the files `reads` and `writes`, until it ends; here, in the folder of this process."""
    for each in os.scandir(handed_in):  # not the folder itself: in a container this one belongs to root
        shutil.copytree(each, each.name) if each.is_dir() else shutil.copy(each, each.name)
    sys.path.append(os.getcwd())  # behind everything else: a file called torch.py hides no package
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    raw = RawOutput()
    _limit(file_size)
    Player(os.fdopen(reads, "rb"), os.fdopen(writes, "wb"), raw, most).serve()


if __name__ == "__main__":
    play(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), os.dup(0), os.dup(1))
