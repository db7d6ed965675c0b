"""network_explorer against layer_table and torch: famous networks at any size, and stacks of every kind."""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import product
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.explorers import base, network_explorer
from course_utils.explorers import network as module
from course_utils.explorers._networks import COUNTED, NETWORKS, _table_or_reason
from course_utils.explorers._stack import KINDS, MOST_LAYERS, Layer, measure, parse, to_code, to_text
from course_utils.explorers.network import OWN, PRESETS, ROWS, SIZES, draw_network
from course_utils.geometry import layer_table

_SVG = "{http://www.w3.org/2000/svg}"
SHARED = network_explorer()
NUMBERS = {
    "out": st.sampled_from([2, 4, 8]),  # flattening a single value is a question of taste
    "kernel_size": st.integers(1, 6),
    "stride": st.integers(1, 3),
    "padding": st.integers(0, 3),
    "dilation": st.integers(1, 3),
    "groups": st.sampled_from([1, 1, 1, 2, 3]),
}
LAYERS = st.builds(
    lambda kind, numbers: Layer.new(kind).changed(**numbers),
    st.sampled_from([*KINDS, "conv", "conv", "max pool"]),
    st.fixed_dictionaries(NUMBERS),
)
STACKS = st.lists(LAYERS, min_size=1, max_size=10).map(tuple)


def spelt_out(picture):
    """The picture with what a group says about its texts written on each text, as `check_picture` reads it."""
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    root = ElementTree.fromstring(picture)
    for group in root.iter(f"{_SVG}g"):
        for text in group.iter(f"{_SVG}text"):
            text.set("text-anchor", group.get("text-anchor", text.get("text-anchor", "start")))
    return ElementTree.tostring(root, encoding="unicode")


@pytest.fixture(scope="module")
def check(check_picture):
    def checked(picture):
        assert len(picture.encode()) <= 40_000
        check_picture(spelt_out(picture), most_bytes=60_000, may_shorten=True)

    return checked


def same(row, other):
    """Rows agree in all but the names of their parameters, which a stack has not made yet."""
    return replace(row, parameters=()) == replace(other, parameters=())


@settings(max_examples=150, deadline=None)
@given(layers=STACKS, size=st.sampled_from([2, 5, 16, 29]), channels=st.integers(2, 3))
def test_a_stacks_code_builds_the_model_that_its_rows_describe(layers, size, channels):
    assert parse(to_text(layers)) == layers
    measured = measure(layers, (channels, size, size))
    assert bool(measured.reason) == (len(measured.rows) < len(layers))
    if not measured.rows:
        return
    model = eval(to_code(layers, measured), {"nn": nn})
    assert len(model) == len(measured.rows)
    table = layer_table(model, (channels, size, size))
    assert all(map(same, measured.rows, table)) and len(table) == len(measured.rows)


@settings(max_examples=60, deadline=None)
@given(layers=STACKS)
def test_what_does_not_fit_is_refused_by_torch_too(layers):
    measured = measure(layers, (2, 16, 16))
    refused = layers[len(measured.rows)] if measured.reason else None
    # a linear layer on maps and windows over a vector run in torch, on the wrong axis
    if refused is None or refused.kind == "linear" or "vector" in measured.reason:
        return
    before = measured.rows[-1].out_shape if measured.rows else (2, 16, 16)
    with pytest.raises((ValueError, RuntimeError)):
        if refused.kind == "conv":
            numbers = {k: getattr(refused, k) for k in KINDS["conv"] if k != "out"}
            nn.Conv2d(before[0], refused.out, **numbers)(torch.zeros(1, *before))
        else:
            nn.MaxPool2d(refused.kernel_size, refused.stride, refused.padding)(torch.zeros(1, *before))


