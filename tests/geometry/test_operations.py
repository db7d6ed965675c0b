"""Kinds of code that hide from a list of layers: autograd and torch's FLOP counter say what is right.

Each kind has the case by which it was found and others like it. Where a field is no single size and stride, the
right answer is a sentence.
"""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from course_utils.geometry import layer_table, receptive_field

SHAPE, SIDE = (2, 16, 16), 16


class Net(nn.Module):
    """A module from a forward function and its parts."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


def conv(channels, out, size, **settings):
    return nn.Conv2d(channels, out, size, **settings)


def weight(*shape):
    return nn.Parameter(torch.rand(*shape))


def support(model, shape, row, column):
    """(top, left, bottom, right) of the pixels that move outputs (row, column): autograd's answer, of some seeds."""
    model, hit = model.double().eval(), 0
    for seed in range(4):
        torch.manual_seed(seed)
        x = torch.rand(1, *shape, dtype=torch.double, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(x)[0, :, row, column].sum(), x)
        hit = hit + gradient[0].abs().sum(0)
    rows, columns = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def clipped(box, shape):
    return (
        *(max(n, 0) for n in box[:2]),
        *(min(n, size) for n, size in zip(box[2:], shape[1:], strict=True)),
    )


def check_field(model, shape=SHAPE):
    """Boxes of corner and middle units against autograd."""
    field = receptive_field(model, shape, "")
    height, width = model.eval()(torch.rand(1, *shape)).shape[-2:]
    for row, column in {(0, 0), (height // 2, width // 2), (height - 1, width - 1)}:
        assert clipped(field.box(row, column), shape) == support(model, shape, row, column)
    model.float()
    return field


# --- Written in place ----------------------------------------------------------------------------------------


def add_in_place(net, x):
    y = net.point(x)
    y += net.wide(x)
    return y


def gate(net, x):
    y = net.point(x)
    return y.mul_(torch.sigmoid(net.wide(x)))


def some_channels(net, x):
    y = net.point(x)
    y[:, :2].add_(net.wide(x)[:, :2])
    return y


def set_channels(net, x):
    y = net.point(x)
    y[:, 1:3] = net.wide(x)[:, 1:3]
    return y


def chunks(net, x):
    y = net.point(x)
    first, second = y[:, :2], y[:, 2:]
    first.add_(net.wide(x)[:, :2])
    return torch.cat([first, second], 1)


def copied(net, x):
    y = net.point(x)
    return y.copy_(y + net.wide(x))


def over_a_constant(net, x):
    y = torch.zeros(1, 4, SIDE, SIDE, dtype=x.dtype, device=x.device)
    y[:, :2] = net.point(x)[:, :2]
    y[:, 2:] += net.wide(x)[:, 2:]
    return y


def bent(net, x):
    y = net.point(x)
    return F.mish(y.add_(net.wide(x)), inplace=True).abs_()


@pytest.mark.parametrize("run", [add_in_place, gate, some_channels, set_channels, chunks, copied, bent])
def test_in_place(run):
    model = Net(run, point=conv(2, 4, 1), wide=conv(2, 4, 5, padding=2))
    assert check_field(model).size == (5, 5)
    assert layer_table(model, SHAPE)["point"].receptive_field.size == (1, 1)
    assert receptive_field(model, SHAPE, "point").size == (1, 1)


def some_rows(net, x):
    y = net.point(x)
    y[:, :, :8] += net.wide(x)[:, :, :8]
    return y


def rows_beside(net, x):
    y = net.point(x)
    above, below = y[:, :, :8], y[:, :, 8:]
    above.add_(net.wide(x)[:, :, :8])
    return below


def every_second(net, x):
    y = net.point(x)
    y[..., ::2].mul_(net.wide(x)[..., ::2])
    return y


def turned(net, x):
    y = net.point(x)
    y.transpose(2, 3).add_(net.wide(x))
    return y


def padded_by_hand(net, x):
    y = x.new_zeros(1, 4, SIDE + 2, SIDE + 2)
    y[:, :, 1:-1, 1:-1] = net.point(x)
    return y


def channels_of_two_kinds(net, x):
    return torch.cat([net.point(x), net.wide(x)], 1)[:, :4]


@pytest.mark.parametrize("run", [over_a_constant, channels_of_two_kinds])
def test_channels_that_see_different_windows_are_not_told_apart(run):
    model = Net(run, point=conv(2, 4, 1), wide=conv(2, 4, 5, padding=2))
    with pytest.raises(ValueError, match=r"^Layer '\w+' \(\w+\) (picks some of|writes into)[^\n]*\.$"):
        receptive_field(model, SHAPE, "")
    assert layer_table(model, SHAPE)["point"].receptive_field.size == (1, 1)


def several_at_once(net, x):
    y = net.point(x) + 0
    torch._foreach_add_([y], [net.wide(x)])
    return y


def test_a_list_that_is_written_to_is_not_left_with_its_old_field():
    model = Net(several_at_once, point=conv(2, 4, 1), wide=conv(2, 4, 5, padding=2))
    with pytest.raises(ValueError, match=r"computes foreach_add, whose receptive field is not known here\.$"):
        receptive_field(model, SHAPE, "")


@pytest.mark.parametrize("run", [some_rows, rows_beside, every_second, turned, padded_by_hand])
def test_in_place_on_a_part_of_a_map_is_refused(run):
    model = Net(run, point=conv(2, 4, 1), wide=conv(2, 4, 5, padding=2))
    with pytest.raises(ValueError, match=r"^Layer '\w+' \(\w+\) (writes into|joins) [^\n]*\.$"):
        receptive_field(model, SHAPE, "")
    assert layer_table(model, SHAPE)["point"].receptive_field.size == (1, 1)


# --- Values that move ----------------------------------------------------------------------------------------


def blocks(net, x):
    n, c, h, w = x.shape
    x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)
    return net.conv(x)


def blocks_of_four(net, x):
    n, c, h, w = x.shape
    return net.conv(x.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 1, 3, 5, 2, 4).flatten(1, 3))


