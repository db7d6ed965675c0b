"""Top-k accuracy and error, exact over batches, and the confusion matrix.

Logits are scores `[N, classes]`, one row an image; targets are class numbers `[N]`.
Every rate is a fraction between 0 and 1, taken over images, never over batches.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_CHUNK = 1024  # rows compared at once: the comparison's booleans then stay in the cache


def target_ranks(logits: Tensor, targets: Tensor) -> Tensor:
    """How many classes stand ahead of each image's target: 0 means that the first guess is right.

    A tie counts against the target, so a classifier that gives every class the same score earns nothing.

    Shapes: logits `[N, classes]`, targets `[N]`; returns int64 `[N]`, each from 0 to classes - 1.
    Raises ValueError where shapes or types do not fit, where nothing was given, where a target is no class
    and where a logit is NaN.
    """
    _check(logits, targets)
    targets = targets.to(device=logits.device, dtype=torch.int64)
    ranks = torch.empty(len(targets), dtype=torch.int64, device=logits.device)
    for start in range(0, len(targets), _CHUNK):
        rows = slice(start, start + _CHUNK)
        ranks[rows] = _ranks_of(logits[rows], targets[rows])
    return ranks


def topk_errors(logits: Tensor, targets: Tensor, ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """Share of images whose target is not among the k best classes, for every k in one pass.

    Shapes as in `target_ranks`; raises ValueError as it does, and where a k is not between 1 and the
    number of classes. Source: CSC321 lecture 12, "ImageNet"; Russakovsky et al. 2015, section 4.1.
    """
    ks = checked_ks(ks, logits)
    ranks = target_ranks(logits, targets)
    return {k: (ranks >= k).sum().item() / len(ranks) for k in ks}


def topk_error(logits: Tensor, targets: Tensor, k: int = 1) -> float:
    """Share of images whose target is not among the k best classes; see `topk_errors`."""
    return topk_errors(logits, targets, (k,))[k]


def topk_accuracy(logits: Tensor, targets: Tensor, k: int = 1) -> float:
    """Share of images whose target is among the k best classes: 1 minus `topk_error`."""
    return 1.0 - topk_error(logits, targets, k)


class TopKMeter:
    """Top-k errors over a stream of batches, weighted by image, so that a short last batch does no harm.

    `update` keeps whole counts, not rates: the result equals `topk_errors` of all batches together.
    """

    def __init__(self, ks: Sequence[int] = (1, 5)) -> None:
        self.ks = checked_ks(ks)
        self.reset()

    def reset(self) -> None:
        """Forget every batch."""
        self.count = 0
        self._wrong = dict.fromkeys(self.ks, 0)

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count one batch; a batch that does not fit raises ValueError and leaves the counts as they were."""
        checked_ks(self.ks, logits)
        ranks = target_ranks(logits, targets)
        for k in self.ks:
            self._wrong[k] += int((ranks >= k).sum())
        self.count += len(ranks)

    def errors(self) -> dict[int, float]:
        """The top-k error so far for every k; raises ValueError before the first batch."""
        if self.count == 0:
            raise ValueError("the meter has seen no image yet; call update(logits, targets) first")
        return {k: wrong / self.count for k, wrong in self._wrong.items()}


def confusion_matrix(predictions: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """How often each true class (row) was taken for each class (column).

    Shapes: predictions and targets `[N]`, whole numbers from 0 to num_classes - 1; returns int64
    `[num_classes, num_classes]`. Raises ValueError where they do not fit.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes is a whole number from 1 on; got {num_classes!r}")
    for name, values in (("predictions", predictions), ("targets", targets)):
        _check_classes(name, values, num_classes)
    if len(predictions) != len(targets):
        raise ValueError(
            f"one prediction per target is needed; got {len(predictions)} predictions, {len(targets)} targets"
        )
    cells = targets.long() * num_classes + predictions.long().to(targets.device)
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def _ranks_of(logits: Tensor, targets: Tensor) -> Tensor:
    if bool(torch.isnan(logits).any()):
        raise ValueError("a logit is NaN, so no order can be given; check the model's loss and learning rate")
    scores = logits.gather(1, targets[:, None])
    return (logits >= scores).sum(dim=1) - 1  # minus the target itself


def _check(logits: Tensor, targets: Tensor) -> None:
    if not isinstance(logits, Tensor) or not isinstance(targets, Tensor):
        raise ValueError(
            f"logits and targets are tensors; got {type(logits).__name__} and {type(targets).__name__}"
        )
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits have the shape [N, classes]; got {list(logits.shape)}")
    if not logits.is_floating_point():
        raise ValueError(
            f"logits are floating point scores; got {logits.dtype} (class numbers go in targets)"
        )
    _check_classes("targets", targets, logits.shape[1])
    if len(logits) != len(targets):
        raise ValueError(
            f"one target per row of logits is needed; got {len(logits)} rows and {len(targets)} targets"
        )


def _check_classes(name: str, values: Tensor, num_classes: int) -> None:
    if not isinstance(values, Tensor):
        raise ValueError(f"{name} are a tensor of class numbers; got {type(values).__name__}")
    if values.ndim != 1 or values.dtype not in _INTEGERS:
        raise ValueError(
            f"{name} are whole class numbers of the shape [N]; "
            f"got {values.dtype} of the shape {list(values.shape)}"
        )
    if len(values) == 0:
        raise ValueError(f"{name} are empty: a rate over no image is not defined")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise ValueError(
            f"{name} are class numbers from 0 to {num_classes - 1} for {num_classes} classes; got {wrong}"
        )


def checked_ks(ks: Iterable[int], logits: Tensor | None = None) -> tuple[int, ...]:
    """The k asked for, each once; raises ValueError where one is no whole number from 1 to the number of classes."""
    ks = tuple(ks) if isinstance(ks, Iterable) else (ks,)
    classes = logits.shape[1] if isinstance(logits, Tensor) and logits.ndim == 2 else None
    limit = "the number of classes" if classes is None else f"the {classes} classes"
    if not ks:
        raise ValueError("ks names no k; give at least one, such as (1, 5)")
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1 or (classes is not None and k > classes):
            raise ValueError(f"k is a whole number from 1 to {limit}; got {k!r}")
    return tuple(dict.fromkeys(ks))
