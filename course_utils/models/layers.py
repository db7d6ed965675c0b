"""Activations, normalisation and initialisations that several networks share."""

from functools import partial

from torch import nn

from course_utils.models.checks import check_choice

# Not in place, unlike torchvision: a hook on a convolution then sees what the convolution computed.
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
INITIALISATIONS = {
    "torch": None,
    "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "glorot": nn.init.xavier_uniform_,
    "normal": partial(nn.init.normal_, std=0.1),
}
# AlexNet's normalisation across 5 channels; PyTorch divides alpha, 1e-4 in the paper, by their number.
local_response_norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, beta=0.75, k=2.0)


def activation_layer(activation: str) -> nn.Module:
    """A new activation layer by its name; raises ValueError for another."""
    check_choice("activation", activation, ACTIVATIONS)
    return ACTIVATIONS[activation]()


def initialise(model: nn.Module, initialisation: str) -> None:
    """Draw all weights of the convolutions and linear layers of `model` anew, and set their biases to zero.

    "he": N(0, 2 / fan-in), which keeps the variance through ReLUs (He et al. 2015, equation 10);
    "glorot": uniform with variance 2 / (fan-in + fan-out) (Glorot & Bengio 2010); "normal": N(0, 0.1²), a variance of
    10⁻² (both: VGG paper, section 3.1); "torch" leaves all as it is. Raises ValueError for another name.
    """
    check_choice("initialisation", initialisation, INITIALISATIONS)
    draw = INITIALISATIONS[initialisation]
    for layer in model.modules():
        if draw and isinstance(layer, nn.Conv2d | nn.Linear):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