def focus(net, x):
    return net.conv(torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1))


def tokens_and_back(net, x):
    y = net.mix(x.flatten(2).transpose(1, 2)).transpose(1, 2)
    return net.conv(y.reshape(1, -1, SIDE, SIDE))


def windows(net, x):
    """Swin's: attention within 4 x 4 pixels, folded into the batch."""
    x = x.view(1, 2, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(16, 16, 2)
    x = torch.softmax(x @ net.mix(x).transpose(1, 2), -1) @ x
    return x.view(1, 4, 4, 4, 4, 2).permute(0, 5, 1, 3, 2, 4).reshape(1, 2, 16, 16)


@pytest.mark.parametrize(
    ("model", "size", "stride"),
    [
        (Net(lambda net, x: net.conv(x.mT).mT, conv=conv(2, 3, 3)), 3, 1),
        (Net(blocks, conv=conv(8, 4, 3, padding=1)), 6, 2),
        (Net(blocks_of_four, conv=conv(32, 4, 1)), 4, 4),
        (Net(focus, conv=conv(8, 4, 3)), 6, 2),
        (Net(lambda net, x: net.conv(F.pixel_unshuffle(x, 4)), conv=conv(32, 4, 3, padding=1)), 12, 4),
        (Net(lambda net, x: net.conv(x[:, [1, 0]]), conv=conv(2, 3, 3)), 3, 1),
        (Net(lambda net, x: net.conv(x[:, net.order]), conv=conv(2, 3, 3), order=torch.tensor([1, 0])), 3, 1),
        (Net(lambda net, x: net.conv(x.flip(1)), conv=conv(2, 3, 5)), 5, 1),
        (
            Net(lambda net, x: F.interpolate(net.conv(x), scale_factor=0.5), conv=conv(2, 3, 3, padding=1)),
            3,
            2,
        ),
    ],
)
def test_values_are_followed_where_they_move(model, size, stride):
    field = check_field(model)
    assert (field.size, field.stride) == ((size, size), (stride, stride))


@pytest.mark.parametrize(
    "model",
    [
        Net(lambda net, x: F.interpolate(net.conv(x), scale_factor=0.3), conv=conv(2, 2, 1)),
        Net(lambda net, x: F.interpolate(x, size=(7, 5))),
        Net(lambda net, x: net.conv(torch.cat([x[:, :, :5], x[:, :, 5:]], 2)), conv=conv(2, 3, 3)),
        Net(lambda net, x: F.interpolate(x, scale_factor=2)),
        Net(lambda net, x: net.conv(F.interpolate(x, scale_factor=2, mode="bilinear")), conv=conv(2, 2, 3)),
        nn.Sequential(conv(2, 2, 3, padding=1, padding_mode="circular")),
        Net(lambda net, x: net.conv(F.pad(x, (1, 1, 1, 1), mode="circular")), conv=conv(2, 2, 3)),
        Net(lambda net, x: net.conv(x.roll(1, 2)), conv=conv(2, 2, 3)),
        Net(lambda net, x: net.conv(x.flip(2)), conv=conv(2, 2, 3)),
        Net(lambda net, x: x[:, :, [0, 1, 5, 6]]),
        Net(lambda net, x: net.conv(x[:, :, [0, 2, 4, 6, 8]][..., ::2]), conv=conv(2, 3, 3)),
        Net(lambda net, x: x[:, :, torch.argsort(x[0, 0, :, 0])]),
        Net(lambda net, x: F.conv2d(x, x[:, :, :3, :3])),
        Net(lambda net, x: x + x.transpose(2, 3)),
        Net(tokens_and_back, mix=nn.Linear(2, 6), conv=conv(6, 3, 3)),
        Net(lambda net, x: net.conv(x.roll(3, 2).roll(-3, 2)), conv=conv(2, 3, 3)),
        Net(windows, mix=nn.Linear(2, 2)),
        Net(lambda net, x: x + windows(net, x), mix=nn.Linear(2, 2)),
        Net(lambda net, x: torch.var_mean(x, (1,), keepdim=True)[1]),
        Net(lambda net, x: net.conv(x.transpose(2, 3)), conv=conv(2, 3, 3)),
    ],
)
def test_what_is_not_evenly_spaced_is_refused(model):
    for layer in ("", None):
        with pytest.raises(ValueError, match=r"^(Layer '\w+(\.\w+)*'|The model) [^\n]*\.$"):
            receptive_field(model, SHAPE, layer)
    layer_table(model, SHAPE)


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: torch.view_as_complex(net.conv(x).view(1, 2, 16, 8, 2)).imag,
        lambda net, x: net.conv(x).to(torch.complex64).real,
    ],
)
def test_numbers_of_another_type_have_counts_and_no_field(run):
    model = Net(run, conv=conv(2, 2, 1))
    with pytest.raises(ValueError, match=r"^Layer '\w+' \(\w+\) computes view_as_\w+, whose receptive field"):
        receptive_field(model, SHAPE, "")
    assert layer_table(model, SHAPE).total.macs == counted(model)


