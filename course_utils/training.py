"""One training loop and one evaluation; batches are rows of one tensor, on a laptop faster than a DataLoader."""

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count, islice
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from tqdm.auto import tqdm

from course_utils.data import Augment, ImageSet
from course_utils.measurements import unchanged
from course_utils.metrics import checked_ks, topk_errors
from course_utils.muon import Muon
from course_utils.side_by_side import Interrupted, best_device, end_if_stopped, others_go_on
from course_utils.side_by_side import side_by_side as side_by_side
from course_utils.words import percent, plural

Loss = Callable[..., Tensor]
SETTINGS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "epochs": ("a number above 0 (0.5 is half a pass)", lambda x: 0 < x < math.inf),
    "batch_size": ("a whole number from 1 on", lambda x: isinstance(x, Integral) and x >= 1),
    "learning_rate": ("a number above 0", lambda x: 0 < x < math.inf),
    "momentum": ("a number from 0 to below 1", lambda x: 0 <= x < 1),
    "weight_decay": ("a number from 0 on", lambda x: 0 <= x < math.inf),
    "warm_up": ("a share of the steps from 0 to 1", lambda x: 0 <= x <= 1),
    "label_smoothing": ("a share from 0 to 1", lambda x: 0 <= x <= 1),
    "seed": ("a whole number from 0 on", lambda x: isinstance(x, Integral) and 0 <= x < 2**63),
}


@dataclass(repr=False)
class History:
    """What a training run left behind: a number per step, a number per epoch, and how it ended.

    `losses` and `learning_rates` have one entry per step; `train_errors` (over an epoch's batches, as they were trained
    on) and `test_errors` (in evaluation mode) a top-1 error, as a fraction, per epoch. `seconds` is without the
    evaluations. `stopped` is empty after a whole run, else a sentence.
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
        errors = [f", {name} error {percent(e, 2)}" for name, measured in last.items() for e in measured]
        return f"History({len(self.losses):,} steps{''.join(errors)}) {self.stopped}".rstrip()


class FitInterrupted(Interrupted):
    """The stop button or Ctrl-C in the middle of `fit`; `history` is what the run left behind."""

    def __init__(self, history: History) -> None:
        super().__init__(history.stopped)
        self.history = history


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A model's answers on a set of images: `logits` `[N, classes]`, mean `loss`, and top-k `errors` by k."""

    logits: Tensor
    targets: Tensor
    loss: float
    errors: dict[int, float]

    @property
    def predictions(self) -> Tensor:
        """The first guess for every image, `[N]`; of several that share the best score a wrong one, as in `errors`."""
        targets = self.targets[:, None]
        rival, guess = self.logits.scatter(1, targets, -math.inf).max(dim=1)
        return torch.where(rival >= self.logits.gather(1, targets)[:, 0], guess, self.targets)

    @property
    def top1_error(self) -> float:
        """Share of images whose first guess is wrong."""
        if 1 not in self.errors:
            raise ValueError("the top-1 error was not measured; pass ks=(1,) to evaluate")
        return self.errors[1]

    def __repr__(self) -> str:
        errors = "".join(f", top-{k} error {percent(error, 2)}" for k, error in self.errors.items())
        return f"Evaluation({len(self.targets):,} images, loss {self.loss:.4g}{errors})"


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's random numbers, so that a notebook repeats itself."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that readers may add still draw from it
    torch.manual_seed(seed)


