"""network_explorer against layer_table: the course's networks at any size."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import models
from course_utils.explorers import network_explorer
from course_utils.explorers.measured import COUNTED, MEASURED
from course_utils.explorers.network import NETWORKS, SIZES, every_key
from course_utils.geometry import layer_table

SHARED = cache(network_explorer)  # built by the first test that calls it
BUILD = {
    "LeNet-5": lambda size: models.lenet5(input_size=28 if size == 28 else 32),
    "AlexNet": lambda size: models.alexnet("2012"),
    "VGG-16": lambda size: models.vgg16(),
    "GoogLeNet": lambda size: models.googlenet(),
    "ResNet-18": lambda size: models.resnet18(),
    "ResNet-50": lambda size: models.resnet50(),
}


@pytest.fixture(scope="module")
def check(check_picture):
    def checked(picture):
        check_picture(picture)

    return checked


@pytest.mark.slow
@settings(max_examples=3 * settings.default.max_examples // 2)
@given(
    values=st.fixed_dictionaries(
        {
            "network": st.sampled_from(list(NETWORKS)),
            "input_size": st.sampled_from([32, 227]),  # a network is measured anew for each size
            "rows": st.sampled_from(["blocks", "layers"]),
            "scale": st.sampled_from(["log", "linear"]),
            "layer": st.integers(0, 200),
        }
    )
)
def test_any_setting_shows_what_geometry_says(values, check):
    e = SHARED().set(**values)
    assert len(e.svg.encode()) <= 40_000
    name, size = values["network"], values["input_size"]
    if e.problem is None:
        check(e.svg)
        assert ("grow with the logarithm" in e.svg) == (values["scale"] == "log")
        table = table_of(name, size)
        total = table.only(*COUNTED).total
        for measure_name in ("units", "weights", "biases", "connections", "macs"):
            ours = sum(getattr(row, measure_name) for row in e.state["rows"])
            assert ours == getattr(total, measure_name) == e.state["total"][measure_name]
        assert e.state["total"]["params"] == table.total.params
        fields = {row.name: row.receptive_field for row in table}
        assert all(r.receptive_field == fields[r.name] for r in e.state["rows"] if r.name in fields)
        assert e.state["selected"] == e.values["layer"] == min(values["layer"], len(e.state["rows"]) - 1)
    else:
        with pytest.raises(ValueError):
            table_of(name, size)
        assert e.marked and "Move " in e.svg


@cache
def table_of(name, size):
    with torch.device("meta"):
        model = BUILD[name](size)
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


def test_what_is_not_offered_is_refused():
    with pytest.raises(ValueError, match="network"):
        network_explorer(network="ResNet-20")
    with pytest.raises(ValueError, match="input_size"):
        network_explorer(input_size=100)


def test_every_key_is_all_that_the_menus_can_ask_for():
    controls = SHARED().controls
    offered = len(controls["network"].options) * len(controls["input_size"].options) * 2
    shown = "table/{network}/{input_size}/{rows}".format(**SHARED().values)
    assert len(set(every_key())) == offered and shown in set(every_key())
    assert all(size in SIZES for size in (28, 32, 224, 227))


def test_measuring_leaves_random_numbers_alone():
    before = torch.get_rng_state()
    MEASURED.pop("table/LeNet-5/32/layers", None)
    assert MEASURED["table/LeNet-5/32/layers"]["total"]["params"] == 61_706
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "size"), [*((n, known.size) for n, known in NETWORKS.items()), ("LeNet-5", 28), ("VGG-16", 64)]
)
def test_the_code_gives_the_same_total(name, size):
    e = network_explorer(network=name, input_size=size)
    with torch.device("meta"):
        table = eval(e.state["code"], {"layer_table": layer_table, **vars(models)})
    assert (table.total.macs, table.total.params) == (e.state["total"]["macs"], e.state["total"]["params"])