# --- Weights made from the image ------------------------------------------------------------------------------


def conditional_norm(net, x):
    gain = net.fc(x.mean((2, 3)))[0]
    return F.batch_norm(x, torch.zeros_like(gain), torch.ones_like(gain), gain, gain)


def dynamic_convolution(net, x):
    return F.conv2d(x, net.fc(x.mean((2, 3))).view(2, 2, 1, 1))


def modulated_scale(net, x):
    return x * net.fc(x.amax((2, 3))).view(1, 2, 1, 1)


def generated_linear(net, x):
    return F.linear(x.movedim(1, 3), net.fc(x.mean((2, 3))).view(2, 2)).movedim(3, 1)


@pytest.mark.parametrize(
    "model",
    [
        Net(conditional_norm, fc=nn.Linear(2, 2)),
        Net(dynamic_convolution, fc=nn.Linear(2, 4)),
        Net(modulated_scale, fc=nn.Linear(2, 2)),
        Net(generated_linear, fc=nn.Linear(2, 4)),
    ],
)
def test_weights_made_from_the_image(model):
    assert receptive_field(model, SHAPE, "").size == (SIDE, SIDE)


# --- Units ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "part", "units"),
    [
        (lambda net, x: net.part(x.permute(0, 2, 3, 1).reshape(-1, 2)), nn.Linear(2, 8), 8 * 256),
        (lambda net, x: net.part(x.flatten(2).permute(2, 0, 1)), nn.Linear(2, 8), 8 * 256),
        (lambda net, x: net.part(x.view(2, 1, 16, 16)), conv(1, 3, 3), 2 * 3 * 14 * 14),
        (lambda net, x: net.part(x.unfold(2, 4, 4).flatten(0, 2)), nn.ReLU(), 2 * 256),
    ],
)
def test_units_are_all_values_of_an_output(run, part, units):
    row = layer_table(Net(run, part=part), SHAPE)["part"]
    assert row.units == units == torch.Size(row.out_shape).numel()


