"""Images in, tensors out: Fashion-MNIST, the photographs, the published figures, augmentation."""

import csv
import gzip
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from numbers import Integral
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from course_utils.words import check_whole, described

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # red, green, blue; the constants of every torchvision ImageNet model
IMAGENET_STD = (0.229, 0.224, 0.225)
LONGEST = 20  # times as long as wide
FASHION_MNIST_CLASSES = "T-shirt/top|Trouser|Pullover|Dress|Coat|Sandal|Shirt|Sneaker|Bag|Ankle boot"
FASHION_MNIST_MD5 = {  # published with the data set (Xiao, Rasul & Vollgraf 2017, README)
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
CURE = "get them back by `git checkout -- data` in a clone, or set COURSE_DATA to the folder `data` of one."

Augment, RNG = Callable[..., Tensor], torch.Generator | None


def data_folder() -> Path:
    """The folder that the environment variable COURSE_DATA names, else `data` of the course's repository."""
    named = os.environ.get("COURSE_DATA")
    return Path(named).expanduser() if named else Path(__file__).resolve().parents[1] / "data"


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Labelled images held in memory: float32 [N, C, H, W], normalised, and long [N], indices into `classes`.

    mean, std: one number for each channel (or one for all), the normalisation that `.pixels()` undoes.
    Raises ValueError where shapes, types or label range do not fit together.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        _check_images(self.images)
        for values in (self.mean, self.std):
            _per_channel(values, self.images)
        wanted = f"torch.int64 [{len(self)}]"
        if not isinstance(self.labels, Tensor) or described(self.labels) != wanted:
            raise ValueError(f"labels must be a tensor {wanted}, one each, not {described(self.labels)}.")
        low, high = map(int, self.labels.aminmax()) if len(self) else (0, -1)
        if low < 0 or high >= len(self.classes):
            raise ValueError(f"labels must lie in 0 to {len(self.classes) - 1}, not {low} to {high}.")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        return f"ImageSet({len(self):,} images of {size}, {len(self.classes)} classes)"

    def batches(self, batch_size: int, shuffle=False, generator: RNG = None, augment: Augment | None = None):
        """An iterator of pairs (images, labels) until every image was given once; the last batch may be short.

        Without shuffle a batch is a view of the set: do not write to it. `generator`, on the CPU, decides order and
        augmentation; `augment` is called with each batch as `augment(images, generator=generator)`, so `random_flip`
        and `functools.partial(random_crop, padding=2)` fit as they are. Raises ValueError for a batch size below 1.
        """
        check_whole(batch_size=batch_size)
        places = [slice(start, start + batch_size) for start in range(0, len(self), batch_size)]
        pairs = ((self.images[at], self.labels[at]) for at in places)
        if shuffle:
            order = torch.randperm(len(self), generator=generator).to(self.labels.device)
            pairs = ((self.images.index_select(0, order[at]), self.labels[order[at]]) for at in places)
        if augment is None:
            return pairs
        return ((augment(images, generator=generator), labels) for images, labels in pairs)

    def subset(self, which, *, balanced: bool = False, generator: RNG = None) -> "ImageSet":
        """Part of the set: the first `which` images, or those at the indices (or the boolean mask) `which`.

        For a number, a generator draws them at random instead of from the front, and `balanced=True` takes as many
        of each class. Raises ValueError where there are not enough images, or not as many can be of each class.
        """
        counted = isinstance(which, Integral) and not isinstance(which, bool)
        if not counted and (balanced or generator is not None):
            raise ValueError("balanced and generator choose images for a number, not for given indices.")
        rows = self._choose(which, balanced, generator) if counted else self._rows(which)
        rows = rows.to(self.labels.device)
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def _rows(self, which: Sequence[int] | Tensor) -> Tensor:
        """What NumPy, which knows lists, ranges, arrays and masks of any kind, finds at `which`."""
        where = rows = np.array(None)
        with suppress(TypeError, ValueError, IndexError, RuntimeError):
            where = which.numpy(force=True) if isinstance(which, Tensor) else np.array(which)
            rows = np.arange(len(self))[where if where.size else []]
        if rows.ndim != 1 or where.ndim != 1:
            allowed = f"a number, whole numbers from -{len(self)} to {len(self) - 1} or a mask of {len(self)}"
            raise ValueError(f"a subset takes {allowed}, not {' '.join(repr(which).split()):.60}.")
        return torch.from_numpy(rows)

    def _choose(self, count: int, balanced: bool, generator: RNG) -> Tensor:
        order = torch.randperm(len(self), generator=generator) if generator else torch.arange(len(self))
        labels = self.labels.cpu()[order] * balanced  # else all images are in one group
        groups = [(labels == label).nonzero()[:, 0] for label in range(len(self.classes) if balanced else 1)]
        fewest = min(map(len, groups))
        each, rest = divmod(count, len(groups))
        if rest or not 0 <= each <= fewest:
            which = f"of each of its {len(groups)} classes" if balanced else "of them"
            raise ValueError(f"a subset of {len(self)} images takes 0 to {fewest} {which}, not {count}.")
        return order[torch.cat([group[:each] for group in groups]).sort().values]

    def pixels(self) -> Tensor:
        """The images as they look: normalisation undone, values 0 (black) to 1."""
        return to_pixels(self.images, self.mean, self.std)


def to_pixels(images: Tensor, mean=IMAGENET_MEAN, std=IMAGENET_STD) -> Tensor:
    """Undo a normalisation for display, by default `preprocess`'s: values 0 to 1, of [C, H, W] or [N, C, H, W].

    Raises ValueError for other shapes, and where mean or std have neither one number nor one for each channel.
    """
    if not isinstance(images, Tensor) or images.ndim not in (3, 4) or not images.is_floating_point():
        raise ValueError(f"to_pixels takes float images [C, H, W] or [N, C, H, W], not {described(images)}.")
    return (images * _per_channel(std, images) + _per_channel(mean, images)).clamp(0, 1)


def _per_channel(values: Sequence[float], images: Tensor) -> Tensor:
    channels = images.shape[-3]
    numbers = torch.zeros(0)
    with suppress(TypeError, ValueError, RuntimeError):
        numbers = torch.tensor(values, dtype=images.dtype)
    if numbers.ndim > 1 or numbers.numel() not in (1, channels) or not numbers.isfinite().all():
        given = " ".join(repr(values).split())
        raise ValueError(f"mean and std have one number or {channels}, one for each channel, not {given}.")
    return numbers.view(-1, 1, 1).to(images.device)


def _check_images(images: Tensor, channels: str | int = "C") -> None:
    is_batch = isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point()
    if not is_batch or channels not in ("C", images.shape[1]):
        raise ValueError(f"images must be a float tensor [N, {channels}, H, W], not {described(images)}.")


def fashion_mnist() -> tuple[ImageSet, ImageSet]:
    """Fashion-MNIST as (train, test): 60,000 and 10,000 images [1, 28, 28] of ten kinds of clothing.

    Both are normalised by the mean and standard deviation of all training pixels. Reads the official files as they
    are; raises FileNotFoundError or ValueError, naming the file, where one is missing or damaged.
    Source: Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747.
    """
    train, train_labels, test, test_labels = map(_read_idx, FASHION_MNIST_MD5, (16, 8, 16, 8))
    pixels = [part.view(-1, 1, 28, 28) / 255 for part in (train, test)]
    mean, std = pixels[0].mean(), pixels[0].std()
    rest = FASHION_MNIST_CLASSES.split("|"), (mean.item(),), (std.item(),)
    labelled = zip(pixels, (train_labels, test_labels), strict=True)
    return tuple(ImageSet(part.sub_(mean).div_(std), labels.long(), *rest) for part, labels in labelled)


def _read_idx(name: str, header_bytes: int) -> Tensor:
    path = data_folder() / "FashionMNIST" / "raw" / name
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise FileNotFoundError(f"The data file {path} cannot be read ({error.strerror}): {CURE}") from None
    if hashlib.md5(packed, usedforsecurity=False).hexdigest() != FASHION_MNIST_MD5[name]:
        raise ValueError(f"The data file {path} is damaged (its MD5 is not the published one): {CURE}")
    # a bytearray, because torch wants memory that may be written
    return torch.frombuffer(bytearray(gzip.decompress(packed)), dtype=torch.uint8, offset=header_bytes)


def random_crop(images: Tensor, padding: int, generator: RNG = None) -> Tensor:
    """Shift each image of [N, C, H, W] by up to `padding` pixels each way, its edge pixels repeated beyond.

    Raises ValueError for a negative padding.
    Source: the CIFAR-10 augmentation of He et al. 2016, section 4.2, whose padding is black.
    """
    _check_images(images)
    check_whole(0, padding=padding)
    count, channels, height, width = images.shape
    shifts = torch.randint(-padding, padding + 1, (2, count, 1), generator=generator)
    rows = (shifts[0] + torch.arange(height)).clamp(0, height - 1)
    columns = (shifts[1] + torch.arange(width)).clamp(0, width - 1)
    positions = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, height * width)
    positions = positions.expand(-1, channels, -1).to(images.device)
    return images.flatten(2).gather(2, positions).view(images.shape)


