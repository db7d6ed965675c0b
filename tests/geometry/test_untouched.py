"""A measurement leaves everything as it was: the model, what its code keeps elsewhere, random numbers."""

import copy
import functools
import random
import types
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, weight_norm

from course_utils.geometry import effective_receptive_field, layer_table, receptive_field, receptive_fields

SHAPE = (3, 8, 8)
MEASURES = {
    "layer_table": lambda model: layer_table(model, SHAPE),
    "receptive_field": lambda model: receptive_field(model, SHAPE),
    "receptive_fields": lambda model: receptive_fields(model, SHAPE),
    "effective": lambda model: effective_receptive_field(model, torch.ones(2, *SHAPE)),
}
measures = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)

GRIDS: dict = {}
COUNT = 0


class OnClass(nn.Module):
    shared: dict = {}  # noqa: RUF012

    def forward(self, x):
        key = x.shape[-1]
        if key not in OnClass.shared:
            OnClass.shared[key] = x.new_ones(key)
        return x * OnClass.shared[key]


class CountsOnClass(nn.Module):
    calls = torch.zeros(1)

    def forward(self, x):
        type(self).calls += 1
        return x + self.calls


@pytest.mark.parametrize("name", ["layer_table", "receptive_field", "receptive_fields"])
def test_tensors_on_the_class_stay(name):
    MEASURES[name](nn.Sequential(nn.Conv2d(3, 3, 3), CountsOnClass()))
    assert not CountsOnClass.calls.any()


TALLY = torch.zeros(1)


class CountsOnModule(nn.Module):
    def forward(self, x):
        TALLY.add_(1)
        return x + float(TALLY)


@pytest.mark.parametrize("name", ["layer_table", "receptive_field", "receptive_fields"])
def test_tensors_of_a_file_stay(name):
    MEASURES[name](nn.Sequential(nn.Conv2d(3, 3, 3), CountsOnModule()))
    assert not TALLY.any()


class OnModule(nn.Module):
    def forward(self, x):
        global COUNT
        COUNT += 1
        return x + GRIDS.setdefault(("rows", x.shape[-1]), torch.zeros_like(x[0, 0]))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.store = {"grids": {}, "list": [[]]}

    def forward(self, x):
        self.store["list"][0].append(x)
        return x + self.store["grids"].setdefault(x.shape[-1], x.new_zeros(x.shape[-1]))


class InClosure(nn.Module):
    def __init__(self):
        super().__init__()
        kept, count = [], 0

        def remember(x):
            nonlocal count
            count += 1
            kept.append(x)
            return x + kept[0]

        self.remember = remember

    def forward(self, x):
        return self.remember(x)


@functools.lru_cache
def ramp(size: int, device: torch.device):
    return torch.linspace(0, 1, size, device=device)


class Cached(nn.Module):
    def forward(self, x):
        return x * ramp(x.shape[-1], x.device)


class InDefault(nn.Module):
    def forward(self, x, cache={}):  # noqa: B006
        return x + cache.setdefault("ones", torch.ones_like(x[0, 0]))


class OnAttribute(nn.Module):
    last = None

    def forward(self, x):
        type(self).last = x if type(self).last is None else type(self).last
        return x + type(self).last


class Config(dict):
    """Whatever is asked for is there."""

    __getattr__ = dict.get


class InTuple(nn.Module):
    def __init__(self):
        super().__init__()
        self.state, self.config = (torch.zeros(1), [torch.zeros(1)]), Config(scale=[1.0])

    def forward(self, x):
        for held in (self.state[0], self.state[1][0]):
            held.add_(1)
        self.config.scale.append(x.mean())
        assert float(self.config.scale[0]) == 1.0
        return x + self.state[0]


class InNamespace(nn.Module):
    def __init__(self):
        super().__init__()
        self.cache = types.SimpleNamespace(grid=None)

    def forward(self, x):
        if self.cache.grid is None:
            self.cache.grid = x + 1
        return x * self.cache.grid


class CachedMethod(nn.Module):
    @functools.lru_cache  # noqa: B019
    def ramp(self, size):
        return torch.linspace(0, 1, size, device=self.weight.device) * self.weight

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.ramp(x.shape[-1])


class Slot:
    __slots__ = ("value",)