# --- Multiply-adds --------------------------------------------------------------------------------------------


@torch.jit.script
def scripted(x, w):
    return torch.relu(torch.conv2d(x, w))


@torch.jit.script
def scripted_gate(x, w):
    y = torch.matmul(x, w)
    return torch.sigmoid(y) * y


PRODUCTS = {
    "inner": (lambda net, x: torch.inner(x, net.w), weight(5, 16)),
    "tensordot": (lambda net, x: torch.tensordot(x, net.w, dims=([3], [0])), weight(16, 5)),
    "multi_dot": (lambda net, x: torch.linalg.multi_dot([x[0, 0], net.w, net.w.T]), weight(16, 5)),
    "chain": (lambda net, x: x @ net.w @ net.w.T, weight(16, 5)),
    "baddbmm": (lambda net, x: torch.baddbmm(x[0], batch1=x[0], batch2=net.w), weight(2, 16, 16)),
    "addmm by name": (
        lambda net, x: torch.addmm(torch.zeros(3, device=x.device), mat1=x.flatten(1), mat2=net.w),
        weight(512, 3),
    ),
    "einsum with an ellipsis": (lambda net, x: torch.einsum("...i,ij->...j", x, net.w), weight(16, 5)),
    "einsum over channels": (lambda net, x: torch.einsum("b c h w, o c -> b o h w", x, net.w), weight(5, 2)),
    "einsum of one": (lambda net, x: torch.einsum("bchw->bhwc", x) + net.w, weight(2)),
    "einsum of three": (lambda net, x: torch.einsum("bchw,wv,uv->bchu", x, net.w, net.w), weight(16, 16)),
    "einsum of sublists": (
        lambda net, x: torch.einsum(x, [0, 1, 2, 3], net.w, [3, 4], [0, 1, 2, 4]),
        weight(16, 5),
    ),
    "unfolded": (lambda net, x: net.w @ F.unfold(x, 3), weight(5, 18)),
    "attention": (lambda net, x: F.scaled_dot_product_attention(x, x @ net.w, x), weight(16, 16)),
    "scripted": (lambda net, x: scripted(x, net.w), weight(4, 2, 3, 3)),
    "scripted gate": (lambda net, x: scripted_gate(x, net.w), weight(16, 5)),
    "dynamic": (lambda net, x: F.conv2d(x, torch.relu(net.w), groups=2), weight(6, 1, 3, 3)),
    "inference mode": (torch.inference_mode()(lambda net, x: F.conv2d(F.relu(x), net.w)), weight(4, 2, 3, 3)),
}
LAYERS = {
    "lstm": nn.LSTM(16, 5, batch_first=True),
    "two-way lstm": nn.LSTM(16, 5, 2, bidirectional=True),
    "gru": nn.GRU(16, 3, batch_first=True),
    "rnn": nn.RNN(16, 3, bias=False),
    "lstm cell": nn.LSTMCell(16, 5),
    "gru cell": nn.GRUCell(16, 5),
    "rnn cell": nn.RNNCell(16, 4),
}


def counted(model, shape=SHAPE):
    with FlopCounterMode(
        display=False
    ) as counter:  # on the meta device, since it knows no kernel of the CPU's
        copy.deepcopy(model).to("meta").eval()(torch.rand(1, *shape, device="meta"))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(("run", "w"), PRODUCTS.values(), ids=PRODUCTS)
