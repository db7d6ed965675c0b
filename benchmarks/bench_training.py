"""Images a second of a LeNet-5 epoch: `fit`, a bare loop over the same batches, and the usual DataLoader.

Goal: at most 3 % more time than the bare loop. The DataLoader is measured with the transforms that no training
can do without, and with random shifts and mirror images too; `fit` then does the same to each batch.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from bench_table import attempt, progress, row
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from course_utils.data import Augment, ImageSet, fashion_mnist, random_crop, random_flip
from course_utils.models import lenet5
from course_utils.training import fit, one_cycle, seed_everything

BATCHES, RATE = (128, 512), 0.05
SHIFT = 2  # pixels
ROUNDS, LOADER_ROUNDS = 10, 3


def bare_loop(train: ImageSet, batch: int) -> float:
    """Seconds of an epoch with nothing but the training step: the same batches, layout and schedule as `fit`."""
    model = lenet5(input_size=28, activation="relu").to(memory_format=torch.channels_last).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, weight_decay=5e-4, nesterov=True)
    rates = iter(one_cycle(-(-len(train) // batch), RATE))
    start = time.perf_counter()
    order = torch.randperm(len(train))
    for chosen in order.split(batch):
        images = train.images[chosen].to(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(images), train.labels[chosen])
        sgd.zero_grad()
        loss.backward()
        sgd.param_groups[0]["lr"] = next(rates)
        sgd.step()
    return time.perf_counter() - start


def our_fit(train: ImageSet, batch: int, augment: Augment | None = None) -> float:
    """Seconds of an epoch of `fit`, with its progress bar."""
    model = lenet5(input_size=28, activation="relu")
    return fit(model, train, epochs=1, batch_size=batch, learning_rate=RATE, augment=augment).seconds


def shift_and_flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A whole batch at once."""
    return random_flip(random_crop(images, SHIFT, generator=generator), generator=generator)


class PixelDataset(torch.utils.data.Dataset):
    """The usual way: one uint8 image at a time, turned into a normalised tensor by transforms."""

    def __init__(self, train: ImageSet, augment: bool) -> None:
        self.pixels = (train.pixels() * 255).round().to(torch.uint8).numpy()
        self.labels = train.labels
        size = train.images.shape[2:]
        crop = v2.RandomCrop(size, padding=SHIFT, padding_mode="edge")
        to_float = v2.ToDtype(torch.float32, scale=True)
        normalize = v2.Normalize(list(train.mean), list(train.std))
        changes = [crop, v2.RandomHorizontalFlip()] if augment else []
        self.transform = v2.Compose([v2.ToImage(), *changes, to_float, normalize])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, n: int) -> tuple:
        return self.transform(self.pixels[n].transpose(1, 2, 0)), self.labels[n]


def data_loader(train: ImageSet, batch: int, workers: int, augment: bool = False) -> float:
    """Seconds of an epoch through a DataLoader."""
    model = lenet5(input_size=28, activation="relu").train()
    sgd = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    loader = DataLoader(PixelDataset(train, augment), batch, shuffle=True, num_workers=workers)
    start = time.perf_counter()
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    return time.perf_counter() - start


def taking_turns(
    ways: dict[str, Callable[[ImageSet, int], float]], train: ImageSet, batch: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds of an epoch by each way, `rounds` times; one after the other, so that all meet the same disturbances."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, run in ways.items():
            progress(f"training: batch {batch}, round {number + 1}, {len(train):,} images, {name}")
            times[name].append(run(train, batch))
    return times


def overhead(train: ImageSet, batch: int, rounds: int) -> list[dict]:
    """`fit` beside the bare loop, taking turns: the best time of each, since a disturbance only ever adds."""
    times = taking_turns({"fit": our_fit, "bare loop": bare_loop}, train, batch, rounds)
    best = [min(each) for each in times.values()]
    note = f"best of {rounds} with {len(train):,} images"
    what = f"LeNet-5 with fit, batch {batch}; theirs: bare loop"
    return [row(what, *best, unit="s", goal="ratio <= 1.03", note=note)]


def beside_loader(train: ImageSet, batch: int, rounds: int, augment: bool = False) -> list[dict]:
    """A row for each number of workers; the ways take turns, medians."""
    ways = {"fit": partial(our_fit, augment=shift_and_flip if augment else None)}
    ways |= {f"{n} workers": partial(data_loader, workers=n, augment=augment) for n in (0, 2)}
    times = taking_turns(ways, train, batch, rounds)
    rate = {name: len(train) / statistics.median(each) for name, each in times.items()}
    transforms = "transforms with shifts and mirror images" if augment else "transforms"
    what = f"LeNet-5 epoch with fit, batch {batch}; theirs: Dataset, DataLoader, {transforms},"
    return [row(f"{what} {name}", rate["fit"], rate[name], unit="images/s") for name in list(ways)[1:]]


def rows(
    train: ImageSet | None = None, rounds: int = ROUNDS, loader_rounds: int = LOADER_ROUNDS
) -> Iterator[dict]:
    """The rows of each batch size."""
    seed_everything(0)
    train = train or fashion_mnist()[0]
    part = train.subset(len(train) // 3)
    for batch in BATCHES:
        yield from attempt(f"overhead, batch {batch}", lambda batch=batch: overhead(part, batch, rounds))
        yield from attempt(
            f"DataLoader, batch {batch}", lambda batch=batch: beside_loader(train, batch, loader_rounds)
        )
    augmented = f"DataLoader, batch {BATCHES[-1]}, shifts and mirror images"
    yield from attempt(augmented, lambda: beside_loader(train, BATCHES[-1], loader_rounds, augment=True))
