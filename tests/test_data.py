import hashlib
import io
import math
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import torchvision.transforms.functional as TF
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from course_utils import data
from course_utils.data import ImageSet

RAW = data.data_folder() / "FashionMNIST" / "raw"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(count: int, classes: int = 4) -> ImageSet:
    """Image i has the value i everywhere and label i % classes, so a mix-up shows."""
    images = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return ImageSet(images, torch.arange(count) % classes, tuple(f"class {i}" for i in range(classes)))


def numbers(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].long().tolist()


# Fashion-MNIST


@pytest.fixture(scope="module")
def fashion() -> tuple[ImageSet, ImageSet]:
    return data.fashion_mnist()


def test_fashion_mnist_is_normalised_by_its_training_pixels(fashion):
    train, test = fashion
    assert (train.images.shape, test.images.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert train.images.dtype == torch.float32 and train.labels.dtype == torch.long
    assert abs(train.images.mean().item()) < 1e-4 and abs(train.images.std().item() - 1) < 1e-4
    assert (test.mean, test.std) == (train.mean, train.std)
    assert train.labels.bincount().tolist() == [6000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10


@pytest.mark.slow
def test_fashion_mnist_is_torchvisions_from_the_same_files(fashion, tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise AssertionError("the four files are there, so nothing may be fetched")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    (tmp_path / "FashionMNIST" / "raw").mkdir(parents=True)
    for name in data.FASHION_MNIST_MD5:
        shutil.copy(RAW / name, tmp_path / "FashionMNIST" / "raw")
    for ours, is_train in zip(fashion, (True, False), strict=True):
        theirs = torchvision.datasets.FashionMNIST(root=tmp_path, train=is_train, download=True)
        assert ours.classes == tuple(theirs.classes)
        assert torch.equal(ours.labels, theirs.targets)
        pixels = ours.images.mul(ours.std[0]).add_(ours.mean[0]).mul_(255).round_().to(torch.uint8)
        assert torch.equal(pixels[:, 0], theirs.data)


def test_pixels_are_those_of_the_file(fashion):
    pixels = fashion[1].subset(100).pixels()
    assert pixels.min() == 0 and pixels.max() == 1
    assert torch.allclose(pixels * 255, (pixels * 255).round(), atol=1e-3)


@pytest.mark.slow
def test_fashion_mnist_reads_a_read_only_folder_from_anywhere_and_writes_nothing(tmp_path, monkeypatch):
    raw = tmp_path / "FashionMNIST" / "raw"
    shutil.copytree(RAW, raw, ignore=shutil.ignore_patterns("*-ubyte"))
    raw.chmod(0o555)
    before = {file.name: file.stat().st_mtime_ns for file in raw.iterdir()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", ".")
    assert len(data.fashion_mnist()[1]) == 10_000
    assert {file.name: file.stat().st_mtime_ns for file in raw.iterdir()} == before
    raw.chmod(0o755)


@pytest.mark.parametrize("harm", ["missing", "cut short", "one bit"])
def test_a_missing_or_damaged_file_is_named_with_the_cure(tmp_path, monkeypatch, harm):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    tmp_path = tmp_path / "FashionMNIST" / "raw"
    tmp_path.mkdir(parents=True)
    name = "t10k-labels-idx1-ubyte.gz"
    for other in data.FASHION_MNIST_MD5:
        (tmp_path / other).symlink_to(RAW / other)
    (tmp_path / name).unlink()
    content = bytearray((RAW / name).read_bytes())
    if harm == "cut short":
        (tmp_path / name).write_bytes(content[:-100])
    elif harm == "one bit":
        content[1000] ^= 1
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileNotFoundError if harm == "missing" else ValueError) as caught:
        data.fashion_mnist()
    message = str(caught.value)
    assert (
        name in message
        and "git checkout -- data`" in message
        and "COURSE_DATA" in message
        and "\n" not in message
    )


# ImageSet


@given(
    count=st.integers(0, 40), batch_size=st.integers(1, 50), shuffle=st.booleans(), seed=st.integers(0, 99)
)
def test_batches_give_every_image_once_with_its_label(count, batch_size, shuffle, seed):
    images = numbered(count)
    batches = list(images.batches(batch_size, shuffle, seeded(seed)))
    seen = [number for batch, _ in batches for number in numbers(batch)]
    assert sorted(seen) == list(range(count)) if shuffle else seen == list(range(count))
    assert [label for _, labels in batches for label in labels.tolist()] == [number % 4 for number in seen]
    assert all(len(batch) == batch_size for batch, _ in batches[:-1])
    assert all(1 <= len(batch) <= batch_size for batch, _ in batches)


def test_the_seed_decides_order_and_augmentation():
    images = ImageSet(torch.rand(50, 1, 6, 6), torch.zeros(50, dtype=torch.long), ("only",))

    def run(seed: int) -> torch.Tensor:
        augment = partial(data.random_crop, padding=2)
        return torch.cat([batch for batch, _ in images.batches(8, True, seeded(seed), augment)])

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))
    one = seeded(3)
    first, second = (torch.cat([b for b, _ in images.batches(8, True, one)]) for _ in range(2))
    assert not torch.equal(first, second)  # the same generator goes on: each epoch has its own order


def test_augment_gets_the_batch_and_the_generator():
    given_generator = seeded()

    def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        assert generator is given_generator
        return images + 100

    batches = numbered(10).batches(4, generator=given_generator, augment=augment)
    assert [number for images, _ in batches for number in numbers(images)] == list(range(100, 110))


def test_subset_by_number_indices_and_mask():
    images = numbered(20)
    assert numbers(images.subset(3).images) == [0, 1, 2]
    assert numbers(images.subset([5, 2, -1]).images) == [5, 2, 19]
    assert numbers(images.subset(images.labels == 1).images) == [1, 5, 9, 13, 17]
    assert len(images.subset([])) == 0 and images.subset([5, 2]).labels.tolist() == [1, 2]
    drawn = numbers(images.subset(10, generator=seeded(1)).images)
    assert len(set(drawn)) == 10 and drawn != list(range(10))
    assert drawn == numbers(images.subset(10, generator=seeded(1)).images)


@given(st.lists(st.integers(-8, 7), max_size=12))
def test_indices_of_any_kind_are_torchs(which):
    images = numbered(8)
    expected = images.images[torch.tensor(which, dtype=torch.long)]
    array = np.array(which, dtype=np.int64)
    forms = [which, tuple(which), array, array[::-1][::-1], torch.tensor(which, dtype=torch.int32), [*array]]
    if min(which, default=0) >= 0:
        forms += [torch.tensor(which, dtype=torch.uint8), array.astype(np.uint16)]
    for form in forms:
        assert torch.equal(images.subset(form).images, expected)


MASK = [False, *[True] * 4, *[False] * 3]


@pytest.mark.parametrize(
    "form",
    [range(1, 5), np.arange(5)[1:], np.arange(4, 0, -1)[::-1], MASK, np.array(MASK), torch.tensor(MASK)],
)
def test_ranges_views_and_masks_choose_too(form):
    assert numbers(numbered(8).subset(form).images) == [1, 2, 3, 4]


@given(per_class=st.integers(0, 5), seed=st.none() | st.integers(0, 99))
def test_balanced_subset_has_as_many_of_each_class(per_class, seed):
    labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 9)
    images = ImageSet(torch.rand(34, 1, 2, 2), labels, ("a", "b", "c"))
    chosen = images.subset(3 * per_class, balanced=True, generator=None if seed is None else seeded(seed))
    assert chosen.labels.bincount(minlength=3).tolist() == [per_class] * 3
    assert len(chosen.images.flatten(1).unique(dim=0)) == 3 * per_class