class InSlotAndSet(nn.Module):
    def __init__(self):
        super().__init__()
        self.slot, self.held = Slot(), {torch.zeros(2)}
        self.slot.value = torch.zeros(4)

    def forward(self, x):
        self.slot.value[1:].add_(1)
        self.slot.value.mul_(3).add_(2)
        torch.add(self.slot.value, 1, out=self.slot.value)
        for held in self.held:
            held += 1
        return x * 2


@pytest.mark.parametrize("name", ["layer_table", "receptive_field", "receptive_fields"])
def test_tensors_in_slots_and_sets_stay(name):
    model = nn.Sequential(nn.Conv2d(3, 3, 3), InSlotAndSet())
    MEASURES[name](model)
    assert not model[1].slot.value.any() and not next(iter(model[1].held)).any()


@measures
def test_tensors_in_tuples_stay(measure):
    model = nn.Sequential(nn.Conv2d(3, 3, 3), InTuple())
    measure(model)
    assert (
        not model[1].state[0].any() and not model[1].state[1][0].any() and model[1].config == {"scale": [1.0]}
    )


@measures
@pytest.mark.parametrize(
    "cls", [OnClass, OnModule, Nested, InClosure, Cached, CachedMethod, InDefault, OnAttribute, InNamespace]
)
def test_what_forward_keeps_is_not_spoilt(measure, cls):
    model = nn.Sequential(nn.Conv2d(3, 3, 3), cls())
    before = COUNT, dict(GRIDS), dict(OnClass.shared), OnAttribute.last
    measure(model)
    assert before == (COUNT, GRIDS, OnClass.shared, OnAttribute.last)
    assert model(torch.rand(1, *SHAPE)).isfinite().all()
    OnClass.shared.clear()
    GRIDS.clear()
    OnAttribute.last = None


Pair = namedtuple("Pair", "first second")


class InPairAndArray(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair, self.steps = Pair(torch.zeros(1), [torch.zeros(1)]), np.zeros(())

    def forward(self, x):
        self.pair.first.add_(1)
        self.pair.second[0].add_(1)
        self.steps += 1
        return x + self.pair.first


@measures
def test_named_tuples_and_arrays_stay(measure):
    model = nn.Sequential(nn.Conv2d(3, 3, 3), InPairAndArray())
    measure(model)
    assert not model[1].pair.first.any() and not model[1].pair.second[0].any() and model[1].steps == 0


class OutOfSight(nn.Module):
    """What is not followed may keep a constant, and a training run afterwards differentiates through it."""

    def __init__(self):
        super().__init__()
        self.slot = Slot()
        self.slot.value = None

    def forward(self, x):
        if self.slot.value is None:
            self.slot.value = torch.ones(x.shape[-1], device=x.device)
        return x * self.slot.value


@measures
def test_constants_kept_out_of_sight_can_be_trained_with(measure):
    model = nn.Sequential(nn.Conv2d(3, 3, 3), OutOfSight(), nn.Conv2d(3, 1, 1))
    measure(model)
    model(torch.rand(1, *SHAPE)).sum().backward()
    assert model[0].weight.grad.isfinite().all()


class MaxNorm(nn.Conv2d):
    """EEGNet's convolution sets its own weights when it runs."""

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.01)
        return super().forward(x)


class InPlace(nn.Linear):
    def forward(self, x):
        with torch.no_grad():
            self.weight.mul_(0.5)
            self.bias.data.zero_()
        return super().forward(x)


