"""One training loop and one evaluation for every model of the course.

Images live in memory as one tensor and batches are rows of it: on a laptop that is several times faster
than a DataLoader, and the loop stays short enough to be read in a lecture.
"""

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils._muon import Muon
from course_utils.data import Augment, ImageSet
from course_utils.metrics import topk_errors

Loss = Callable[..., Tensor]
MAX_STEPS = "COURSE_MAX_STEPS"
CUT_SENTENCE = "Training was cut short: no result of this run means anything."


@dataclass(repr=False)
class History:
    """What a training run left behind: a number per step, a number per epoch, and how it ended.

    `losses` and `learning_rates` have one entry per step. `train_errors` (over an epoch's batches, as they
    were trained on) and `test_errors` (in evaluation mode) have one top-1 error per epoch, as fractions.
    `seconds` is training time without the evaluations. `stopped` is empty after a whole run, else a sentence.
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    train_errors: list[float] = field(default_factory=list)
    test_errors: list[float] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0
    stopped: str = ""

    @property
    def images_per_second(self) -> float:
        """Images trained on per second of training time; 0 before the first step."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def test_error(self) -> float:
        """The last test error as a fraction; NaN where none was measured."""
        return self.test_errors[-1] if self.test_errors else math.nan

    def __repr__(self) -> str:
        last = {"train": self.train_errors[-1:], "test": self.test_errors[-1:]}
        errors = [f", {name} error {100 * e:.2f} %" for name, measured in last.items() for e in measured]
        return f"History({len(self.losses):,} steps{''.join(errors)}) {self.stopped}".rstrip()


class FitInterrupted(KeyboardInterrupt):
    """The stop button or Ctrl-C in the middle of `fit`; `history` is what the run left behind.

    Like every KeyboardInterrupt it also ends the cell around `fit`, and Run All; IPython shows its sentence alone.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history.stopped)
        self.history = history

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A model's answers on a set of images: `logits` `[N, classes]`, mean `loss`, and top-k `errors` by k."""

    logits: Tensor
    targets: Tensor
    loss: float
    errors: dict[int, float]

    @property
    def predictions(self) -> Tensor:
        """The first guess for every image, `[N]`."""
        return self.logits.argmax(dim=1)

    @property
    def top1_error(self) -> float:
        """Share of images whose first guess is wrong."""
        return self._error(1)

    @property
    def top5_error(self) -> float:
        """Share of images whose target is not among the five best."""
        return self._error(5)

    def __repr__(self) -> str:
        errors = "".join(f", top-{k} error {100 * error:.2f} %" for k, error in self.errors.items())
        return f"Evaluation({len(self.targets):,} images, loss {self.loss:.4g}{errors})"

    def _error(self, k: int) -> float:
        if k not in self.errors:
            raise ValueError(f"the top-{k} error was not measured; pass ks=({k},) to evaluate")
        return self.errors[k]


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's random numbers, so that a notebook repeats itself."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that readers may add still draw from it
    torch.manual_seed(seed)