@settings(max_examples=200, deadline=None)
@given(
    values=st.fixed_dictionaries(
        {
            "network": st.sampled_from([*NETWORKS, OWN, OWN, OWN]),
            "input_size": st.sampled_from([32, 227]),  # a network is measured anew for each size
            "rows": st.sampled_from(["blocks", "layers"]),
            "scale": st.sampled_from(["log", "linear"]),
            "layer": st.integers(0, 200),
            "input_channels": st.integers(1, 64),
            "stack": STACKS.map(to_text),
        }
    )
)
def test_any_setting_shows_what_geometry_says(values, check):
    e = SHARED.set(**values)
    assert len(e.svg.encode()) <= 40_000
    name, size = values["network"], values["input_size"]
    if name == OWN:
        check(e.svg)
        layers = parse(values["stack"])
        measured = measure(layers, (values["input_channels"], size, size))
        assert e.problem is None and e.state["rows"] == measured.rows
        assert e.state["bad"] == (len(measured.rows) if measured.reason else None)
        assert e.values["layer"] == min(values["layer"], len(layers) - 1)
        assert e.values["kind"] == layers[e.values["layer"]].kind
    elif e.problem is None:
        table = table_of(name, size)
        total = table.only(*COUNTED).total
        for measure_name in ("units", "weights", "biases", "connections", "macs"):
            ours = sum(getattr(row, measure_name) for row in e.state["rows"])
            assert ours == getattr(total, measure_name) == e.state["total"][measure_name]
        assert e.state["total"]["params"] == table.total.params
        fields = {row.name: row.receptive_field for row in table}
        assert all(r.receptive_field == fields[r.name] for r in e.state["rows"] if r.name in fields)
    else:
        with pytest.raises(ValueError):
            table_of(name, size)
        assert e.marked and "Move " in e.svg


@cache
def table_of(name, size):
    with torch.device("meta"):
        model = NETWORKS[name].build(size)
    return layer_table(model, (NETWORKS[name].in_channels, size, size))


@pytest.mark.parametrize("rows", ["blocks", "layers"])
@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_of_the_networks(name, rows, check):
    check(network_explorer(network=name, rows=rows, layer=200).svg)


def test_known_totals():
    """Figures of lecture 12, of the papers and of torchvision's metadata."""
    e = network_explorer(network="LeNet-5", rows="layers")
    assert (e.state["total"]["weights"], e.state["total"]["connections"]) == (61_470, 422_824)
    e.set(network="AlexNet")
    assert e.values["input_size"] == 227  # follows the network
    assert e.state["total"]["params"] == 60_965_224
    e.controls["network"].value = "ResNet-50"
    assert e.values["input_size"] == 224
    assert e.state["total"]["params"] == 25_557_032 and e.state["total"]["macs"] == 4_089_184_256
    assert max(row.receptive_field.size[0] for row in e.state["rows"]) == 427
    e.set(network="GoogLeNet", rows="blocks")
    assert {r.name: r.receptive_field.size[0] for r in e.state["rows"]}["inception5b"] == 715


def test_editing_step_by_step():
    e = network_explorer(network=OWN, stack="conv 4 k3, relu, linear 10", input_size=28)
    assert e.state["bad"] == 2 and "flatten" in e.state["reason"]
    e.set(layer=1).add("flatten")
    assert e.values["stack"] == "conv 4 k3, relu, flatten, linear 10" and e.state["bad"] is None
    assert e.values["layer"] == 2 and e.values["kind"] == "flatten"
    e.controls["layer"].value = 0
    assert (e.values["kind"], e.values["out"], e.values["kernel_size"]) == ("conv", 4, 3)
    e.controls["kernel_size"].value = 5
    e.controls["padding"].value = 2
    assert e.values["stack"].startswith("conv 4 k5 p2, ")
    e.controls["kind"].value = "average pool"
    assert e.values["stack"].startswith("average pool k2 s2, ") and e.values["kernel_size"] == 2
    e.buttons["move down"].click()
    assert e.values["stack"] == "relu, average pool k2 s2, flatten, linear 10" and e.values["layer"] == 1
    e.buttons["remove"].click()
    assert e.values["stack"] == "relu, flatten, linear 10"
    e.move(-5)
    assert e.values["stack"] == "flatten, relu, linear 10" and e.values["layer"] == 0
    for _ in range(4):
        e.remove()
    assert len(parse(e.values["stack"])) == 1
    for _ in range(2 * MOST_LAYERS):
        e.add("relu")
    assert len(parse(e.values["stack"])) == MOST_LAYERS
    assert e.values["layer"] == MOST_LAYERS - 1 and e.values["kind"] == "relu"


