"""Runs a notebook that was handed in: the member's cells in a process of their own, the tests here.

A test calls what stands for the member's function; the arguments go to the player (grading/player.py) and a
plain value comes back (grading/wire.py). So nothing that an answer does can reach `check`, the expected
values or the marks. Locked experiments run here as well, with the member's functions called in the same way.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import hashlib
import io
import linecache
import queue
import signal
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from pathlib import Path

import torch
from homework import HomeworkError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from torch import nn

from grading import sandbox
from grading.wire import HEAD, LARGEST_FRAME, Decoder, Opaque, WireError, dumps, parse, send

STOPPED = "StoppedByGrader"
LOOK_ABOVE = "This cell could not use what the cells above it gave: look there first."
GRACE = 4.0  # seconds that a call has to end after its time
READY = 300.0  # seconds that a process has to begin: importing torch may take a busy machine a minute
MOST_STARTS = 12
KINDS = tuple(sorted({getattr(Parameter, name) for name in dir(Parameter) if name.isupper()}))
WATCHED = ("torch", "torch.nn.functional")  # a test may replace their functions to see them called


@dataclass
class Limits:
    """What a submission may use; seconds of a cell and of all, characters a cell prints, bytes of memory."""

    cell: float = 40
    all: float = 240
    characters: int = 2_000_000
    memory: int = 4_000_000_000


class Ended(Exception):
    """The member's process is gone, or does not answer; the sentence says why."""


class StoppedByGrader(Exception):
    """What a test sees when a call of the member's function could not end."""


