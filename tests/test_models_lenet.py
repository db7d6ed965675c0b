import pytest
import torch
import torch.nn.functional as F

from course_utils.models.lenet import lenet5

# The lecture's table of LeNet's layers: units, connections, weights.
LECTURE_12 = {
    "c1": (4_704, 117_600, 150),
    "s2": (1_176, 4_704, 0),
    "c3": (1_600, 240_000, 2_400),
    "s4": (400, 1_600, 0),
    "f5": (120, 48_000, 48_000),
    "f6": (84, 10_080, 10_080),
    "output": (10, 840, 840),
}


@pytest.mark.parametrize("size", [28, 32])
def test_the_lectures_table(size):
    model = lenet5(input_size=size)
    rows = {}

    def record(name):
        def hook(layer, inputs, output):
            units, weight = output[0].numel(), getattr(layer, "weight", None)
            fan_in = 4 if weight is None else weight[0].numel()  # pooling joins 2x2 inputs
            rows[name] = (units, units * fan_in, 0 if weight is None else weight.numel())

        return hook

    for name, layer in model.named_children():
        if name in LECTURE_12:
            layer.register_forward_hook(record(name))
    model(torch.rand(1, 1, size, size))
    assert rows == LECTURE_12
    assert [sum(column) for column in zip(*rows.values(), strict=True)] == [8_094, 422_824, 61_470]
    assert sum(p.numel() for p in model.parameters()) == 61_706


def test_28_pixels_are_32_with_a_margin_of_zeros():
    small, large, images = lenet5(input_size=28), lenet5(), torch.rand(3, 1, 28, 28)
    large.load_state_dict(small.state_dict())
    assert torch.allclose(small(images), large(F.pad(images, (2, 2, 2, 2))), atol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_gradients_reach_every_parameter(activation):
    torch.manual_seed(0)
    model = lenet5(num_classes=7, in_channels=3, activation=activation)
    logits = model(torch.rand(16, 3, 32, 32))
    assert logits.shape == (16, 7)
    F.cross_entropy(logits, torch.arange(16) % 7).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_activation_is_the_one_asked_for():
    images, first = torch.rand(2, 1, 32, 32), []
    for name in ("tanh", "relu", "sigmoid"):
        model = lenet5(activation=name)
        model.act1.register_forward_hook(
            lambda layer, inputs, output, name=name: first.append((getattr(torch, name)(inputs[0]), output))
        )
        model(images)
    assert len(first) == 3
    assert all(torch.equal(expected, got) for expected, got in first)


def test_what_does_not_fit_gets_a_sentence():
    with pytest.raises(
        ValueError, match=r"LeNet-5 \(input_size=32\) needs .* 32x32 pixels; got .*28, 28\]\."
    ):
        lenet5()(torch.rand(1, 1, 28, 28))
    with pytest.raises(ValueError, match=r"got .* \[1, 3, 32, 32\]"):
        lenet5()(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="input_size must be one of 28, 32; got 30"):
        lenet5(input_size=30)
    with pytest.raises(ValueError, match="activation must be one of"):
        lenet5(activation="swish")
    with pytest.raises(ValueError, match="num_classes"):
        lenet5(num_classes=0)
