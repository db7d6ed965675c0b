"""Several small trainings at once: one thread each is faster than all threads for one after another."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from contextvars import copy_context

import torch
from tqdm.auto import tqdm

_turn, _here = threading.Lock(), threading.local()


class Interrupted(KeyboardInterrupt):
    """The stop button or Ctrl-C in the middle of training: it ends the cell and Run All too, shown as a sentence."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def best_device() -> torch.device:
    """CUDA or Apple's MPS where torch finds one, else the CPU."""
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(kind)


def side_by_side(run: Callable, cases: Iterable[tuple], desc="networks", at_once: int | None = None) -> list:
    """`run(*case)` for each of `cases`, several at once, with a progress bar; the results in the order of `cases`.

    Runs overlap only while `fit` or `evaluate` computes; all else happens in one of them at a time, and a network
    with dropout trains alone. So a `run` that seeds torch before it draws gives the same numbers as in a loop, with one
    thread; the random state outside is left alone. `at_once` is by default the number of torch's threads, and 1 where
    there is a GPU. The first error ends all runs, and so does the stop button (Ctrl-C), each after its step.
    """
    cases, threads, stopped = list(cases), torch.get_num_threads(), threading.Event()
    at_once = at_once or (threads if best_device().type == "cpu" else 1)
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,))

    def in_turn(case: tuple) -> object:
        with _turn:
            _here.turn, _here.stopped = True, stopped
            end_if_stopped()
            return run(*case)

    with torch.random.fork_rng(devices=[]), tqdm(total=len(cases), desc=desc) as bar, ExitStack() as at_last:
        at_last.callback(torch.set_num_threads, threads)
        at_last.callback(pool.shutdown, cancel_futures=True)
        at_last.callback(stopped.set)  # the first of the three, whatever happens
        # The last first: they tend to be the largest, and the small ones then fill what is left.
        runs = waiting = [pool.submit(copy_context().run, in_turn, case) for case in cases[::-1]][::-1]
        try:
            while waiting:  # at most 0.2 s each, since the stop button waits as long
                ended, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for each in ended:
                    each.result()
                bar.update(len(ended))
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted when {bar.n} of {len(cases)} {desc} were done.") from None
    return [each.result() for each in runs]


@contextmanager
def others_go_on(alone: bool = False) -> Iterator[None]:
    """Within it, the other runs of `side_by_side` go on, unless this one must be `alone`; nothing outside of a run."""
    in_turn, _here.turn = getattr(_here, "turn", False), False
    if in_turn and not alone:
        _turn.release()
    try:
        yield
    finally:
        if in_turn and not alone:
            _turn.acquire()
        _here.turn = in_turn


def end_if_stopped() -> None:
    """Raises KeyboardInterrupt in a run of `side_by_side` where another one failed or the stop button ended all."""
    stopped = getattr(_here, "stopped", None)
    if stopped and stopped.is_set():
        raise KeyboardInterrupt