class Line:
    """The player's process and the frames to and from it."""

    def __init__(self, handed_in: Path, limits: Limits, threads: int, walls: sandbox.Walls) -> None:
        self.player = sandbox.Process(handed_in, limits.characters, limits.memory, threads, walls)
        self.frames: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.watch = sandbox.Watch(self.player)
        self.watch.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while len(head := self.player.reads.read(HEAD.size)) == HEAD.size:
                sizes = HEAD.unpack(head)
                if sum(sizes) > LARGEST_FRAME:
                    break
                self.frames.put([self.player.reads.read(size) for size in sizes])
        self.frames.put(None)

    def send(self, message: dict, blobs: list[bytes] = ()) -> None:
        try:
            send(self.player.writes, message, blobs)
        except (OSError, ValueError) as error:
            raise Ended(self.verdict()) from error

    def receive(self, seconds: float) -> tuple[dict, list[bytes]]:
        try:
            frame = self.frames.get(timeout=max(seconds, 0.1))
        except queue.Empty:
            raise Ended("did not end and could not be interrupted") from None
        if frame is None:
            raise Ended(self.verdict())
        try:
            return parse(*frame)
        except WireError as error:
            raise Ended(f"sent the grader {error}") from error

    def verdict(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.player.process.wait(1)
            self.watch.join(0.3)
            return self.watch.verdict or self.player.verdict() or "ended the kernel"
        self.close()
        return "broke the line to the grader"

    def close(self) -> None:
        self.watch.ended.set()
        self.player.end()


class Judge:
    """Runs the cells of one notebook; `odd` collects sentences about what answers tried."""

    def __init__(self, handed_in: Path, limits: Limits, threads: int, walls: sandbox.Walls) -> None:
        self.limits, self.start_with = limits, (handed_in, limits, threads, walls)
        self.module = types.ModuleType("__main__")
        self.names = self.module.__dict__
        self.odd: list[str] = []
        self.past: list[tuple[str | dict, list[bytes]]] = []  # the member's cells and what was given to them
        self.answers: set[str] = set()  # names that the week's answers have
        self.given: dict[str, object] = {}  # what stands for each of them
        self.callbacks: list[Callable] = []
        self.recorder: list | None = None
        self.originals = {name: set(vars(sys.modules[name])) for name in WATCHED}
        self.line: Line | None = None
        self.starts = 0
        self.spent = self.spent_before = (
            0.0  # seconds that the member's code took: in all, and until this cell
        )

    def __enter__(self) -> Judge:
        self.main, sys.modules["__main__"] = sys.modules["__main__"], self.module
        return self

    def __exit__(self, *_: object) -> None:
        sys.modules["__main__"] = self.main
        if self.line:
            self.line.close()

    # The member's process

    def start(self) -> None:
        """Start it and bring it to where it was."""
        if self.line:
            self.line.close()
        self.starts += 1
        self.line, self.sent, self.random = Line(*self.start_with), {}, None
        try:
            self.line.receive(READY)
        except Ended as ended:  # no code of the member's has run yet
            raise HomeworkError(f"A process for a member's code did not begin: it {ended}.") from None
        for what, blobs in self.past:
            if isinstance(what, str):
                self.ask({"do": "cell", "source": what, "seconds": self.limits.cell}, [], self.limits.cell)
            else:
                self.ask(what, blobs, 60)

    def ask(self, message: dict, blobs: list[bytes], seconds: float) -> tuple[dict, list[bytes]]:
        """Send, and answer what the member's code calls back, until the reply; raises Ended."""
        if self.line is None or self.line.player.process.poll() is not None:
            if self.starts > MOST_STARTS or self.left() <= 0:
                raise Ended("was not run: the time for the notebook was used up")
            self.start()
        began = time.monotonic()
        try:
            self.line.send(message, blobs)
            while True:
                reply, parts = self._receive(began + seconds + GRACE)
                if "callback" not in reply:
                    return reply, parts
                self._call_back(reply, parts)
        finally:
            self.spent += time.monotonic() - began

    def _receive(self, ends: float) -> tuple[dict, list[bytes]]:
        try:
            return self.line.receive(ends - time.monotonic())
        except Ended:
            self.line.close()
            raise

    def _call_back(self, reply: dict, blobs: list[bytes]) -> None:
        read = Decoder(blobs, self.stand_in)
        try:
            function = self.callbacks[reply["callback"]]
            value, do = function(*read(reply["arguments"]), **read(reply["keywords"])), "return"
        except Exception as error:
            value, do = error, "raise"
        try:
            content = dumps(value)
        except Exception:
            content, do = dumps(RuntimeError(str(value)[:500])), "raise"
        self.line.send({"do": do}, [content])

    def left(self) -> float:
        return self.limits.all - self.spent

    # Values that go there and come back

    def pickled(self, value: object, modules: list) -> bytes:
        """As bytes that the player can load; networks that it has already are only named."""
        return dumps(value, lambda each: self._mark(each, modules))

    def _mark(self, value: object, modules: list) -> tuple | None:
        if isinstance(value, types.FunctionType):
            if hasattr(value, "answer"):
                return ("function", value.answer)
            if value.__globals__ is self.names:
                self.callbacks.append(value)
                return ("callback", len(self.callbacks) - 1)
        if isinstance(value, nn.Module):
            content = dumps(value)
            digest, known = hashlib.sha256(content).digest(), self.sent.get(id(value))
            if known is None or known[1] != digest:
                number = len(self.sent) if known is None else known[2]
                self.sent[id(value)] = (value, digest, number)
                modules.append((number, content))
            return ("kept", self.sent[id(value)][2])
        return None

    def stand_in(self, ref: int, name: str, parameters: list | None) -> Callable:
        """A function that has the member's one called in its process."""

        def call(*arguments: object, **keywords: object) -> object:
            return self.call(call, arguments, keywords)

        call.__name__, call.answer = name, ref
        call.__module__ = "__main__"
        if parameters is not None:
            with contextlib.suppress(ValueError):
                call.__signature__ = _signature(parameters)
        return call

    def call(self, function: Callable, arguments: tuple, keywords: dict) -> object:
        message, blobs = self.call_raw(function, arguments, keywords)
        read = Decoder(blobs, self.stand_in)
        for output in _readable(message.get("shown", [])):
            print(output.get("text", ""), end="")
            if output.get("ename") == STOPPED:
                raise StoppedByGrader(output["evalue"])
        if "error" in message:
            raise _error_like(read(message["error"]))
        try:
            return read(message["value"])
        except WireError as error:
            self.odd.append(f"{function.__name__} returned {error}.")
            return Opaque("unreadable")

    def call_raw(self, function: Callable, arguments: tuple, keywords: dict) -> tuple[dict, list[bytes]]:
        left = max(min(self.limits.cell - (self.spent - self.spent_before), self.left()), 0.1)
        alarm = _take_alarm()
        busy, seconds = min(left, alarm or left), min(left, 4 * alarm or left)
        modules: list = []
        try:
            if self.line is None or self.line.player.process.poll() is not None:
                raise Ended("was not run: an earlier call ended the kernel")
            content = self.pickled(((arguments, keywords), self._state()), modules)
            request = {"do": "call", "ref": function.answer, "seconds": seconds, "busy": busy}
            request["kept"] = [number for number, _ in modules]
            reply = self.ask(request, [content, *(blob for _, blob in modules)], seconds)
        except Ended as ended:
            raise StoppedByGrader(f"{function.__name__} {ended}") from None
        finally:
            _give_alarm(alarm)
        if alarm and "Stopped" in str(reply[0].get("error", ""))[:200]:
            _ring()
        if self.recorder is not None:
            self.recorder.append((function, arguments, keywords, reply))
        return reply

    def _state(self) -> dict:
        device = torch.get_default_device().type
        random = torch.get_rng_state()
        news = self.random is None or not torch.equal(random, self.random)
        self.random = random
        replaced = {
            (owner, name): value
            for owner, before in self.originals.items()
            for name, value in vars(sys.modules[owner]).items()
            if getattr(value, "__globals__", None) is self.names and name in before
        }
        return {
            "gradients": torch.is_grad_enabled(),
            "device": None if device == "cpu" else device,
            "random": random if news else None,
            "replaced": replaced,
        }

    def fetch(self) -> None:
        """Let the names of answers stand for what they are at the member's now."""
        wanted = sorted(self.answers)
        try:
            reply, blobs = self.ask({"do": "values", "names": wanted}, [], 20)
            self.sent.clear()
            values, read = reply["values"], Decoder(blobs, self.stand_in)
        except (Ended, KeyError):
            values, read = {}, None
        for name in wanted:
            self.names.pop(name, None)
            if name in values:
                try:
                    self.names[name] = read(values[name])
                except WireError as error:
                    self.odd.append(f"{name} is {error}.")
                    self.names[name] = Opaque("unreadable")
            self.given[name] = self.names.get(name)
        self.spent_before = self.spent

    # Cells

    def member_cell(self, source: str) -> list[NotebookNode]:
        """Run a cell of the member's; its outputs."""
        try:
            seconds = min(self.limits.cell, max(self.left(), 0.1))
            reply, _ = self.ask({"do": "cell", "source": source, "seconds": seconds}, [], seconds)
        except Ended as ended:
            return [stopped(str(ended))]
        self.past.append((source, []))
        return _readable(reply.get("outputs", []))

    def own_cell(self, source: str, label: str) -> list[NotebookNode]:
        """Run a locked cell or a test here; its outputs."""
        self.fetch()
        outputs = self.run(source, label)
        self.answers -= {name for name in self.answers if self.names.get(name) is not self.given[name]}
        return outputs

    def run(self, source: str, label: str) -> list[NotebookNode]:
        printed, outputs = io.StringIO(), []
        file = f"<{label}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        try:
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(printed),
                contextlib.redirect_stderr(printed),
            ):
                warnings.simplefilter("ignore")
                value = _execute(source, file, self.names)
            if value is not None:
                outputs.append(new_output("execute_result", {"text/plain": repr(value)[:1000]}))
        except Exception as error:
            outputs.append(_failed(error))
        if printed.getvalue():
            outputs.insert(0, new_output("stream", name="stdout", text=printed.getvalue()[:20_000]))
        return outputs

    def push(self, source: str, names: set[str]) -> None:
        """Give the member's process what a locked cell defines: functions anew, and the values of `names`."""
        sources = definitions(source)
        values, blobs = [], []
        for name in sorted(names):
            if name in self.names and not isinstance(
                self.names[name], types.FunctionType | types.ModuleType | type
            ):
                with contextlib.suppress(Exception):
                    blobs.append(dumps(self.names[name]))
                    values.append(name)
        message = {"do": "define", "sources": sources, "names": ["<setup>"] * len(sources), "values": values}
        self.past.append((message, blobs))
        with contextlib.suppress(Ended):
            self.ask(message, blobs, 60)