def test_products_are_counted(run, w):
    model = Net(run, w=w)
    table = layer_table(model, SHAPE)
    assert table.total.macs == counted(model) and table.unused_params == 0
    assert table.total.weights == w.numel()


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_recurrent_layers_are_counted(layer):
    model = Net(
        lambda net, x: net.layer(x[:, 0] if "Cell" not in type(layer).__name__ else x[0, 0])[0], layer=layer
    )
    table = layer_table(model, SHAPE)
    expected = sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight")) * SIDE
    assert table.total.macs == expected and [row.name for row in table.only("recurrent")] == ["layer"]
    assert (table["layer"].weights, table.unused_params) == (expected // SIDE, 0)


def test_attention_with_extra_keys():
    layer = nn.MultiheadAttention(16, 4, batch_first=True, add_bias_kv=True, add_zero_attn=True)
    table = layer_table(Net(lambda net, x: net.layer(*[x[:, 0]] * 3)[0], layer=layer), SHAPE)
    assert table.total.macs == 4 * 16**3 + 2 * 16 * 18 * 16 and table.unused_params == 0
    encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    table = layer_table(Net(lambda net, x: net.layer(x[:, 0]), layer=encoder), SHAPE)
    assert table.total.macs == 6 * 16**3 + 2 * 16 * 16 * 32
    assert table.total.params == sum(p.numel() for p in encoder.parameters())


def test_deformable_convolution():
    model = Net(
        lambda net, x: net.conv(x, net.offsets(x)),
        offsets=conv(2, 18, 3, padding=1),
        conv=torchvision.ops.DeformConv2d(2, 4, 3, padding=1),
    )
    table = layer_table(model, SHAPE)
    assert table[-1].macs == 4 * 256 * 18 and table.unused_params == 0
    with pytest.raises(ValueError, match=r"^Layer '[\w.]+' \(\w+\) computes deform_conv2d"):
        receptive_field(model, SHAPE, "conv")


@pytest.mark.slow
def test_exported_program():
    model = nn.Sequential(
        conv(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 3)
    ).eval()
    exported = torch.export.export(model, (torch.rand(1, *SHAPE),)).module()
    table = layer_table(exported, SHAPE)
    assert table.total.macs == layer_table(model, SHAPE).total.macs == counted(model)
    assert table.total.params == layer_table(model, SHAPE).total.params
    assert table[0].receptive_field.size == (3, 3)


@pytest.mark.parametrize(
    ("model", "operation"),
    [
        (
            Net(lambda net, x: net.b(x.flatten(1)[:, :8], x.flatten(1)[:, 8:16]), b=nn.Bilinear(8, 8, 4)),
            "trilinear",
        ),
        (Net(lambda net, x: torch.cdist(x[:, 0], net.w), w=weight(5, 16)), "cdist"),
        (Net(lambda net, x: torch.fft.rfft2(x).abs() * net.w, w=weight(2, 16, 9)), "fft"),
    ],
)
def test_products_that_are_not_counted_are_refused(model, operation):
    with pytest.raises(
        ValueError, match=rf"^Layer '[\w.]+' \(\w+\) computes \w*{operation}\w*, whose multiply-adds"
    ):
        layer_table(model, SHAPE)


# --- Biases, and what else is said without a reason ------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "parts", "expected"),
    [
        (lambda net, x: F.conv2d(x, net.unbiased_kernel), {"unbiased_kernel": (4, 2, 3, 3)}, (72, 0)),
        (
            lambda net, x: F.conv2d(x, net.bias_kernel, net.shift),
            {"bias_kernel": (4, 2, 3, 3), "shift": (4,)},
            (72, 4),
        ),
        (lambda net, x: x * net.debiased + net.bias, {"debiased": (2, 1, 1), "bias": (2, 1, 1)}, (2, 2)),
        (
            lambda net, x: F.linear(x, net.bias_w, bias=net.offset),
            {"bias_w": (5, 16), "offset": (5,)},
            (80, 5),
        ),
        (lambda net, x: x @ net.bias, {"bias": (16, 3)}, (48, 0)),
        (lambda net, x: x * net.bias_scale, {"bias_scale": (2, 1, 1)}, (2, 0)),
        (
            lambda net, x: F.group_norm(x, 1, net.bias_gain, net.shift),
            {"bias_gain": (2,), "shift": (2,)},
            (2, 2),
        ),
        (
            lambda net, x: F.linear(x, net.w * 0.1, net.bias * 0.1),
            {"w": (5, 16), "bias": (5,)},
            (80, 5),
        ),
        (lambda net, x: F.conv2d(x, net.a * net.b), {"a": (3, 2, 1, 1), "b": (1, 2, 3, 3)}, (24, 0)),
    ],
)
def test_biases_are_those_that_are_added(run, parts, expected):
    total = layer_table(Net(run, **{name: weight(*shape) for name, shape in parts.items()}), SHAPE).total
    assert (total.weights, total.biases) == expected


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: net.conv(x.to("cpu")),
        lambda net, x: net.conv(x.to(x.device, torch.float32)),
        lambda net, x: net.conv(x.cpu().contiguous()),
        lambda net, x: net.conv(x.to(net.conv.weight)),
        lambda net, x: net.conv(x.type_as(net.conv.weight)),
        lambda net, x: net.conv(x - torch.tensor([0.5, 0.4], device=x.device)[:, None, None]),
        lambda net, x: net.conv(x) if int(net.steps) > 3 else x,
    ],
)
def test_harmless_idioms(run):
    model = Net(run, conv=conv(2, 4, 3))
    model.register_buffer("steps", torch.tensor(5))
    assert layer_table(model, SHAPE).total.macs == 4 * 196 * 18
    assert receptive_field(model, SHAPE, "conv").size == (3, 3)