def random_flip(images: Tensor, generator: RNG = None) -> Tensor:
    """Mirror each image of [N, C, H, W] left to right with probability one half (Krizhevsky 2012, section 4.1)."""
    _check_images(images)
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored.to(images.device), images.flip(-1), images)


def rgb_covariance(images: Tensor) -> Tensor:
    """Covariance [3, 3] of red, green and blue over all pixels of images [N, 3, H, W], else a ValueError."""
    _check_images(images, channels=3)
    return torch.cov(images.transpose(0, 1).flatten(1))


def pca_lighting(images: Tensor, covariance: Tensor | None = None, generator: RNG = None, std=0.1) -> Tensor:
    """Add to each image one colour, drawn along the principal axes of the colours of a data set.

    images: [N, 3, H, W], pixels 0 to 1 and not yet normalised: an eigenvalue is a variance, so the size of the
    change depends on the unit. The result is not clamped. covariance: [3, 3] from `rgb_covariance`, or that of the
    images given. std: of the factors alpha, drawn anew for each image and axis. Raises ValueError for other shapes.
    Source: Krizhevsky et al. 2012, section 4.1: [p1 p2 p3] [α1 λ1, α2 λ2, α3 λ3]^T.
    """
    _check_images(images, channels=3)
    covariance = rgb_covariance(images) if covariance is None else covariance
    if not isinstance(covariance, Tensor) or covariance.shape != (3, 3) or not covariance.isfinite().all():
        raise ValueError(f"a covariance of colours is a finite tensor [3, 3], not {described(covariance)}.")
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance.to(images))
    alphas = std * torch.randn(len(images), 3, generator=generator).to(images)
    return images + ((alphas * eigenvalues) @ eigenvectors.T)[:, :, None, None]