def test_a_change_while_another_network_shows_leaves_the_stack_alone():
    e = network_explorer(network=OWN, stack="conv 4 k3, relu")
    e.set(network="VGG-16")
    e.controls["kernel_size"].value = 7
    assert e.values["stack"] == "conv 4 k3, relu"


@pytest.mark.parametrize(
    ("stack", "says"),
    [
        ("", "0 layers"),
        ("relu, " * 30, "30 layers"),
        ("relu, foo 3", 'Layer 1 of the stack, "foo 3"'),
        ("conv k3", "outputs"),
        ("conv 3", "kernel size"),
        ("conv 3 k0", "at least 1"),
        ("linear 10 k3", '"k3"'),
        ("max pool", "kernel size"),
        ("relu 5", "no number"),
    ],
)
def test_text_that_is_no_stack_is_a_sentence(stack, says, check):
    e = network_explorer(network=OWN).set(stack=stack)
    assert says in e.problem and e.marked
    check(e.svg)
    e.add()
    assert e.problem  # the buttons wait for a text that can be read
    e.set(stack="relu")
    assert e.problem is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name, check):
    e = network_explorer(preset=name)
    assert e.values["network"] == OWN and e.controls["preset"].value == name
    check(e.svg)


def test_two_3x3_see_what_one_5x5_sees_for_fewer_weights():
    one, two = (network_explorer(preset=name).state for name in ("one 5×5", "two 3×3"))
    assert one["rows"][-1].receptive_field.size == two["rows"][-1].receptive_field.size == (5, 5)
    assert two["total"]["weights"] / one["total"]["weights"] == 18 / 25


def test_what_is_not_offered_is_refused():
    with pytest.raises(ValueError, match="network"):
        network_explorer(network="ResNet-20")
    with pytest.raises(ValueError, match="input_size"):
        network_explorer(input_size=100)


@pytest.mark.slow
def test_an_idle_kernel_prepares_every_table_and_leaves_random_numbers_alone(monkeypatch, in_a_loop):
    monkeypatch.setattr(base, "_PAUSE", 0)
    monkeypatch.setattr(module, "SIZES", (28, 227))
    _table_or_reason.cache_clear()
    module.famous_table.cache_clear()
    before = torch.get_rng_state()

    async def scenario():
        explorer = network_explorer()
        until = time.monotonic() + 300
        while _table_or_reason.cache_info().misses < 2 * len(NETWORKS) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        return explorer

    explorer = in_a_loop(scenario)
    assert torch.equal(torch.get_rng_state(), before)
    misses = _table_or_reason.cache_info().misses
    assert misses == 2 * len(NETWORKS)
    for name, size, rows in product(NETWORKS, (28, 227), ROWS):
        with suppress(ValueError):  # too small or too large for this network
            draw_network(explorer.values | {"network": name, "input_size": size, "rows": rows})
    assert _table_or_reason.cache_info().misses == misses


def test_a_redraw_makes_no_new_table():
    values = SHARED.set(network="ResNet-50", rows="layers", input_size=224).values
    misses = _table_or_reason.cache_info().misses
    for layer in range(50):
        draw_network({**values, "layer": layer})
    assert _table_or_reason.cache_info().misses == misses
    assert all(size in SIZES for size in (28, 32, 224, 227))
