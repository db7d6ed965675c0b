"""torchvision's published ImageNet weights in this package's models, where there is a network."""

import socket
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO

import torch
from torch import nn

from course_utils.models.alexnet import alexnet
from course_utils.models.checks import check_choice
from course_utils.models.googlenet import googlenet
from course_utils.models.imagenet import Rescale
from course_utils.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from course_utils.models.vgg import vgg11, vgg13, vgg16, vgg19

VGGS = (vgg11, vgg13, vgg16, vgg19)
SAME = (alexnet, *VGGS, resnet18, resnet34, resnet50, resnet101, resnet152)  # as they are by default
PRETRAINED: dict[str, Callable[[], nn.Module]] = {make.__name__: make for make in SAME}
PRETRAINED |= {f"{make.__name__}_bn": partial(make, batch_norm=True) for make in VGGS}
PRETRAINED["googlenet"] = partial(googlenet, "torchvision", aux_logits=False)
TIMEOUT = 5.0  # seconds for the first answer, and for each later piece


class PretrainedUnavailable(RuntimeError):
    """Published weights could not be fetched, or what came is not what was published."""


def load_pretrained(name: str) -> nn.Module:
    """A model of this package with torchvision's published weights (IMAGENET1K_V1), in evaluation mode.

    `name` is a key of PRETRAINED, e.g. "vgg16_bn". The model takes what `data.preprocess` gives. A download is checked
    and kept in torch.hub's folder. Raises ValueError for another name, PretrainedUnavailable where that fails.
    """
    check_choice("name", name, PRETRAINED)
    # GoogLeNet's file has auxiliary classifiers, of use in training only.
    state = {key: value for key, value in _published(name).items() if not key.startswith("aux")}
    with torch.device("meta"):
        model = PRETRAINED[name]()
    model.load_state_dict(state, assign=True)
    if name == "googlenet":  # was trained on pixels from -1 to 1 (torchvision's transform_input)
        model.rescale = Rescale(mean=0.5, std=0.5)
        model.register_forward_pre_hook(_rescale_input)  # a layer would change the names in `state_dict`
    return model.eval()


def _published(name: str) -> dict[str, torch.Tensor]:
    from torchvision.models import get_model_weights  # slow to import, so only when asked for

    weights, before = get_model_weights(name).IMAGENET1K_V1, socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(TIMEOUT)
        with redirect_stdout(StringIO()):  # torch.hub names the folder, which a notebook would store
            return weights.get_state_dict(check_hash=True, map_location="cpu", weights_only=True)
    except Exception as error:  # no network, another file than the published one, a damaged one
        why = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise PretrainedUnavailable(
            f"The published weights of {name} could not be fetched or read ({why:.200}); all that does not need "
            "them works without. A damaged file is fetched anew once it is deleted below torch.hub.get_dir()."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _rescale_input(model: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
    return model.rescale(*inputs)
