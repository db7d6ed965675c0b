"""receptive_field_explorer against geometry: boxes, clipping, measured fields, and any order of settings."""

import asyncio
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import preprocess
from course_utils.explorers import base, receptive_field_explorer
from course_utils.explorers import measured as module
from course_utils.explorers import receptive_field as drawing
from course_utils.explorers.measured import FIELD_BUILD, MEASURED
from course_utils.explorers.receptive_field import BOX, FIELD_NETWORKS, SIZE, TRAINED, UNTRAINED
from course_utils.geometry import effective_receptive_field, receptive_field


def network_layers(name):
    return drawing.network_layers(name, MEASURED)


SHARED = cache(receptive_field_explorer)  # built by the first test that calls it
ORDER = ("photo", "network", "effective", "layer", "row", "column")


@st.deferred
def photos():
    return st.sampled_from([value for _, value in SHARED().controls["photo"].options])


@st.deferred
def labels():
    return st.sampled_from(sorted({layer.label for name in FIELD_NETWORKS for layer in network_layers(name)}))


@pytest.mark.slow
@settings(max_examples=2 * settings.default.max_examples)
@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "photo": photos,
            "network": st.sampled_from(list(FIELD_NETWORKS)),
            "effective": st.sampled_from([BOX, UNTRAINED, TRAINED]),
            "layer": labels,
            "row": st.integers(0, 300),
            "column": st.integers(0, 300),
        },
    )
)
def test_any_setting_shows_what_geometry_says(values, check_picture):
    e = SHARED().set(**values)
    assert e.problem is None
    check_picture(e.svg)
    state, network = e.state, e.values["network"]
    layer = next(layer for layer in network_layers(network) if layer.label == e.values["layer"])
    assert (state["layer"], state["field"]) == (layer.layer, layer.field)
    row, column = state["unit"]
    assert (row, column) == (e.values["row"], e.values["column"])
    assert row < layer.out_shape[1] and column < layer.out_shape[2]
    top, left, bottom, right = state["box"] = layer.field.box(row, column)
    pixels = torch.zeros(SIZE, SIZE)
    pixels[max(top, 0) : bottom, max(left, 0) : right] = 1
    assert state["photo_share"] == pytest.approx(pixels.mean().item())
    assert state["padding_share"] == pytest.approx(
        1 - pixels.sum().item() / ((bottom - top) * (right - left))
    )
    if "row" in values and "network" not in values and "layer" not in values:
        assert row == min(values["row"], layer.out_shape[1] - 1)


@pytest.mark.parametrize("network", list(FIELD_NETWORKS))
def test_every_layers_name_has_room(network, check_picture):
    for layer in network_layers(network):
        check_picture(SHARED().set(network=network, layer=layer.label, effective=BOX).svg)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELD_NETWORKS)
def test_layers_are_geometrys(name):
    with torch.device("meta"):
        model = FIELD_BUILD[name]()
    layers = network_layers(name)
    assert len({layer.label for layer in layers}) == len(layers) > 5
    assert layers[-1].field == receptive_field(model, (3, SIZE, SIZE))
    for layer in layers[:: max(1, len(layers) // 3)]:
        assert layer.field == receptive_field(model, (3, SIZE, SIZE), layer.layer)


def test_published_fields():
    """google-research/receptive_field for AlexNet and VGG-16; torchvision's strides for the ResNets."""
    last = {name: network_layers(name)[-1].field.size[0] for name in FIELD_NETWORKS}
    assert (last["AlexNet"], last["VGG-16"]) == (195, 212)
    assert (last["ResNet-18"], last["ResNet-50"], last["GoogLeNet"]) == (435, 427, 715)


@pytest.mark.slow
def test_a_measurement_is_geometrys_and_kept():
    e = receptive_field_explorer(
        network="ResNet-18", layer="layer1.1", effective=UNTRAINED, row=10, column=20
    )
    assert not e.state["waiting"] and e.state["effective_sd"] is not None
    model = module.model_of("ResNet-18", UNTRAINED)
    photo = preprocess(module.photos()[e.values["photo"]].image)[None]
    expected = effective_receptive_field(model, photo, "layer1.1", (10, 20))
    found = MEASURED[drawing.effective_key(*(e.values[n] for n in ORDER))]
    assert e.state["effective_sd"] == tuple(found["sd"]) == pytest.approx(module.standard_deviation(expected))
    top, left, bottom, right = e.state["clipped"]
    outside = expected.clone()
    outside[top:bottom, left:right] = 0
    assert outside.sum() == 0 and expected.sum() > 0
    e.set(row=11)
    assert e.state["waiting"] and "being measured" in e.svg  # the box answers at once
    e.measure()
    assert not e.state["waiting"] and "being measured" not in e.svg
    e.set(row=10)
    assert not e.state["waiting"]


def test_in_a_running_loop_it_measures_by_itself(monkeypatch, in_a_loop):
    monkeypatch.setattr(base, "_REST", 0.01)

    async def scenario():
        e = receptive_field_explorer(network="AlexNet")
        e.controls["effective"].value = UNTRAINED
        e.controls["row"].value = 7
        e.controls["row"].value = 8  # the first is not worth measuring any more
        assert e.state["waiting"]
        before = len(MEASURED)
        while e.state["waiting"]:
            await asyncio.sleep(0.05)
        assert len(MEASURED) == before + 1

    in_a_loop(scenario)


def test_trained_weights_are_offered_only_where_they_are(check_picture):
    e = receptive_field_explorer(network="EfficientNet-Lite0", effective=TRAINED, layer="block 2")
    trained = e.state["effective_sd"]
    check_picture(e.svg)
    e.set(effective=UNTRAINED).measure()
    assert e.state["effective_sd"] != trained
    e.set(effective=TRAINED)
    e.controls["network"].value = "VGG-16"
    assert e.values["effective"] == BOX and TRAINED not in e.controls["effective"].options


def test_the_unit_stays_at_its_place_when_the_layer_changes():
    e = receptive_field_explorer(network="ResNet-18", row=100, column=8)
    for layer in ("layer4.1", "layer2.0", "conv1"):
        e.controls["layer"].value = layer
        _, height, width = e.state["out_shape"]
        assert e.state["unit"] == (int(100.5 / 112 * height), int(8.5 / 112 * width))
    assert e.state["unit"] == (100, 8)


def test_standard_deviation_of_a_known_map():
    heat = torch.zeros(9, 11)
    heat[4, 2], heat[4, 8] = 1, 1
    assert module.standard_deviation(heat) == pytest.approx((0, 3))


def test_untrained_batch_norm_has_the_photos_statistics():
    norm = module.model_of("ResNet-18", UNTRAINED).bn1
    assert not norm.training and norm.momentum == 0.1
    assert norm.running_mean.abs().max() > 0 and (norm.running_var - 1).abs().max() > 0


def test_what_is_not_offered_is_refused():
    with pytest.raises(ValueError, match="photo"):
        receptive_field_explorer(photo="my cat")
    with pytest.raises(ValueError, match="network"):
        receptive_field_explorer(network="LeNet-5")
