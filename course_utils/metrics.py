"""Top-k accuracy and error, exact over batches, and the confusion matrix.

Logits are scores `[N, classes]`, one row an image; targets are class numbers `[N]`. Every rate is a fraction
between 0 and 1, taken over images, never over batches. ValueError tells what does not fit.
"""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral

import torch
from torch import Tensor

from course_utils.words import check_whole, described

_CLASS_TYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_CHUNK = 1024  # rows compared at once: the comparison's booleans then stay in the cache


def target_ranks(logits: Tensor, targets: Tensor) -> Tensor:
    """How many classes stand ahead of each image's target, int64 `[N]`: 0 means that the first guess is right.

    A tie counts against the target, so a classifier that gives every class the same score earns nothing.
    Raises ValueError where shapes or types do not fit, nothing was given, a target is no class or a logit is NaN.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.is_floating_point():
        raise ValueError(f"logits are floating point of shape [N, classes]; got {described(logits)}")
    _check_classes("targets", targets, logits.shape[1])
    if len(logits) != len(targets):
        raise ValueError(f"one target per row is needed; got {len(logits)} rows and {len(targets)} targets")
    if bool(torch.isnan(logits).any()):
        raise ValueError("a logit is NaN, so no order can be given; check the model's loss and learning rate")
    targets = targets.to(device=logits.device, dtype=torch.int64)
    chunks = zip(logits.split(_CHUNK), logits.gather(1, targets[:, None]).split(_CHUNK), strict=True)
    return torch.cat([(rows >= scores).sum(dim=1) for rows, scores in chunks]) - 1  # minus the target itself


def topk_errors(logits: Tensor, targets: Tensor, ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """Share of images whose target is not among the k best classes, for every k in one pass.

    Raises ValueError as `target_ranks` does, and where a k is not between 1 and the number of classes.
    Source: CSC321 lecture 12, "ImageNet"; Russakovsky et al. 2015, section 4.1.
    """
    ranks = target_ranks(logits, targets)
    return {k: (ranks >= k).sum().item() / len(ranks) for k in checked_ks(ks, logits.shape[1])}


def topk_error(logits: Tensor, targets: Tensor, k: int = 1) -> float:
    """Share of images whose target is not among the k best classes; see `topk_errors`."""
    return topk_errors(logits, targets, (k,))[k]


def topk_accuracy(logits: Tensor, targets: Tensor, k: int = 1) -> float:
    """Share of images whose target is among the k best classes: 1 minus `topk_error`."""
    return 1.0 - topk_error(logits, targets, k)


class TopKMeter:
    """Top-k errors over a stream of batches, weighted by image: equal to `topk_errors` of all batches together."""

    def __init__(self, ks: Sequence[int] = (1, 5)) -> None:
        self.ks = checked_ks(ks)
        self.count = 0
        self._wrong = dict.fromkeys(self.ks, 0)

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count one batch; a batch that does not fit raises ValueError and leaves the counts as they were."""
        ranks = target_ranks(logits, targets)
        for k in checked_ks(self.ks, logits.shape[1]):
            self._wrong[k] += int((ranks >= k).sum())
        self.count += len(ranks)

    def errors(self) -> dict[int, float]:
        """The top-k error so far for every k; raises ValueError before the first batch."""
        if self.count == 0:
            raise ValueError("the meter has seen no image yet; call update(logits, targets) first")
        return {k: wrong / self.count for k, wrong in self._wrong.items()}


def confusion_matrix(predictions: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """How often each true class (row) was taken for each class (column), int64; ValueError where these don't fit."""
    check_whole(num_classes=num_classes)
    _check_classes("predictions", predictions, num_classes)
    _check_classes("targets", targets, num_classes)
    if len(predictions) != len(targets):
        raise ValueError(f"guesses and targets are as many; got {len(predictions)} and {len(targets)}")
    cells = targets.long() * num_classes + predictions.long().to(targets.device)
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def checked_ks(ks: Iterable[int], classes: float = math.inf) -> tuple[int, ...]:
    """The k asked for, each once; raises ValueError where one is no whole number from 1 to the number of classes."""
    ks = tuple(ks) if isinstance(ks, Iterable) else (ks,)
    for k in ks or ("no k",):
        if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= k <= classes:
            limit = "number of classes" if classes == math.inf else f"{classes} classes"
            raise ValueError(f"k is a whole number from 1 to the {limit}; got {k!r}")
    return tuple(dict.fromkeys(map(int, ks)))


def _check_classes(name: str, values: Tensor, num_classes: int) -> None:
    if not isinstance(values, Tensor) or values.ndim != 1 or values.dtype not in _CLASS_TYPES:
        raise ValueError(f"{name} are whole class numbers [N]; got {described(values)}")
    if len(values) == 0:
        raise ValueError(f"{name} are empty: a rate over no image is not defined")
    for value in map(int, values.aminmax()):
        if not 0 <= value < num_classes:
            allowed = f"class numbers from 0 to {num_classes - 1} for {num_classes} classes"
            raise ValueError(f"{name} are {allowed}; got {value}")
