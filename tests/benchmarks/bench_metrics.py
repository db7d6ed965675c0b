"""Time of top-k errors, beside one torch.topk, torchmetrics, scikit-learn and torchvision's reference code.

    python tests/benchmarks/bench_metrics.py

The errors for k = 1 to 5 of 50,000 x 1,000 logits (ImageNet's validation set). Aims: at most 1.5 times one
`torch.topk(5)` of them, and at least 15 times faster than two torchmetrics calls.
"""

import statistics
import time
from collections.abc import Callable

import torch
from sklearn.metrics import top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_accuracy

from course_utils.metrics import topk_errors

IMAGES, CLASSES, REPEATS = 50_000, 1_000, 7


def median_seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of a call, after one call that warms up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def torchvision_reference(logits: torch.Tensor, targets: torch.Tensor, ks: tuple[int, ...]) -> list[float]:
    """`accuracy` of torchvision's references/classification/utils.py, for comparison."""
    found = logits.topk(max(ks), dim=1, largest=True, sorted=True).indices.t().eq(targets[None])
    return [found[:k].flatten().sum(dtype=torch.float32).item() / len(targets) for k in ks]


def rows() -> list[dict]:
    """A row per rival: its seconds, and how many times ours."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(IMAGES, CLASSES, generator=generator)
    targets = torch.randint(0, CLASSES, (IMAGES,), generator=generator)
    ours = median_seconds(lambda: topk_errors(logits, targets, (1, 2, 3, 4, 5)))
    torchmetrics = {"num_classes": CLASSES, "average": "micro"}
    rivals = {
        "one torch.topk(5)": (lambda: torch.topk(logits, 5), REPEATS),
        "torchmetrics, k = 1 and k = 5": (
            lambda: [multiclass_accuracy(logits, targets, top_k=k, **torchmetrics) for k in (1, 5)],
            3,
        ),
        "scikit-learn, k = 5": (
            lambda: top_k_accuracy_score(targets.numpy(), logits.numpy(), k=5, labels=range(CLASSES)),
            3,
        ),
        "torchvision's reference, k = 1 and 5": (
            lambda: torchvision_reference(logits, targets, (1, 5)),
            REPEATS,
        ),
    }
    table = [{"what": "course_utils.metrics, k = 1 to 5", "seconds": ours, "times ours": 1.0}]
    for name, (run, repeats) in rivals.items():
        seconds = median_seconds(run, repeats)
        table.append({"what": name, "seconds": seconds, "times ours": seconds / ours})
    return table


if __name__ == "__main__":
    for row in rows():
        print(f"{row['what']:40} {row['seconds'] * 1e3:9.1f} ms {row['times ours']:7.2f} times ours")
