"""What goes to a member's process: values come out as they went in, and a part of a tensor goes without the rest."""

import pickle

import pytest
import torch
from grading.wire import dumps
from hypothesis import given
from hypothesis import strategies as st
from torch import nn


@given(st.integers(0, 99), st.integers(1, 100), st.booleans(), st.sampled_from([torch.float32, torch.int64]))
def test_part_of_a_tensor_is_written_alone(first, count, grad, dtype):
    whole = torch.arange(100_000).reshape(1000, 100).to(dtype)
    part = whole[first : first + count].requires_grad_(grad and dtype.is_floating_point)
    content = dumps({"images": part})
    read = pickle.loads(content)["images"]
    assert torch.equal(read, part)
    assert (read.dtype, read.requires_grad, read.stride()) == (dtype, part.requires_grad, part.stride())
    assert len(content) < part.nbytes + 2_000


@pytest.mark.parametrize(
    "value",
    [torch.ones(5, 3).T, torch.ones(8, 8)[:, ::2], torch.empty(3, device="meta"), nn.Linear(2, 3).weight],
)
def test_strides_devices_and_kinds_stay(value):
    read = pickle.loads(dumps(value))
    assert (type(read), read.device, read.stride()) == (type(value), value.device, value.stride())


def test_what_is_marked_is_not_written():
    network = nn.Linear(1000, 1000)
    content = dumps([network, 3], lambda each: "network" if each is network else None)
    assert len(content) < 200