def best_device() -> torch.device:
    """CUDA or Apple's MPS where torch finds one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def one_cycle(steps: int, peak: float, warm_up: float = 0.25) -> list[float]:
    """A learning rate per step: a straight climb to `peak`, then a cosine down towards 0.

    Source: Smith & Topin 2018, with the cosine of torch's OneCycleLR.
    """
    climb = max(1, round(warm_up * steps))
    fall = max(1, steps - climb)
    up = [peak * ((step + 1) / climb) for step in range(min(climb, steps))]
    return up + [peak * (1 + math.cos(math.pi * step / fall)) / 2 for step in range(1, steps - climb + 1)]


def fit(
    model: nn.Module,
    train: ImageSet,
    test: ImageSet | None = None,
    *,
    epochs: float,
    batch_size: int = 128,
    learning_rate: float = 0.1,
    optimiser: str = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warm_up: float = 0.25,
    label_smoothing: float = 0.0,
    loss: Loss | None = None,
    augment: Augment | None = None,
    bfloat16: bool = False,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place by SGD with Nesterov momentum on a one-cycle schedule; returns its `History`.

    `epochs` may be a fraction: 0.5 is half a pass over `train`. `augment(images, generator=...)` changes
    each batch; `loss(outputs, targets)` replaces cross entropy where a model returns more than logits. Weight
    decay spares biases and normalisation. `optimiser="muon"` makes the steps of convolutions orthogonal: it
    needs fewer epochs where normalisation follows each of them. `bfloat16` computes convolutions and products
    with 16-bit numbers (torch.autocast; weights stay float32): quicker on processors with instructions for
    them, slower on others. With the same `seed`, machine and number of threads a run repeats exactly, and the
    random state outside is left alone. `device` is where the steps are computed: cuda or mps where there is
    one, else the CPU. Afterwards the model is in evaluation mode, on the device that it came from.

    A loss that is not finite ends the run at that step: a sentence is printed and kept in `History.stopped`.
    The stop button (Ctrl-C) ends it too, and raises `FitInterrupted`, so that the rest of the cell does not run
    either. Model and history stay as they are by then; the history is also `model.history`, as in Keras.
    Raises ValueError for settings and images that do not fit.

    Tests of whole notebooks set the environment variable COURSE_MAX_STEPS: `fit` then takes about so many steps,
    as many epochs of fewer images, at least one batch each, and prints a sentence that says so.
    Source: Smith & Topin 2018 (one cycle); Goyal et al. 2017, section 5.3 (no decay on normalisation);
    Jordan et al. 2024 (Muon).
    """
    _check_settings(train, epochs, batch_size, learning_rate, warm_up, optimiser)
    if MAX_STEPS in os.environ:
        images = batch_size * max(1, int(int(os.environ[MAX_STEPS]) / epochs))
        train, test = (part and part.subset(min(images, len(part))) for part in (train, test))
        print(CUT_SENTENCE)
    loss = loss or _cross_entropy(label_smoothing)
    device = torch.device(device) if device else best_device()
    generator = torch.Generator().manual_seed(seed)
    steps_per_epoch = math.ceil(len(train) / batch_size)
    steps = max(1, round(epochs * steps_per_epoch))
    rates = one_cycle(steps, learning_rate, warm_up)
    schedule = zip(rates, _endless(train, batch_size, generator, augment), strict=False)
    history = model.history = History()
    bar = tqdm(total=steps, disable=not progress, desc=_name(model), unit="step")
    try:
        with _lent(model, device), _seeded(seed), bar:
            updates = _optimiser(optimiser, model, momentum, weight_decay)
            autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)
            while len(history.losses) < steps and not history.stopped:
                epoch = islice(schedule, steps_per_epoch)
                _train_epoch(model, updates, loss, autocast, epoch, history, bar)
                if test is not None and not history.stopped:
                    history.test_errors.append(evaluate(model, test, ks=(1,), progress=False).top1_error)
                    _show(bar, history, refresh=True)
    except KeyboardInterrupt:
        history.stopped = (
            f"Interrupted after {len(history.losses):,} of {steps:,} steps. The model is kept as it is now, "
            f"and what was measured as its attribute `history`."
        )
        raise FitInterrupted(history) from None
    if history.stopped:
        print(history.stopped)
    return history


def evaluate(
    model: nn.Module,
    images: ImageSet,
    ks: Sequence[int] = (1, 5),
    *,
    batch_size: int = 500,
    progress: bool = True,
) -> Evaluation:
    """Every image's logits in evaluation mode, the mean cross entropy and the top-k errors.

    The model keeps the mode and the device that it had; the answers are on the CPU. Raises ValueError where
    there is no image, and where a k is above the number of classes.
    """
    if len(images) == 0:
        raise ValueError("there is no image to evaluate on; got an empty ImageSet")
    was_training = model.training
    device = _device_of(model)
    batches = images.batches(batch_size)
    total = math.ceil(len(images) / batch_size)
    try:
        model.eval()
        with torch.inference_mode():
            bar = tqdm(batches, total=total, disable=not progress, delay=1, leave=False, desc="evaluate")
            logits = torch.cat([model(_on(device, batch)).float().cpu() for batch, _ in bar])
    finally:
        model.train(was_training)
    logits = logits.clone()  # an inference tensor would refuse autograd to whoever uses it next
    targets = images.labels.cpu()
    loss = F.cross_entropy(logits, targets).item()
    return Evaluation(logits, targets, loss, topk_errors(logits, targets, ks))


