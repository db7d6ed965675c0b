"""Several small trainings at once: one thread each is faster than all threads for one after another."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

import torch
from tqdm.auto import tqdm

Result = TypeVar("Result")
_turn, _stopped, _here = threading.Lock(), threading.Event(), threading.local()


class Interrupted(KeyboardInterrupt):
    """The stop button or Ctrl-C in the middle of training.

    Like every KeyboardInterrupt it also ends the cell, and Run All; IPython shows its sentence alone.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def side_by_side(
    run: Callable[..., Result], cases: Iterable[tuple], desc: str = "networks", at_once: int | None = None
) -> list[Result]:
    """`run(*case)` for each of `cases`, several at once, with a progress bar; the results in the order of `cases`.

    Runs overlap only while `fit` or `evaluate` computes; all else happens in one of them at a time, and a network
    with dropout trains alone. So a `run` that seeds torch before it draws gives the same numbers as in a loop,
    with one thread; the random state outside is left alone. `at_once` is by default the number of torch's
    threads, and 1 where there is a GPU. The first error ends all runs, and so does the stop button (Ctrl-C), each
    after its step.
    """
    cases, threads = list(cases), torch.get_num_threads()
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    pool = ThreadPoolExecutor(
        at_once or (1 if gpu else threads), initializer=torch.set_num_threads, initargs=(1,)
    )
    with torch.random.fork_rng(devices=[]), tqdm(total=len(cases), desc=desc) as bar:
        # the last first: they tend to be the largest, and the small ones then fill what is left
        runs = waiting = [pool.submit(copy_context().run, _in_turn, run, case) for case in reversed(cases)][
            ::-1
        ]
        try:
            while waiting:  # at most 0.2 s each, since the stop button waits as long
                ended, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for each in ended:
                    each.result()
                bar.update(len(ended))
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted when {bar.n} of {len(cases)} {desc} were done.") from None
        finally:
            _stopped.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)
            _stopped.clear()
    return [each.result() for each in runs]


def _in_turn(run: Callable[..., Result], case: tuple) -> Result:
    with _turn:
        _here.turn = True
        end_if_stopped()
        return run(*case)


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
    """Raises KeyboardInterrupt where another run of `side_by_side` failed or the stop button ended them all."""
    if _stopped.is_set():
        raise KeyboardInterrupt
