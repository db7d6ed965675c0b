"""Runs side by side give what a loop gives, whoever comes first; errors and the stop button end all of them."""

import os
import signal
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn

from course_utils.data import ImageSet
from course_utils.side_by_side import Interrupted, side_by_side
from course_utils.training import evaluate, fit

IMAGES = ImageSet(torch.rand(48, 1, 6, 6), torch.arange(48) % 3, ("a", "b", "c"))


def trained(seed: int, dropout: float, epochs: int = 3) -> tuple[list[float], torch.Tensor, torch.Tensor]:
    """The losses of a run, its answers, and what is drawn behind it from torch's generator."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(64, 3))
    history = fit(net, IMAGES, IMAGES, epochs=epochs, batch_size=16, seed=seed, progress=False)
    answers = evaluate(net, IMAGES, ks=(1,), progress=False).logits
    torch.manual_seed(seed + 1)
    return history.losses, answers, torch.rand(3)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from((0.0, 0.5))), min_size=2, max_size=6),
    st.integers(2, 4),
)
def test_side_by_side_equals_a_loop(cases, at_once):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        before = torch.get_rng_state()
        for (losses, *tensors), expected in zip(
            side_by_side(trained, cases, at_once=at_once), [trained(*case) for case in cases], strict=True
        ):
            assert losses == expected[0]
            for tensor, other in zip(tensors, expected[1:], strict=True):
                assert torch.equal(tensor, other)
        torch.set_rng_state(before)
        side_by_side(trained, cases[:1], at_once=at_once)
        assert torch.equal(torch.get_rng_state(), before)
    finally:
        torch.set_num_threads(threads)


def test_trainings_overlap():
    """Two runs wait inside their loss for each other: one after another they would wait for ever."""
    both = threading.Barrier(2, timeout=60)

    def run(seed):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))

        def loss(logits, targets):
            both.wait()
            return nn.functional.cross_entropy(logits, targets)

        return len(fit(net, IMAGES, epochs=1, batch_size=16, loss=loss, progress=False).losses)

    assert side_by_side(run, [(0,), (1,)], at_once=2) == [3, 3]


def test_threads_are_as_before():
    threads = torch.get_num_threads()
    assert side_by_side(lambda: torch.get_num_threads(), [()] * 3, at_once=2) == [1, 1, 1]
    assert torch.get_num_threads() == threads
    assert (
        len(fit(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), IMAGES, epochs=1, progress=False).losses) == 1
    )


@pytest.mark.slow
def test_the_first_error_ends_all():
    def run(case):
        if case == 1:
            raise ValueError("one sentence")
        return trained(0, 0.0, epochs=10**6)

    with pytest.raises(ValueError, match=r"^one sentence$"):
        side_by_side(run, [(0,), (1,), (2,)], at_once=2)
    assert trained(0, 0.0)[0]  # and what follows trains


@pytest.mark.slow
def test_the_stop_button_ends_all():
    def press():
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)  # as Jupyter does

    threading.Thread(target=press).start()
    with pytest.raises(Interrupted, match=r"^Interrupted when 0 of 3 networks were done\.$"):
        side_by_side(trained, [(0, 0.0, 10**6), (1, 0.5, 10**6), (2, 0.0, 10**6)], at_once=2)
    assert trained(0, 0.0)[0]


@pytest.mark.slow
def test_what_a_run_prints_stands_below_the_cell():
    source = "from course_utils.side_by_side import side_by_side\n"
    source += "side_by_side(lambda n: print(f'run {n}'), [(n,) for n in range(4)], at_once=2);"
    notebook = new_notebook(cells=[new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3").execute()
    printed = "".join(
        o.text for o in notebook.cells[0].outputs if o.output_type == "stream" and o.name == "stdout"
    )
    assert sorted(printed.split("\n")) == ["", "run 0", "run 1", "run 2", "run 3"]