def test_a_set_keeps_its_normalisation_and_prints_short(fashion):
    part = fashion[0].subset(30, balanced=True)
    assert (part.mean, part.std, part.classes) == (fashion[0].mean, fashion[0].std, fashion[0].classes)
    assert repr(part) == "ImageSet(30 images of 1x28x28, 10 classes)"


IMAGES, LABELS = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: ImageSet(IMAGES[0], LABELS, ("a", "b")),
        lambda: ImageSet(IMAGES.byte(), LABELS, ("a", "b")),
        lambda: ImageSet(IMAGES.numpy(), LABELS, ("a", "b")),
        lambda: ImageSet(IMAGES, LABELS.int(), ("a", "b")),
        lambda: ImageSet(IMAGES, [0, 1, 0, 1], ("a", "b")),
        lambda: ImageSet(IMAGES, LABELS[:3], ("a", "b")),
        lambda: ImageSet(IMAGES, LABELS, ("a",)),
        lambda: ImageSet(IMAGES, LABELS - 1, ("a", "b")),
        lambda: numbered(8).batches(0),
        lambda: numbered(8).batches(2.5),
        lambda: numbered(8).subset(9),
        lambda: numbered(8).subset(-1),
        lambda: numbered(8).subset([8]),
        lambda: numbered(8).subset([0.5]),
        lambda: numbered(8).subset(torch.tensor([True, False])),
        *(
            lambda which=which: numbered(8).subset(which)
            for which in (
                None,
                "12",
                "",
                {1, 2},
                {1: 2},
                [[1, 2]],
                [[1], [2, 3]],
                [None],
                ["a"],
                True,
                1.0,
                np.array(3),
                torch.tensor(3),
                torch.tensor([1.0]),
                np.array([2**63], dtype=np.uint64),
                slice(3),
                [True] * 7,
                print,
            )
        ),
        *(
            lambda mean=mean: ImageSet(torch.rand(2, 3, 4, 4), torch.tensor([0, 0]), ("a",), mean=mean)
            for mean in ((0.0,) * 5, (0.0, 0.1), (), None, "abc", ((0.1, 0.2, 0.3),), (math.nan,), [None] * 3)
        ),
        lambda: ImageSet(torch.rand(2, 1, 4, 4), torch.tensor([0, 0]), ("a",), std=(1.0, 1.0)),
        lambda: data.to_pixels(torch.zeros(2, 1, 4, 4)),
        lambda: data.to_pixels(torch.zeros(4, 4)),
        lambda: data.to_pixels(torch.zeros(3, 4, 4, dtype=torch.uint8)),
        lambda: data.to_pixels(np.zeros((3, 4, 4))),
        lambda: data.to_pixels(torch.zeros(1, 4, 4), (0.5, 0.5), (0.5,)),
        lambda: data.to_pixels(torch.zeros(3, 4, 4), torch.zeros(3, 1, 1)),
        lambda: data.preprocess(Image.new("RGB", (0, 9))),
        lambda: data.preprocess(Image.new("I", (9, 0))),
        lambda: data.preprocess(Image.new("F", (9, 9), 0.5)),
        lambda: data.preprocess(Image.new("I", (9, 9), 70_000)),
        lambda: data.preprocess(Image.new("I", (9, 9), -1)),
        lambda: data.preprocess(None),
        lambda: data.preprocess(Image.new("RGB", (9, 9)), size=None),
        lambda: data.ten_crop(IMAGES, 1.0),
        lambda: numbered(8).subset([1], balanced=True),
        lambda: numbered(8).subset(6, balanced=True),
        lambda: numbered(9).subset(12, balanced=True),
        lambda: data.random_crop(IMAGES, -1),
        lambda: data.random_crop(IMAGES, 0.5),
        lambda: data.random_crop(IMAGES[0], 1),
        lambda: data.random_flip(IMAGES.byte()),
        lambda: data.pca_lighting(IMAGES),
        lambda: data.pca_lighting(torch.rand(2, 3, 4, 4), covariance=torch.eye(2)),
        lambda: data.pca_lighting(torch.rand(2, 3, 4, 4), covariance=np.eye(3)),
        lambda: data.pca_lighting(torch.rand(1, 3, 1, 1)),  # of one pixel there is none
        lambda: data.rgb_covariance(IMAGES),
        lambda: data.ten_crop(IMAGES, 3),
        lambda: data.ten_crop(IMAGES, 0),
        lambda: data.preprocess(IMAGES),
        lambda: data.preprocess(Image.new("RGB", (9, 9)), size=0),
        lambda: data.read_csv("no_such_table"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message


# Augmentation


def test_a_crop_of_no_image_is_none():
    assert data.random_crop(torch.rand(0, 3, 6, 6), 2).shape == (0, 3, 6, 6)


def test_random_crop_gives_each_image_one_of_torchvisions_crops():
    images = torch.rand(400, 2, 5, 4, generator=seeded(5))
    padding, size = 1, [5, 4]
    cropped = data.random_crop(images, padding, seeded(6))
    counts = torch.zeros(3, 3)
    for before, after in zip(images, cropped, strict=True):
        padded = TF.pad(before, [padding], padding_mode="edge")
        matches = [
            (y, x) for y in range(3) for x in range(3) if torch.equal(TF.crop(padded, y, x, *size), after)
        ]
        assert len(matches) == 1
        counts[matches[0]] += 1
    assert counts.min() > 20  # 44 expected of each: every offset occurs, each image draws its own


def test_random_flip_mirrors_about_half_as_torchvision_does():
    images = torch.rand(400, 3, 3, 4, generator=seeded(7))
    flipped = data.random_flip(images, seeded(8))
    mirrored = [torch.equal(after, TF.hflip(before)) for before, after in zip(images, flipped, strict=True)]
    kept = [torch.equal(after, before) for before, after in zip(images, flipped, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 150 < sum(mirrored) < 250


@given(height=st.integers(3, 12), width=st.integers(3, 12), crop=st.integers(1, 12))
@settings(max_examples=30)
def test_ten_crop_is_torchvisions(height, width, crop):
    crop = min(crop, height, width)
    images = torch.rand(2, 3, height, width)
    assert torch.equal(data.ten_crop(images, crop), torch.stack(TF.ten_crop(images, crop), dim=1))


def coloured_images(count: int) -> torch.Tensor:
    mix = torch.tensor([[0.3, 0.2, 0.1], [0.0, 0.2, 0.15], [0.05, 0.0, 0.1]])
    return torch.einsum("ij,njhw->nihw", mix, torch.rand(count, 3, 6, 6, generator=seeded(9)))


def test_rgb_covariance_is_numpys():
    images = coloured_images(20)
    expected = np.cov(images.permute(1, 0, 2, 3).reshape(3, -1).numpy())
    assert np.allclose(data.rgb_covariance(images).numpy(), expected, atol=1e-6)


def test_pca_lighting_adds_one_colour_to_each_image():
    images = coloured_images(50)
    added = data.pca_lighting(images, generator=seeded(1)) - images
    assert torch.allclose(added, added[:, :, :1, :1].expand_as(added), atol=1e-6)
    assert len(added[:, :, 0, 0].unique(dim=0)) == 50
    assert torch.equal(data.pca_lighting(images, std=0), images)


def test_pca_lighting_has_the_papers_distribution():
    # alpha_i λ_i along p_i with sd 0.1 means a covariance of 0.1² P Λ² Pᵀ = 0.01 C C: no eigenvectors needed
    covariance = data.rgb_covariance(coloured_images(200))
    added = data.pca_lighting(torch.zeros(200_000, 3, 1, 1), covariance, seeded(2))[:, :, 0, 0]
    expected = 0.01 * covariance @ covariance
    assert added.mean(0).abs().max() < 0.02 * expected.diagonal().max().sqrt()
    assert torch.allclose(torch.cov(added.T), expected, rtol=0, atol=0.02 * expected.max().item())


@pytest.mark.parametrize(
    "augment",
    [partial(data.random_crop, padding=2), data.random_flip, data.pca_lighting],
    ids=["random_crop", "random_flip", "pca_lighting"],
)
def test_augmentation_leaves_its_input_alone(augment):
    images = torch.rand(8, 3, 6, 6)
    before = images.clone()
    changed = augment(images, generator=seeded(1))
    assert torch.equal(images, before)
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert torch.equal(changed, augment(images, generator=seeded(1)))


# Photographs and ImageNet


def test_imagenet_classes_are_torchvisions():
    names = data.imagenet_classes()
    assert len(names) == 1000
    assert names == tuple(torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def test_photos_are_small_free_and_labelled():
    photos = data.photos()
    rows = data.read_csv("photos/photos")
    assert len(photos) >= 8 and len({photo.name for photo in photos}) == len(photos)
    assert {row["file"] for row in rows} == {
        path.name for path in (data.data_folder() / "photos").glob("*.jpg")
    }
    for photo, row in zip(photos, rows, strict=True):
        assert photo.image.mode == "RGB" and 400 <= max(photo.image.size) <= 500
        assert (data.data_folder() / "photos" / row["file"]).stat().st_size <= 150_000
        assert data.imagenet_classes()[photo.label] == photo.class_name
        assert photo.licence in {"Public domain", "CC0 1.0", "CC BY 2.0", "CC BY 3.0"}
        assert photo.credit and photo.source


def assert_as_torchvision(image: Image.Image, size: int) -> None:
    transform = torchvision.transforms._presets.ImageClassification(crop_size=size, resize_size=size * 8 // 7)
    assert torch.equal(data.preprocess(image, size), transform(image.convert("RGB")))


@given(width=st.integers(1, 90), height=st.integers(1, 90), size=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_preprocess_is_torchvisions(width, height, size):
    assume(max(width, height) <= data.LONGEST * min(width, height))
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert_as_torchvision(Image.fromarray(pixels), size)


def test_preprocess_of_photos_and_back():
    for photo in data.photos()[:3]:
        assert_as_torchvision(photo.image, 224)
    grey = Image.new("L", (300, 260), 128)
    pixels = data.to_pixels(data.preprocess(grey))
    assert torch.allclose(pixels, torch.full((3, 224, 224), 128 / 255), atol=1e-6)


PHOTO = Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 60).convert("RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_photo_comes_upright(orientation):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    PHOTO.save(file, "PNG", exif=exif)
    stored = Image.open(file)
    assert torch.equal(data.preprocess(stored), data.preprocess(ImageOps.exif_transpose(stored)))
    assert data.as_rgb(stored).size == (PHOTO.size if orientation < 5 else PHOTO.size[::-1])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_the_picture_in_eight(kind):
    grey, file = PHOTO.convert("L"), io.BytesIO()
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(file, kind)
    stored = Image.open(file)
    assert stored.mode.startswith("I")
    for image in (stored, stored.convert("I")):
        assert torch.equal(data.preprocess(image), data.preprocess(grey))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBA", "LA", "RGBX"])
def test_every_mode_is_seen_as_a_viewer_shows_it(mode):
    expected = np.asarray(PHOTO.convert(mode).convert("RGB"), dtype=int)
    assert np.abs(np.asarray(data.as_rgb(PHOTO.convert(mode)), dtype=int) - expected).max() <= 1


def test_what_is_transparent_is_white():
    hidden = PHOTO.copy()
    hidden.putalpha(0)
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    palette = Image.new("P", (8, 8), 3)
    palette.info["transparency"] = 3
    for image, grey in ((hidden, 255), (half, 127), (palette, 255), (hidden.convert("LA"), 255)):
        assert np.abs(np.asarray(data.as_rgb(image), dtype=int) - grey).max() <= 1


@pytest.mark.parametrize("size", [(1, 20_000), (20_001, 1), (3, 5_000)])
def test_of_a_long_strip_the_middle_is_seen(size):
    strip = Image.linear_gradient("L").resize(size)
    pixels = data.to_pixels(data.preprocess(strip))
    assert pixels.shape == (3, 224, 224)
    centre = strip.resize((1, 1), box=[side * part for part in (0.4999, 0.5001) for side in size])
    assert torch.allclose(pixels.mean(), torch.tensor(centre.getpixel((0, 0)) / 255), atol=0.02)


# Published figures


def test_torchvision_models_are_torchvisions():
    rows = data.read_csv("torchvision_models")
    assert len({(row["model"], row["weights"]) for row in rows}) == len(rows)
    assert {"alexnet", "googlenet", "vgg16", "vgg19", "resnet50", "resnet152"} <= {
        row["model"] for row in rows
    }
    for row in rows:
        meta = torchvision.models.get_model_weights(row["model"])[row["weights"]].meta
        accuracy = meta["_metrics"]["ImageNet-1K"]
        assert round(100 * row["top1_accuracy"], 3) == accuracy["acc@1"], row
        assert round(100 * row["top5_accuracy"], 3) == accuracy["acc@5"], row
        assert (row["params"], row["gmacs"]) == (meta["num_params"], meta["_ops"]), row


def test_ilsvrc_winners_are_one_a_year_and_the_variants_kept_apart():
    rows = data.read_csv("ilsvrc_winners")
    winners = {row["year"]: row["top5_error"] for row in rows if row["kind"] == "winner"}
    assert list(winners) == list(range(2010, 2018))
    assert list(winners.values()) == sorted(winners.values(), reverse=True)
    extra = {row["year"]: row["top5_error"] for row in rows if row["kind"] == "winner, extra data"}
    assert (winners[2012], extra[2012]) == (0.164, 0.153)  # Krizhevsky et al. 2012, table 2
    assert winners[2015] == 0.0357  # He et al. 2016, table 5
    assert [row["top5_error"] for row in rows if row["kind"] == "human"] == [0.051]
    assert all(row["source"] for row in rows)


def test_read_csv_knows_numbers_from_words():
    row = next(row for row in data.read_csv("ilsvrc_winners") if row["year"] == 2010)
    assert row["team"] == "NEC-UIUC" and row["top5_error"] == 0.282 and row["depth"] is None


# data/README.md


def listed_checksums() -> dict[str, str]:
    lines = (data.data_folder() / "README.md").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in lines if len(line) > 66 and line[64:66] == "  ")
    return {name: checksum for checksum, name in pairs}


def kept_files() -> dict[str, Path]:
    """All files but the README and what torchvision unpacks beside the originals."""
    files = (path for path in data.data_folder().rglob("*") if path.is_file())
    return {
        path.relative_to(data.data_folder()).as_posix(): path
        for path in files
        if path.name not in {"README.md", ".DS_Store"} and not path.name.endswith("-ubyte")
    }


def test_readme_lists_every_file_with_its_checksum():
    actual = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in kept_files().items()}
    assert listed_checksums() == actual


def test_readme_names_the_licence_of_every_file():
    readme = (data.data_folder() / "README.md").read_text(encoding="utf-8")
    tables = [line for line in readme.splitlines() if line.startswith("| `")]
    for name in kept_files():
        own = name.removeprefix("photos/") if name.endswith(".jpg") else name
        own = "FashionMNIST/raw/*.gz" if name.startswith("FashionMNIST") else own
        line = next(line for line in tables if line.startswith(f"| `{own}`"))
        assert any(word in line for word in ("MIT", "CC BY", "CC0", "Public domain")), name