def test_what_comes_behind_a_layer_does_not_matter():
    model = Net(lambda net, x: net.gru(net.conv(x).flatten(2))[0], conv=conv(2, 4, 3), gru=nn.GRU(196, 5))
    assert receptive_field(model, SHAPE, "conv").size == (3, 3)
    model = Net(lambda net, x: torch.cdist(net.conv(x), net.conv(x)), conv=conv(2, 4, 3))
    assert receptive_field(model, SHAPE, "conv").size == (3, 3)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inplace", [True, False])
def test_every_layer_of_a_chain_on_constants_is_a_row(bias, inplace):
    """Swin's relative positions: a small network reads a table of coordinates, whatever the image is."""
    positions = nn.Sequential(nn.Linear(2, 5), nn.ReLU(inplace), nn.Linear(5, 3, bias=bias), nn.Linear(3, 4))
    model = Net(lambda net, x: net.conv(x) + net.positions(net.table).mean(), conv=conv(2, 4, 3))
    model.positions = positions
    model.register_buffer("table", torch.randn(7, 2))
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, *SHAPE))
    table = layer_table(model, SHAPE)
    assert 2 * table.total.macs == counter.get_total_flops()
    assert {"positions.0", "positions.2", "positions.3"} <= {row.name for row in table}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (nn.Conv2d, "model must be an nn.Module, got the class Conv2d"),
        (torch.relu, "model must be an nn.Module, got builtin"),
        (lambda x: x, "model must be an nn.Module, got function"),
        (None, "model must be an nn.Module, got NoneType"),
        (torch.jit.script(nn.ReLU()), r"The model \(\w+\) is a TorchScript module"),
        (nn.Sequential(nn.LazyConv2d(3, 3)), r"Layer '0' \(LazyConv2d\) has no shape yet"),
        (nn.Sequential(nn.LazyBatchNorm2d(affine=False)), r"Layer '0' \(LazyBatchNorm2d\) has no shape yet"),
        (Net(lambda net, x: x * x.max().item()), r"The model \(Net\) cannot be traced"),
        (Net(lambda net, x: x if x.mean() > 0 else -x), r"The model \(Net\) cannot be traced"),
        (Net(lambda net, x: torch.from_numpy(x.numpy())), r"The model \(Net\) cannot be traced"),
    ],
)
def test_bad_models(model, sentence):
    for measure in (layer_table, receptive_field):
        with pytest.raises(ValueError, match=rf"^{sentence}[^\n]*\.$"):
            measure(model, SHAPE)


