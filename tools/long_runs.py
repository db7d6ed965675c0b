"""Train small networks to the end and write the tables that lectures 4 to 6 read beside their own short runs.

    python tools/long_runs.py vgg_depth    # or another table: data/vgg_depth.csv, at most 40 minutes on one core

Each row is one network: its setting, its learning rate and seed, and three errors (fractions, in evaluation
mode): on the pictures it was trained on, on 5,000 others that were kept for choosing the rate, and on the
10,000 of the test set.
"""

import argparse
import csv
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import nn
from tqdm import tqdm

from course_utils import data, models, training

SEEDS = range(3)
GUESSING = 0.9  # the error of a run whose loss did not stay finite
ERRORS = ("training_error", "validation_error", "test_error")


def small_vgg(convolutions: int, batch_norm: bool, initialisation: str) -> nn.Module:
    """Three equal stages; "0.01" and "0.1" draw all weights with that standard deviation."""
    counts = (convolutions // 3,) * 3
    net = models.mini_vgg(counts, batch_norm=batch_norm, width=16)  # He's rule
    if initialisation != "he":
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                draw_weights(layer, initialisation)
    return net


def draw_weights(layer: nn.Conv2d | nn.Linear, initialisation: str) -> None:
    if initialisation == "glorot":
        nn.init.xavier_uniform_(layer.weight)
    elif initialisation == "torch":
        layer.reset_parameters()
    else:
        nn.init.normal_(layer.weight, std=float(initialisation))


def small_resnet(kind: str, layers: int) -> nn.Module:
    """Lecture 6's narrow networks, plain or residual."""
    make = {"plain": models.plain_cifar, "residual": models.resnet_cifar}[kind]
    return make(layers, in_channels=1, widths=(8, 16, 32), stem=(5, 4, 2))


def vgg_settings() -> list[tuple]:
    depths = itertools.product((3, 6, 12), (0, 1), ["he"])
    starts = itertools.product([12], [0], ("glorot", "torch", "0.01", "0.1"))
    with_norm = itertools.product([12], [1], ("torch",))
    return [*depths, *starts, *with_norm]


def inception_head(head: str) -> nn.Module:
    """Lecture 4's three convolutions under one of two heads."""
    layers = []
    for channels, out in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if out < 64 else []
    if head == "average pooling":
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 7 * 7, 256), nn.ReLU(), nn.Linear(256, 10))


def small_googlenet(start: str, heads: int) -> nn.Module:
    return models.mini_googlenet(aux_logits=bool(heads), batch_norm=False, initialisation=start)


@dataclass(frozen=True)
class Table:
    """What one table holds: the columns and values of its settings, and how a network of each is trained."""

    columns: tuple[str, ...]
    settings: list[tuple]
    make: Callable[..., nn.Module]
    rates: tuple[float, ...]
    count: int  # pictures to train on
    epochs: int = 12
    options: dict = field(default_factory=dict)  # of training.fit


TABLES = {
    "vgg_depth": Table(
        ("convolutions", "batch_norm", "initialisation"),
        vgg_settings(),
        small_vgg,
        rates=(0.01, 0.03, 0.1, 0.3),
        count=3000,
    ),
    "resnet_depth": Table(
        ("kind", "layers"),
        list(itertools.product(("plain", "residual"), (20, 56))),
        small_resnet,
        rates=(0.03, 0.1, 0.3),
        count=4000,
    ),
    "inception_heads": Table(
        ("head",),
        [("average pooling",), ("fully connected",)],
        inception_head,
        rates=(0.03, 0.1),
        count=6000,
        epochs=20,
    ),
    "inception_aux": Table(
        ("start", "heads"),
        list(itertools.product(("torch", "glorot"), (0, 1))),
        small_googlenet,
        rates=(0.03, 0.1),
        count=3000,
        epochs=6,
        options={"batch_size": 64, "loss": models.auxiliary_loss},
    ),
}


@cache
def pictures(count: int) -> tuple[data.ImageSet, data.ImageSet, data.ImageSet]:
    """To train on, to choose the rate by, and to judge by."""
    everything, test = data.fashion_mnist()
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
    return everything.subset(order[:count]), everything.subset(order[count : count + 5000]), test


def run(table: Table, setting: tuple, rate: float, seed: int) -> tuple[list[float], str]:
    """The three errors of one run, and why it stopped early, if it did."""
    torch.manual_seed(seed)
    net, parts = table.make(*setting), pictures(table.count)
    options = {"epochs": table.epochs, "learning_rate": rate, "seed": seed, "progress": False} | table.options
    history = training.fit(net, parts[0], **options)
    if history.stopped:
        return [GUESSING] * 3, history.stopped
    return [training.evaluate(net, part, ks=(1,), progress=False).top1_error for part in parts], ""


def main(name: str) -> None:
    torch.set_num_threads(1)
    table = TABLES[name]
    with (data.data_folder() / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*table.columns, "learning_rate", "seed", *ERRORS, "stopped"))
        todo = list(itertools.product(table.settings, table.rates, SEEDS))
        for setting, rate, seed in tqdm(todo, file=sys.stdout):
            errors, stopped = run(table, setting, rate, seed)
            writer.writerow((*setting, rate, seed, *(f"{error:.4f}" for error in errors), stopped))
            file.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    main(parser.parse_args().table)