class Running(nn.Module):
    """A buffer in place, another one replaced, a parameter that appears."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.mean.mul_(0.9).add_(x.detach().mean((0, 2, 3)))
        self.steps = self.steps + 1
        self.extra = nn.Parameter(torch.ones(1))
        return x - self.mean[:, None, None]


@measures
@pytest.mark.parametrize("layer", [lambda: MaxNorm(3, 4, 3), Running, lambda: InPlace(8, 8)])
def test_weights_and_buffers_stay(measure, layer):
    model = nn.Sequential(layer(), nn.Conv2d(4 if isinstance(layer(), MaxNorm) else 3, 2, 1)).train()
    before, attributes = copy.deepcopy(model.state_dict()), [list(vars(m)) for m in model.modules()]
    versions = [p._version for p in model.parameters()]
    measure(model)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert attributes == [list(vars(m)) for m in model.modules()] and all(m.training for m in model.modules())
    assert versions == [p._version for p in model.parameters()]


class Hooking(nn.Conv2d):
    """Registers hooks while it runs."""

    def forward(self, x):
        self.register_forward_hook(lambda *_: None)
        self.register_full_backward_hook(lambda *_: None)
        return super().forward(x)


@measures
def test_hooks_that_a_run_registers_are_gone(measure):
    model = nn.Sequential(Hooking(3, 4, 3))
    measure(model)
    assert not any(value for name, value in vars(model[0]).items() if name.endswith("_hooks"))


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand(1) + random.random() + np.random.rand()  # noqa: NPY002


@measures
def test_random_numbers_go_on_as_if_nothing_had_been(measure):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), Noisy())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    measure(model)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate() and states[2] == np.random.get_state()[1].tolist()  # noqa: NPY002


def pruned():
    layer = nn.Conv2d(3, 4, 3)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    return layer


NORMED = {
    "pruned": pruned,
    "weight norm": lambda: weight_norm(nn.Conv2d(3, 4, 3)),
    "weight norm, parametrised": lambda: parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
    "spectral norm": lambda: torch.nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)),
    "spectral norm, parametrised": lambda: parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", NORMED.values(), ids=NORMED)
def test_weights_that_hooks_make_are_seen(make):
    torch.manual_seed(0)
    model = nn.Sequential(make(), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    weight, states = model[0].weight.detach().clone(), copy.deepcopy(model.state_dict())
    row = layer_table(model, SHAPE)["0"]
    assert (row.kind, row.macs, row.receptive_field.size) == ("conv", 4 * 36 * 27, (3, 3))
    table = layer_table(model, SHAPE)
    assert table.total.params == sum(p.numel() for p in model.parameters()) and table.unused_params == 0
    assert row.units == 4 * 36 and [r.name for r in table] == ["0", "1", "2"]
    images = torch.rand(2, *SHAPE)
    effective = effective_receptive_field(model, images, "2", (1, 1))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in states.items())
    torch.testing.assert_close(weight, model[0].weight.detach())
    torch.testing.assert_close(effective, by_autograd(model, images, 2, (1, 1)))


def by_autograd(model, images, layer, place):
    """The effective field through a forward hook on the real model."""
    kept = []
    handle = model[layer].register_forward_hook(lambda _, given, out: kept.append(out))
    images = images.clone().requires_grad_()
    model(images)
    handle.remove()
    (gradient,) = torch.autograd.grad(kept[0][:, :, place[0], place[1]].sum(), images)
    gradient = gradient.abs().sum((0, 1))
    return gradient / gradient.max()


def test_a_hook_that_holds_the_model_is_followed():
    """A copy of the model would leave the hook with the original."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1))
    model.extra = nn.Conv2d(2, 5, 3)
    model.forward = lambda x: model[1](model[0](x))
    model[1].register_forward_hook(lambda _, given, out: F.conv2d(out, model.extra.weight))
    table = layer_table(model, SHAPE)
    assert [(row.name, row.weights) for row in table] == [("0", 108), ("1", 8 + 90)]
    assert receptive_field(model, SHAPE, "1").size == (5, 5)
    effective = effective_receptive_field(model, torch.rand(2, *SHAPE), "1", (1, 1))
    assert effective[1:6, 1:6].all() and effective.count_nonzero() == 25


def test_hooks_that_change_inputs_and_outputs_run():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1))
    model[0].register_forward_pre_hook(lambda _, given: (given[0].roll(1, 1) ** 2,))
    model[0].register_forward_hook(lambda _, given, out: F.avg_pool2d(out, 3, 1))
    images, fired = torch.rand(2, *SHAPE), []
    model[1].register_forward_hook(lambda *_: fired.append(1))
    assert receptive_field(model, SHAPE, "0").size == receptive_field(model, SHAPE).size == (5, 5)
    rows = layer_table(model, SHAPE)  # a layer's own hooks are part of it
    assert [(row.name, row.receptive_field.size) for row in rows] == [("0", (5, 5)), ("1", (5, 5))]
    effective = effective_receptive_field(model, images, "1", (1, 2))
    assert not fired
    torch.testing.assert_close(effective, by_autograd(model, images, 1, (1, 2)))
