"""Train small networks to the end and write the tables of lectures 5 and 6, data/vgg_depth.csv and resnet_depth.csv.

    python tools/long_runs.py vgg_depth       # about 40 minutes on one processor core
    python tools/long_runs.py resnet_depth    # about 20 minutes

Each row is one network, trained for 12 passes over few pictures: its setting, its seed and three errors
(fractions, in evaluation mode): on those pictures, on 5,000 others that were kept for choosing the learning
rate, and on the 10,000 of the test set.
"""

import argparse
import csv
import itertools
import sys
from functools import cache

import torch
from torch import nn
from tqdm import tqdm

from course_utils import data, models, training

EPOCHS = 12
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


# Of each table: columns of a setting, the settings, how its network is made, the rates, how many pictures.
TABLES = {
    "vgg_depth": (
        ("convolutions", "batch_norm", "initialisation"),
        vgg_settings(),
        small_vgg,
        (0.01, 0.03, 0.1, 0.3),
        3000,
    ),
    "resnet_depth": (
        ("kind", "layers"),
        list(itertools.product(("plain", "residual"), (20, 38, 56))),
        small_resnet,
        (0.03, 0.1, 0.3),
        4000,
    ),
}


@cache
def pictures(count: int) -> tuple[data.ImageSet, data.ImageSet, data.ImageSet]:
    """To train on, to choose the rate by, and to judge by."""
    everything, test = data.fashion_mnist()
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
    return everything.subset(order[:count]), everything.subset(order[count : count + 5000]), test


def run(table: str, setting: tuple, rate: float, seed: int) -> tuple[list[float], str]:
    """The three errors of one run, and why it stopped early, if it did."""
    _, _, make, _, count = TABLES[table]
    torch.manual_seed(seed)
    net, parts = make(*setting), pictures(count)
    history = training.fit(net, parts[0], epochs=EPOCHS, learning_rate=rate, seed=seed, progress=False)
    if history.stopped:
        return [GUESSING] * 3, history.stopped
    return [training.evaluate(net, part, ks=(1,), progress=False).top1_error for part in parts], ""


def main(table: str) -> None:
    torch.set_num_threads(1)
    columns, settings, _, rates, _ = TABLES[table]
    with (data.data_folder() / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*columns, "learning_rate", "seed", *ERRORS, "stopped"))
        for setting, rate, seed in tqdm(list(itertools.product(settings, rates, SEEDS)), file=sys.stdout):
            errors, stopped = run(table, setting, rate, seed)
            writer.writerow((*setting, rate, seed, *(f"{error:.4f}" for error in errors), stopped))
            file.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    main(parser.parse_args().table)