def one_cycle(steps: int, peak: float, warm_up: float = 0.25) -> list[float]:
    """A learning rate per step: a straight climb to `peak`, then a cosine towards 0 (Smith & Topin 2018)."""
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
    momentum: float | None = None,
    weight_decay: float = 5e-4,
    warm_up: float = 0.25,
    label_smoothing: float = 0.0,
    loss: Loss | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place by SGD with Nesterov momentum on a one-cycle schedule; returns its `History`.

    `epochs` may be a fraction: 0.5 is half a pass over `train`. `augment(images, generator=...)` changes each batch;
    `loss(outputs, targets)` replaces cross entropy where a model returns more than logits. `optimiser="muon"` makes
    the steps of convolutions orthogonal, beside SGD for all else; `momentum` is that of both, None 0.9 for SGD and
    0.6 for Muon. Weight decay spares biases and normalisation. `device` is where the steps are computed: cuda or mps
    where there is one, else the CPU. With the same `seed`, machine and number of threads a run repeats exactly, and
    the random state outside is left alone. Afterwards the model is in evaluation mode, on the device it came from.

    Raises ValueError, before the first step and with the model as it was, for settings, images and models that do
    not fit. Whatever goes wrong later (a loss that is not finite, an error in the model or the evaluation) ends the
    run there: a sentence is printed and kept in `History.stopped`, history and model stay as they are by then. So
    does the stop button (Ctrl-C), which raises `FitInterrupted`; the history is also `model.history`, as in Keras.
    Source: Smith & Topin 2018 (one cycle); Goyal et al. 2017, section 5.3 (no decay on normalisation).
    """
    _check_settings(locals())
    _check_parts(model, train, test, optimiser)
    entropy = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    loss = loss or (lambda outputs, targets: entropy(_logits(outputs).float(), targets))
    generator = torch.Generator().manual_seed(int(seed))  # NumPy's integers it refuses
    steps_per_epoch = math.ceil(len(train) / batch_size)
    steps = max(1, round(epochs * steps_per_epoch))
    passes = (train.batches(batch_size, True, generator, augment) for _ in count())
    schedule = zip(one_cycle(steps, learning_rate, warm_up), chain.from_iterable(passes), strict=False)
    classes = 1 + max(int(part.labels.max()) for part in (train, test) if part)
    history = model.history = History()
    name = f"{type(model).__name__}, {plural(sum(p.numel() for p in model.parameters()), 'parameter')}"
    bar = tqdm(total=steps, disable=not progress, desc=name, unit="step")
    as_it_was = unchanged(model)
    try:
        with _lent(model, device or best_device()), torch.random.fork_rng(), bar:
            torch.manual_seed(seed)
            optimisers = _optimisers(optimiser, model, momentum, weight_decay)
            if steps >= steps_per_epoch and len(train) % batch_size == 1:
                _try_one_image(model, train, batch_size)
            draws = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p for m in model.modules())
            with others_go_on(alone=draws):  # from the one generator that all runs share
                while len(history.losses) < steps and not history.stopped:
                    epoch = islice(schedule, steps_per_epoch)
                    _train_epoch(model, optimisers, loss, epoch, history, bar, classes)
                    if test is not None and not history.stopped:
                        history.test_errors.append(evaluate(model, test, ks=(1,), progress=False).top1_error)
                        _show(bar, history)
    except KeyboardInterrupt:
        kept = "The model is kept as it is now, and what was measured as its attribute `history`."
        history.stopped = f"Interrupted after {len(history.losses):,} of {steps:,} steps. {kept}"
        raise FitInterrupted(history) from None
    except Exception as error:
        why = _why(error, model, train.images.dtype)
        if not history.losses:
            as_it_was.close()
            raise ValueError(f"no step of training could be taken: {why}") from error
        history.stopped = f"Stopped after {len(history.losses)} of {steps} steps: {why}"
    if history.stopped:
        print(history.stopped)
    return history


def evaluate(model: nn.Module, images: ImageSet, ks=(1, 5), *, batch_size=500, progress=True) -> Evaluation:
    """Every image's logits in evaluation mode, the mean cross entropy and the top-k errors for each k of `ks`.

    Of a model that returns several tensors the first holds the logits. The model keeps its mode and device; the
    answers are on the CPU. Raises ValueError where there is no image, a pixel is not a finite number, the model
    cannot read the images or gives no logits for them, or a k is above the number of classes.
    """
    ks = checked_ks(ks)
    _check_given(model, "images", images)
    device = _device_of(model)
    options = {"disable": not progress, "delay": 1, "leave": False, "desc": "evaluate"}
    try:
        with unchanged(model), torch.inference_mode(), others_go_on():
            model.eval()
            batches = tqdm(list(images.batches(batch_size)), **options)
            logits = torch.cat([_logits(model(_on(device, batch))).float().cpu() for batch, _ in batches])
    except Exception as error:
        raise ValueError(_why(error, model, images.images.dtype)) from error
    logits, targets = logits.clone(), images.labels.cpu()  # autograd refuses inference tensors
    errors = topk_errors(logits, targets, ks)  # first, since it says what does not fit
    return Evaluation(logits, targets, F.cross_entropy(logits, targets).item(), errors)


def _train_epoch(model, optimisers, loss, schedule, history, bar, classes) -> None:
    device, before = _device_of(model), history.images
    wrong = torch.zeros((), dtype=torch.int64, device=device)
    model.train()
    start = time.perf_counter()
    try:
        for rate, (images, targets) in schedule:
            end_if_stopped()
            targets = targets.to(device)
            outputs = model(_on(device, images))
            scores = _logits(outputs).detach()
            if scores.ndim != 2 or len(scores) != len(targets) or scores.shape[1] < classes:
                needed = f"the images need logits [{len(targets)}, {classes} classes or more]"
                raise ValueError(f"{needed}; the model gives {list(scores.shape)}")
            value = loss(outputs, targets)
            step_loss = value.item()
            if not math.isfinite(step_loss):
                history.stopped = _divergence(step_loss, history, rate, images)
                return
            model.zero_grad()
            value.backward()
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate
                optimiser.step()
            history.losses.append(step_loss)
            history.learning_rates.append(rate)
            at_least = (scores >= scores.gather(1, targets[:, None])).sum(dim=1)
            wrong += (at_least != 1).sum()  # the target itself; a tie counts against it, as in metrics
            history.images += len(targets)
            if bar.update():
                _show(bar, history)
        history.train_errors.append(wrong.item() / (history.images - before))
        measured = [b for name, b in model.named_buffers() if "running_" in name]  # others may be -inf masks
        if not all(bool(value.isfinite().all()) for value in (*model.parameters(), *measured)):
            history.stopped = _divergence(math.nan, history, rate, images)
    finally:
        history.seconds += time.perf_counter() - start


def _show(bar: tqdm, history: History) -> None:
    error = f", test error {percent(history.test_error)}" if history.test_errors else ""
    bar.set_postfix_str(f"loss {history.losses[-1]:.3f}{error}", refresh=False)


def _divergence(loss: float, history: History, rate: float, images: Tensor) -> str:
    why = ", though no weight was changed yet: look at the model's weights and at the loss function."
    if not images.isfinite().all():
        why = ", since `augment` gave an image with pixels that are no finite numbers."
    elif history.losses:
        why = f"; try a learning_rate below {max(rate, *history.learning_rates):.3g}, reached by then."
    return f"Stopped at step {len(history.losses) + 1}: the loss is {loss}{why}"


def _why(error: Exception, model: nn.Module, dtype: torch.dtype) -> str:
    """An error as the rest of a sentence."""
    text = str(error).strip().partition("\n")[0]
    named = f"{type(error).__name__}: {text}".removesuffix(": ")
    why = text if isinstance(error, ValueError) and text else named
    weights = {p.dtype for p in model.parameters() if p.is_floating_point()} - {dtype}
    if weights and isinstance(error, RuntimeError) and "type" in text:
        why += f" (the images are {dtype}, the model's weights {', '.join(map(str, weights))})"
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "alloc" in text
    return f"{why} (a smaller batch_size needs less memory)" if memory else why


def _logits(outputs: object) -> Tensor:
    first = outputs[0] if isinstance(outputs, tuple | list) and outputs else outputs
    if not isinstance(first, Tensor):
        raise ValueError(f"a model gives logits, or a tuple of them and more; got a {type(first).__name__}")
    return first


def _optimisers(kind, model, momentum, weight_decay) -> list[torch.optim.Optimizer]:
    kernels, decayed, spared = [], [], []
    for parameter in (p for p in model.parameters() if p.requires_grad):
        of_muon = kind == "muon" and parameter.ndim == 4
        (kernels if of_muon else decayed if parameter.ndim > 1 else spared).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    chosen = {} if momentum is None else {"momentum": momentum}
    sgd = torch.optim.SGD(groups, lr=0.0, nesterov=momentum != 0, **{"momentum": 0.9} | chosen)
    return [Muon(kernels, **chosen), sgd] if kernels else [sgd]


@contextmanager
def _lent(model: nn.Module, device: str | torch.device) -> Iterator[None]:
    """The model on `device` for a while, then back where it was, in evaluation mode."""
    home, device = _device_of(model), torch.device(device)
    if "meta" in (home.type, device.type):
        raise ValueError("on the meta device nothing can be computed, and values are lost")
    try:
        model.to(device)
        for parameter in model.parameters():
            if parameter.ndim == 4:  # model.to(memory_format=...) would refuse weights with five
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        yield
    finally:
        model.eval().to(home)


def _try_one_image(model: nn.Module, train: ImageSet, batch_size: int) -> None:
    """Batch normalisation behind a global pooling fails on a batch of one, which would be an epoch's last."""
    try:
        with unchanged(model), torch.random.fork_rng(), torch.no_grad():
            model.train()(_on(_device_of(model), train.images[:1]))
    except Exception as error:
        what = f"an epoch of {len(train)} images in batches of {batch_size} ends with a single image"
        why = _why(error, model, train.images.dtype)
        raise ValueError(f"{what}, where the model fails ({why}); choose another batch_size") from error


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _on(device: torch.device, images: Tensor) -> Tensor:
    return images.to(device, memory_format=torch.channels_last) if images.ndim == 4 else images.to(device)


