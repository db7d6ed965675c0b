"""Remembers what locked experiments gave, so that those who answer alike do not wait for them again.

An experiment depends on a member only through the calls of the member's functions. Its record holds the
first of them: where these give the same once more, names, outputs and random state are those of the record.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import time
import types
from pathlib import Path

import numpy
import torch
from homework import ROOT
from nbformat import NotebookNode, from_dict
from torch import nn

from grading.judge import Ended, Judge, StoppedByGrader, definitions
from grading.wire import dumps, loads

LEAST_SECONDS = 1.0  # below, running again is as quick
LARGE = 2_000_000  # bytes; larger tensors are kept once for all records
MOST_RECORDS = 6
CALLS = 3  # that are made again


def package_version() -> str:
    """Changes with torch and with the code and data of the course's package."""
    total = hashlib.sha256(torch.__version__.encode())
    for path in sorted(ROOT.glob("course_utils/**/*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


class Experiments:
    """Runs locked cells of one notebook for a judge; `folder` is where the records are kept."""

    def __init__(self, judge: Judge, folder: Path) -> None:
        self.judge, self.folder, self.before = judge, folder, package_version()
        self.results: dict[tuple, str] = {}

    def note(self, source: str) -> None:
        """Whatever runs before an experiment belongs to what it depends on."""
        self.before = hashlib.sha256((self.before + source).encode()).hexdigest()

    def run(self, source: str, label: str) -> list[NotebookNode]:
        """Outputs of a locked cell, run or remembered."""
        self.note(source)
        judge = self.judge
        judge.fetch()
        values = _digest_of_values(judge, source)
        for path in sorted(self.folder.glob(f"{self.before}-*.pickle")):
            record = self._load(path)
            if record and record["values"] == values and self._same(record["calls"]):
                for each in definitions(source):
                    exec(compile(each, f"<{label}>", "exec"), judge.names)
                judge.names.update(record["names"])
                torch.set_rng_state(record["random"])
                return [from_dict(output) for output in record["outputs"]]
        return self._run(source, label, values)

    def _run(self, source: str, label: str, values: str) -> list[NotebookNode]:
        judge, known = self.judge, dict(self.judge.names)
        judge.recorder, started = [], time.monotonic()
        try:
            outputs = judge.run(source, label)
        finally:
            calls, judge.recorder = judge.recorder, None
        if time.monotonic() - started > LEAST_SECONDS:
            new = {n: v for n, v in judge.names.items() if known.get(n) is not v and not _is_code(v)}
            self._save(values, calls, new, outputs)
        return outputs

    def _same(self, calls: list[tuple]) -> bool:
        for name, content, wanted in calls:
            key = (name, hashlib.sha256(content).digest())
            if key not in self.results:
                function = self.judge.names.get(name)
                if not hasattr(function, "answer"):
                    return False
                try:
                    reply, blobs = self.judge.call_raw(function, *self._loads(content))
                except (Ended, StoppedByGrader):
                    return False
                self.results[key] = _digest_of_reply(reply, blobs)
            if self.results[key] != wanted:
                return False
        return True

    def _save(self, values: str, calls: list, names: dict, outputs: list) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        answers = {each.answer: name for name, each in self.judge.given.items() if hasattr(each, "answer")}
        try:
            found = [
                (answers[function.answer], self._dumps((arguments, keywords)), _digest_of_reply(*reply))
                for function, arguments, keywords, reply in calls[:CALLS]
            ]
            record = {"values": values, "calls": found, "names": names, "outputs": [dict(o) for o in outputs]}
            content = self._dumps({**record, "random": torch.get_rng_state()})
        except Exception:  # something in it cannot be kept: it runs each time
            return
        for number in range(MOST_RECORDS):
            path = self.folder / f"{self.before}-{number}.pickle"
            if not path.exists():
                _write(path, content)
                return

    # Files: large tensors lie beside the records, each once

    def _dumps(self, value: object) -> bytes:
        return dumps(value, self._keep)

    def _keep(self, value: object) -> tuple | None:
        if (
            type(value) not in (torch.Tensor, nn.Parameter)
            or value.nbytes < LARGE
            or value.device.type != "cpu"
        ):
            return None
        array = value.detach().contiguous().numpy()
        name = hashlib.sha256(array.tobytes() + str(array.shape).encode()).hexdigest()
        if not (self.folder / f"{name}.npy").exists():
            file = io.BytesIO()
            numpy.save(file, array)
            _write(self.folder / f"{name}.npy", file.getvalue())
        return name, type(value) is nn.Parameter, value.requires_grad

    def _load(self, path: Path) -> dict | None:
        try:
            return self._loads(path.read_bytes())
        except Exception:  # half a file, or one of an older version: as if it were not there
            return None

    def _loads(self, content: bytes) -> object:
        return loads(content, self._kept)

    def _kept(self, mark: tuple) -> torch.Tensor:
        name, parameter, grad = mark
        tensor = torch.from_numpy(numpy.load(self.folder / f"{name}.npy", mmap_mode="c"))
        return nn.Parameter(tensor, grad) if parameter else tensor.requires_grad_(grad)


def _write(path: Path, content: bytes) -> None:
    half = path.with_suffix(f".{os.getpid()}")
    half.write_bytes(content)
    os.replace(half, path)


def _is_code(value: object) -> bool:
    return isinstance(value, types.FunctionType | types.ModuleType | type)


def _digest_of_values(judge: Judge, source: str) -> str:
    """Of the answers that are values and that the experiment reads."""
    read = {each.id for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Name)}
    values = {name: value for name, value in judge.given.items() if name in read and not callable(value)}
    found = sorted((name, repr(value)[:500]) for name, value in values.items())
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _digest_of_reply(message: dict, blobs: list[bytes]) -> str:
    """Of what a call gave and printed; places of errors are left out."""
    error = message.get("error")
    shown = [output.get("text") for output in message.get("shown", [])]
    total = hashlib.sha256(json.dumps([message.get("value"), shown, error and str(error)[:200]]).encode())
    for blob in blobs:
        total.update(blob)
    return total.hexdigest()