def ten_crop(images: Tensor, size: int) -> Tensor:
    """Of each image of [N, C, H, W] four corners and the centre, then of its mirror image: [N, 10, C, size, size].

    Raises ValueError where the images are smaller than the crop.
    Source: Krizhevsky et al. 2012, section 4.1, where the ten predictions are averaged.
    """
    from torchvision.transforms.functional import ten_crop as crops  # slow to import, so only when asked for

    _check_images(images)
    check_whole(size=size)
    if size > min(images.shape[2:]):
        raise ValueError(f"a crop of {size} pixels does not fit images of {list(images.shape[2:])} pixels.")
    return torch.stack(crops(images, size), dim=1)


@dataclass(frozen=True, eq=False)
class Photo:
    """A free photograph with its ImageNet class: `label` is the index, `class_name` the word for it."""

    name: str
    image: Image.Image
    class_name: str
    label: int
    credit: str
    licence: str
    source: str


def photos() -> list[Photo]:
    """The photographs of `data/photos`, as RGB images, in the order of `photos.csv`."""
    folder, rows = data_folder() / "photos", (row.values() for row in read_csv("photos/photos"))
    return [Photo(Path(file).stem, as_rgb(Image.open(folder / file)), *about) for file, *about in rows]


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Names of the 1000 ILSVRC classes, in the order of the labels."""
    from torchvision.models import AlexNet_Weights  # slow to import, so only when asked for

    return tuple(AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


def preprocess(image: Image.Image, size: int = 224) -> Tensor:
    """A photograph as ImageNet networks take it: float32 [3, size, size], normalised; `to_pixels` is the way back.

    Resizes the shorter side to size / 0.875 (256 for 224) and cuts out the centre. Of an image that is more than
    twenty times as long as wide only the middle is looked at, since the whole would be resized to gigabytes.
    Raises ValueError for a size below 1 and for what `as_rgb` refuses.
    """
    from torchvision.models import AlexNet_Weights  # slow to import, so only when asked for

    check_whole(size=size)
    image = as_rgb(image)
    width, height = image.size
    left, top = (max(0, side - LONGEST * min(image.size)) // 2 for side in image.size)
    image = image.crop((left, top, width - left, height - top))
    return AlexNet_Weights.IMAGENET1K_V1.transforms(crop_size=size, resize_size=size * 8 // 7)(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """A PIL image in 8-bit RGB as a viewer shows it, upright and on white; ValueError where its range is not known."""
    if not isinstance(image, Image.Image) or not min(image.size):
        raise ValueError(f"a photograph is a PIL image with pixels, not {described(image)}.")
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"an image of mode {image.mode!r} has no known range: make it 8-bit first.")
        image = Image.fromarray((values >> 8).astype(np.uint8))  # of 16 bits
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def read_csv(name: str) -> list[dict[str, str | int | float | None]]:
    """The rows of `data/<name>.csv` with numbers as numbers, empty fields as None; ValueError for no such table."""

    def value(text: str) -> str | int | float | None:
        for kind in (int, float):
            with suppress(ValueError):
                return kind(text)
        return text or None

    path = data_folder() / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in data_folder().glob("*.csv")))
        raise ValueError(f"No table {name!r} stands in {data_folder()}, only {known or 'none'}; {CURE}")
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def best_runs(table: str, **setting: str | int | float) -> list[dict[str, str | int | float | None]]:
    """The stored runs of one setting, a row for each seed, at the learning rate with the lowest validation error.

    `table` is one of `tools/long_runs.py`, such as "vgg_depth". Raises ValueError for a setting that was not run.
    """
    rows = [row for row in read_csv(table) if setting.items() <= row.items()]
    if not rows:
        raise ValueError(f"{table} has no run of {setting}; its columns say what was varied.")
    rates = dict.fromkeys(row["learning_rate"] for row in rows)
    runs = [[row for row in rows if row["learning_rate"] == rate] for rate in rates]
    return min(runs, key=lambda seeds: fmean(run["validation_error"] for run in seeds))
