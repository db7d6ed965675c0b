"""Images a second: `fit`, a bare loop over the same batches, and the usual DataLoader with transforms.

    python tests/benchmarks/bench_training.py

One LeNet-5 epoch over Fashion-MNIST each, the three in turn and several rounds, medians. Aim: `fit` costs at
most 3 % more than the bare loop. Run it on a quiet machine.
"""

import statistics
import time

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from course_utils.data import ImageSet, fashion_mnist
from course_utils.models import lenet5
from course_utils.training import fit, one_cycle, seed_everything

BATCH, ROUNDS, RATE = 128, 5, 0.05


def bare_loop(train: ImageSet) -> float:
    """Seconds of an epoch with nothing but the training step: the same batches, layout and schedule as `fit`."""
    model = lenet5(input_size=28, activation="relu").to(memory_format=torch.channels_last).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, weight_decay=5e-4, nesterov=True)
    rates = iter(one_cycle(-(-len(train) // BATCH), RATE))
    start = time.perf_counter()
    order = torch.randperm(len(train))
    for chosen in order.split(BATCH):
        images = train.images[chosen].to(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(images), train.labels[chosen])
        sgd.zero_grad()
        loss.backward()
        sgd.param_groups[0]["lr"] = next(rates)
        sgd.step()
    return time.perf_counter() - start


def our_fit(train: ImageSet) -> float:
    """Seconds of an epoch of `fit`, with its progress bar."""
    return fit(
        lenet5(input_size=28, activation="relu"), train, epochs=1, batch_size=BATCH, learning_rate=RATE
    ).seconds


class PixelDataset(torch.utils.data.Dataset):
    """The usual way: one uint8 image at a time, turned into a normalised tensor by transforms."""

    def __init__(self, train: ImageSet) -> None:
        self.pixels = (train.pixels() * 255).round().to(torch.uint8).numpy()
        self.labels = train.labels
        to_float = v2.ToDtype(torch.float32, scale=True)
        self.transform = v2.Compose([v2.ToImage(), to_float, v2.Normalize(list(train.mean), list(train.std))])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, n: int) -> tuple:
        return self.transform(self.pixels[n].transpose(1, 2, 0)), self.labels[n]


def data_loader(train: ImageSet, workers: int) -> float:
    """Seconds of an epoch through a DataLoader."""
    model = lenet5(input_size=28, activation="relu").train()
    sgd = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    loader = DataLoader(PixelDataset(train), BATCH, shuffle=True, num_workers=workers)
    start = time.perf_counter()
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    return time.perf_counter() - start


def rows() -> list[dict]:
    """A row per way: images a second, and how many times a bare loop's time it takes."""
    seed_everything(0)
    train, _ = fashion_mnist()
    ways = {"bare loop": bare_loop, "fit": our_fit}
    times = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, run in ways.items():
            times[name].append(run(train))
    for workers in (0, 2):
        times[f"DataLoader, {workers} workers"] = [data_loader(train, workers) for _ in range(2)]
    bare = statistics.median(times["bare loop"])
    return [
        {
            "what": name,
            "images/s": len(train) / statistics.median(t),
            "times bare": statistics.median(t) / bare,
        }
        for name, t in times.items()
    ]


if __name__ == "__main__":
    for row in rows():
        print(
            f"{row['what']:24} {row['images/s']:10,.0f} images/s {row['times bare']:6.3f} times a bare loop"
        )