def _check_settings(given: Mapping[str, object]) -> None:
    for name, (rule, fits) in SETTINGS.items():
        value = 0 if name == "momentum" and given[name] is None else given[name]
        if isinstance(value, bool) or not isinstance(value, Real) or not fits(value):
            raise ValueError(f"{name} is {rule}; got {value!r}")
    for name in ("loss", "augment"):
        if given[name] is not None and not callable(given[name]):
            raise ValueError(f"{name} is a function or None; got {given[name]!r}")
    if given["optimiser"] not in ("sgd", "muon"):
        raise ValueError(f'optimiser is "sgd" or "muon"; got {given["optimiser"]!r}')


def _check_parts(model: nn.Module, train: ImageSet, test: ImageSet | None, optimiser: str) -> None:
    _check_given(model, "train", train)
    if test is not None:
        _check_given(model, "test", test)
    if not torch.is_grad_enabled():
        raise ValueError("training needs gradients; got a call of fit under no_grad or inference_mode")
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise ValueError("a lazy layer does not know its size yet; call the model once on a batch of images")
    changing = [p for p in model.parameters() if p.requires_grad]
    if not changing:
        raise ValueError("there is nothing to train; got a model without a parameter that has requires_grad")
    if optimiser == "muon" and not any(p.ndim == 4 for p in changing):
        raise ValueError('optimiser="muon" is for convolutions; got a model without one to train')


def _check_given(model: nn.Module, name: str, images: ImageSet) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is an nn.Module; got {model!r}")
    if not isinstance(images, ImageSet):
        raise ValueError(f"{name} is an ImageSet; got a {type(images).__name__}")
    if len(images) == 0:
        raise ValueError(f"there is no image in {name}; got an empty ImageSet")
    broken = (~images.images.isfinite()).flatten(1).any(dim=1).nonzero()
    if len(broken):
        raise ValueError(f"pixels are finite numbers; got NaN or infinity in image {broken[0, 0]} of {name}")