def _train_epoch(model, optimiser, loss, autocast, rates_and_batches, history: History, bar: tqdm) -> None:
    device = _device_of(model)
    wrong = torch.zeros((), dtype=torch.int64, device=device)
    seen = 0
    model.train()
    start = time.perf_counter()
    try:
        for rate, (images, targets) in rates_and_batches:
            targets = targets.to(device)
            with autocast:
                outputs = model(_on(device, images))
                value = loss(outputs, targets)
            step_loss = value.item()
            if not math.isfinite(step_loss):
                history.stopped = _divergence(step_loss, len(history.losses) + 1, rate)
                return
            optimiser.zero_grad()
            value.backward()
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            history.losses.append(step_loss)
            history.learning_rates.append(rate)
            wrong += (_logits(outputs).argmax(dim=1) != targets).sum()
            seen += len(targets)
            if bar.update():
                _show(bar, history, rate=seen / (time.perf_counter() - start))
        history.train_errors.append(wrong.item() / seen)
    finally:
        history.images += seen
        history.seconds += time.perf_counter() - start


def _show(bar: tqdm, history: History, rate: float | None = None, refresh: bool = False) -> None:
    parts = [f"loss {history.losses[-1]:.3f}", f"{rate or history.images_per_second:,.0f} images/s"]
    if history.test_errors:
        parts.append(f"test error {history.test_errors[-1]:.1%}")
    bar.set_postfix_str(", ".join(parts), refresh=refresh)


def _divergence(loss: float, step: int, rate: float) -> str:
    return (
        f"Stopped at step {step}: the loss is {loss}, not a finite number; "
        f"try a learning_rate below the {rate:.3g} that it had reached."
    )


def _cross_entropy(label_smoothing: float) -> Loss:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(_logits(outputs).float(), targets, label_smoothing=label_smoothing)

    return loss


def _logits(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def _endless(
    train: ImageSet, batch_size: int, generator: torch.Generator, augment: Augment | None
) -> Iterator:
    while True:
        yield from train.batches(batch_size, shuffle=True, generator=generator, augment=augment)


def _optimiser(kind: str, model: nn.Module, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim == 4] if kind == "muon" else []
    matrices = [p for p in parameters if p.ndim > 1 and not (kernels and p.ndim == 4)]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    sgd = torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=momentum > 0)
    return Muon(kernels, sgd) if kernels else sgd


def _name(model: nn.Module) -> str:
    """Tells two networks of one class apart, since many are an nn.Sequential."""
    return f"{type(model).__name__}, {sum(p.numel() for p in model.parameters()):,} parameters"


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _on(device: torch.device, images: Tensor) -> Tensor:
    return images.to(device, memory_format=torch.channels_last) if images.ndim == 4 else images.to(device)


@contextmanager
def _lent(model: nn.Module, device: torch.device) -> Iterator[None]:
    """The model on `device` for a while, then back where it was, in evaluation mode."""
    home = _device_of(model)
    try:
        model.to(device=device, memory_format=torch.channels_last)
        yield
    finally:
        model.eval().to(home)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _check_settings(train: ImageSet, epochs, batch_size, rate, warm_up, optimiser) -> None:
    if len(train) == 0:
        raise ValueError("there is no image to train on; got an empty ImageSet")
    if not 0 < epochs < math.inf:
        raise ValueError(f"epochs is a number above 0 (0.5 is half a pass); got {epochs!r}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is a whole number from 1 on; got {batch_size!r}")
    if not 0 < rate < math.inf:
        raise ValueError(f"learning_rate is a number above 0; got {rate!r}")
    if not 0 <= warm_up <= 1:
        raise ValueError(f"warm_up is a share of the steps from 0 to 1; got {warm_up!r}")
    if optimiser not in ("sgd", "muon"):
        raise ValueError(f'optimiser is "sgd" or "muon"; got {optimiser!r}')