def stopped(what: str) -> NotebookNode:
    sentence = f"This cell {what}."
    return new_output("error", ename=STOPPED, evalue=sentence, traceback=[sentence])


def definitions(source: str) -> list[str]:
    """The imports, functions and classes of a cell, each as source."""
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    return [ast.unparse(each) for each in ast.parse(source).body if isinstance(each, kinds)]


def bound_names(source: str) -> set[str]:
    """Names that a cell gives a value to, outside of its functions."""
    found = set()
    for each in ast.parse(source).body:
        if isinstance(each, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(each.name)
        elif isinstance(each, ast.Import | ast.ImportFrom):
            found |= {(name.asname or name.name).split(".")[0] for name in each.names}
        else:
            found |= {
                name.id
                for name in ast.walk(each)
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            }
    return found


def _execute(source: str, file: str, names: dict) -> object:
    """Run a cell; the value of its last line where that is an expression."""
    tree = ast.parse(source, file)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, file, "exec"), names)
    return eval(compile(ast.Expression(last.value), file, "eval"), names) if last else None


def _failed(error: Exception) -> NotebookNode:
    if isinstance(error, StoppedByGrader) or isinstance(error.__cause__, StoppedByGrader):
        sentence = str(error.__cause__ or error)
        return new_output("error", ename=STOPPED, evalue=sentence, traceback=[sentence])
    render = getattr(error, "_render_traceback_", None)
    lines = render() if render else [f"{type(error).__name__}: {error}", LOOK_ABOVE]
    return new_output("error", ename=type(error).__name__, evalue=str(error), traceback=lines)