# --- Kinds of fault that an attack on the one rule of windows found ---------------------------------------------


class Equalised(nn.Conv2d):
    """Weights and biases scaled before they are used."""

    def forward(self, x):
        return F.conv2d(x, self.weight * 0.1, self.bias * 0.5)


def test_scaled_biases_are_biases():
    row = layer_table(Equalised(4, 6, 3), (4, 8, 8))[0]
    assert (row.weights, row.biases) == (216, 6)
    pruned = nn.Conv2d(4, 6, 3)
    torch.nn.utils.prune.l1_unstructured(pruned, "bias", 0.5)
    assert layer_table(pruned, (4, 8, 8))[0].biases == 6


@pytest.mark.parametrize("fill", [torch.masked_fill, torch.Tensor.masked_fill_])
def test_filling_where_a_mask_says_so_keeps_the_image(fill):
    mask = torch.zeros(16, 16, dtype=torch.bool)
    model = Net(lambda net, x: fill(net.conv(x), mask, 0), conv=conv(2, 3, 3, padding=1))
    assert receptive_field(model, SHAPE, "").size == (3, 3)
    assert [row.name for row in layer_table(model, SHAPE)] == ["conv", "masked_fill"]


def test_group_norm_keeps_rows_apart_that_are_in_the_batch():
    def run(net, x):
        rows = net.conv(x).permute(0, 2, 1, 3).flatten(0, 1)
        return F.group_norm(rows, 1).unflatten(0, (1, 16)).permute(0, 2, 1, 3)

    field = receptive_field(Net(run, conv=conv(2, 4, 3, padding=1)), SHAPE, "")
    assert field.size == (3, 16) and field.stride == (1, 0)


def test_a_map_of_one_row_that_is_turned_is_refused():
    model = Net(lambda net, x: net.conv(x).transpose(2, 3), conv=conv(2, 4, 3, padding=1))
    with pytest.raises(ValueError, match="rows that run along the width"):
        receptive_field(model, (2, 1, 9), "")


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (nn.PairwiseDistance(), "other"),
        (nn.CosineSimilarity(), "other"),
    ],
)
def test_distances_have_no_connections(model, kind):
    row = layer_table(Net(lambda net, x: net.part(x, x + 1), part=model), SHAPE)["part"]
    assert (row.kind, row.connections) == (kind, 0)


class OwnLinear(nn.Linear):
    def forward(self, x):
        return x @ self.weight.T + self.bias


class Unfolded(nn.Conv2d):
    def forward(self, x):
        return (self.weight.flatten(1) @ F.unfold(x, 3)).unflatten(2, (14, 14))


@pytest.mark.parametrize(
    ("run", "part", "kind"),
    [
        (lambda net, x: net.part(x.flatten(1)), OwnLinear(512, 4), "linear"),
        (lambda net, x: net.part(x), Unfolded(2, 4, 3, bias=False), "conv"),
        (lambda net, x: F.scaled_dot_product_attention(x, x, x), None, "attention"),
        (lambda net, x: F.rms_norm(x, (16,)), None, "norm"),
        (lambda net, x: F.pad(x, (1, 1, 1, 1), mode="circular"), None, "pad"),
    ],
)
def test_a_layers_kind_is_what_it_is_called_not_how_it_computes(run, part, kind):
    model = Net(run, **({"part": part} if part is not None else {}))
    assert [row.kind for row in layer_table(model, SHAPE)][-1] == kind


def test_what_changes_nothing_has_no_row():
    model = Net(lambda net, x: F.dropout2d(net.conv(x.to(x.dtype)), 0.5, False), conv=conv(2, 4, 3))
    assert [row.name for row in layer_table(model, SHAPE)] == ["conv"]


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv(2, 4, 3)

    def forward(self, module):
        return self.conv(module)


def test_arguments_may_have_any_name():
    model = Net(lambda net, x: net.part(module=x), part=Wrapped())
    assert layer_table(model, SHAPE).total.macs == 4 * 14 * 14 * 18
