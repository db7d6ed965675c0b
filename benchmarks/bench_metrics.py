"""Top-k errors of ImageNet's validation set beside torch.topk, torchmetrics, scikit-learn and torchvision.

The errors for k = 1 to 5 of 50,000 x 1,000 logits, where the others give one or two of them. Goals: at most
1.5 times one `torch.topk(5)`, and a fifteenth of two torchmetrics calls.
"""

from collections.abc import Callable, Iterator

import torch
from bench_table import progress, row, side_by_side
from sklearn.metrics import top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_accuracy

from course_utils.metrics import topk_errors

IMAGES, CLASSES, REPEATS = 50_000, 1_000, 5


def torchvision_reference(logits: torch.Tensor, targets: torch.Tensor, ks: tuple[int, ...]) -> list[float]:
    """`accuracy` of torchvision's references/classification/utils.py, for comparison."""
    found = logits.topk(max(ks), dim=1, largest=True, sorted=True).indices.t().eq(targets[None])
    return [found[:k].flatten().sum(dtype=torch.float32).item() / len(targets) for k in ks]


def rivals(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[Callable[[], object], str]]:
    """By name: a call, and the goal of our time over its."""
    settings = {"num_classes": CLASSES, "average": "micro"}
    return {
        "one torch.topk(5)": (lambda: torch.topk(logits, 5), "ratio <= 1.5"),
        "torchmetrics, k = 1 and 5": (
            lambda: [multiclass_accuracy(logits, targets, top_k=k, **settings) for k in (1, 5)],
            f"ratio <= {1 / 15}",
        ),
        "scikit-learn, k = 5": (
            lambda: top_k_accuracy_score(targets.numpy(), logits.numpy(), k=5, labels=range(CLASSES)),
            "",
        ),
        "torchvision's reference, k = 1 and 5": (lambda: torchvision_reference(logits, targets, (1, 5)), ""),
    }


def rows(images: int = IMAGES, repeats: int = REPEATS) -> Iterator[dict]:
    """A row per rival."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(images, CLASSES, generator=generator)
    targets = torch.randint(0, CLASSES, (images,), generator=generator)
    for name, (run, goal) in rivals(logits, targets).items():
        progress(f"metrics: {name}")
        seconds = side_by_side(lambda: topk_errors(logits, targets, (1, 2, 3, 4, 5)), run, repeats=repeats)
        ours, theirs = (1e3 * s for s in seconds)
        yield row(f"Top-k errors, k = 1 to 5; theirs: {name}", ours, theirs, unit="ms", goal=goal)