def _readable(outputs: object) -> list[NotebookNode]:
    """Outputs as the player sent them, with nothing in them but text and PNG images."""
    found = []
    for output in outputs if isinstance(outputs, list) else []:
        try:
            kind = output["output_type"]
            if kind == "stream":
                found.append(new_output("stream", name="stdout", text=str(output["text"])))
            elif kind == "error" and output["ename"] == "Stopped":
                found.append(stopped(str(output["evalue"])))
            elif kind == "error":
                texts = {name: str(output[name])[:5000] for name in ("ename", "evalue")}
                lines = [str(line)[:2000] for line in output["traceback"][:200]]
                found.append(new_output("error", **texts, traceback=lines))
            else:
                data = {
                    name: str(output["data"][name])
                    for name in ("text/plain", "image/png")
                    if name in output["data"]
                }
                found.append(new_output("display_data", data))
        except (KeyError, TypeError, AttributeError):
            continue
    return found


def _error_like(found: object) -> Exception:
    """An error of the kind that the member's function raised, with the lines in which it did."""
    if not isinstance(found, dict):
        return RuntimeError("an error that cannot be read")
    kinds, text = found.get("kinds") or ["Exception"], str(found.get("text", ""))
    if kinds[0] == "Stopped":
        return StoppedByGrader(f"The call {text}.")
    known = (getattr(builtins, str(kind), None) for kind in kinds)
    base = next((k for k in known if isinstance(k, type) and issubclass(k, Exception)), RuntimeError)
    kind = base if base.__name__ == kinds[0] else type(str(kinds[0])[:80], (base,), {})
    try:
        error = kind(text)
    except TypeError:  # UnicodeDecodeError and the like want more than a sentence
        error = type(kind.__name__, (ValueError,), {})(text)
    for frame in reversed(found.get("frames") or []):
        with contextlib.suppress(ValueError, TypeError):
            error.__traceback__ = _traceback(*frame, error.__traceback__)
    return error


def _traceback(file: str, number: int, name: str, line: str, following: object) -> types.TracebackType:
    """A traceback through a line that was never run here, so that messages can name it."""
    file, number = str(file)[:200], min(max(int(number), 1), 100_000)
    lines = linecache.cache.setdefault(file, (0, None, [], file))[2]
    lines += ["\n"] * (number - len(lines))
    lines[number - 1] = f"{line}\n"
    try:
        exec(compile("\n" * (number - 1) + "raise Exception", file, "exec"), {})
    except Exception as error:
        here = error.__traceback__.tb_next
        return types.TracebackType(following, here.tb_frame, here.tb_lasti, here.tb_lineno)
    raise AssertionError("a raise that does not raise")


def _signature(parameters: list) -> Signature:
    return Signature(
        [
            Parameter(name, KINDS[kind], default=None if default else Parameter.empty)
            for name, kind, default in parameters
        ]
    )


def _take_alarm() -> float:
    """Seconds until the alarm of a check, which is switched off: the player measures them while it computes."""
    if not hasattr(signal, "setitimer"):
        return 0.0
    return signal.setitimer(signal.ITIMER_REAL, 0)[0]


def _give_alarm(seconds: float) -> None:
    if seconds:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _ring() -> None:
    """Let the alarm of a check go off, so that its own sentence says what happened."""
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    time.sleep(1)
