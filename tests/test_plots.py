"""Pictures say what they were given: the drawn numbers are compared with the input."""

import math
import statistics
import warnings
from itertools import combinations
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.font_manager import fontManager
from matplotlib.patches import Rectangle
from PIL import Image

from course_utils import data, plots
from course_utils.training import History

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plots.plt.close("all")


def test_a_family_has_one_colour_and_families_differ():
    assert plots.model_colour("ResNet-50") == plots.model_colour("resnet18") == plots.COLOURS["blue"]
    names = ["LeNet-5", "AlexNet", "VGG-16", "GoogLeNet", "ResNet-18", "plain-20", "linear", "MLP"]
    assert len({plots.model_colour(name) for name in names}) == len(names)
    assert plots.model_colour("mini_vgg") == plots.model_colour("VGG-16")


@pytest.mark.parametrize("shape", [(5, 9, 7), (5, 1, 9, 7), (5, 3, 9, 7)])
def test_images_keep_their_pixels_and_titles(shape):
    images = torch.rand(shape)
    figure = plots.show_images(images, [f"image {n}" for n in range(5)], columns=3)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == [f"image {n}" for n in range(5)]
    expected = (images - images.min()) / (images.max() - images.min())
    for ax, image in zip(shown, expected, strict=True):
        drawn = torch.tensor(ax.images[0].get_array())
        image = image.reshape(-1, 9, 7).permute(1, 2, 0) if image.ndim == 3 else image
        torch.testing.assert_close(drawn, image.squeeze(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: plots.show_images([]), "no image"),
        (lambda: plots.show_images(torch.rand(2, 4, 5, 5)), r"got \[2, 4, 5, 5\]"),
        (lambda: plots.show_images(torch.rand(2, 5, 5), ["one"]), "1 titles and 2 images"),
        (lambda: plots.show_topk(None, torch.rand(3), ["a", "b"]), "3 logits, 2 names"),
        (lambda: plots.show_topk(None, torch.rand(3), ["a", "b", "c"], k=4), "k=4"),
        (lambda: plots.show_topk(None, torch.rand(3), ["a", "b", "c"], k=1, target=-1), "target=-1"),
        (lambda: plots.show_topk(None, torch.rand(3), ["a", "b", "c"], k=1), "a photograph is"),
        (lambda: plots.plot_confusion(torch.eye(3), ["a", "b"]), r"\[3, 3\], 2"),
        (lambda: plots.plot_filters(torch.rand(3, 3)), r"got \[3, 3\]"),
        (lambda: plots.plot_activations(torch.rand(1, 3, 3, 3)), r"got \[1, 3, 3, 3\]"),
        (lambda: plots.plot_history(History()), "no step"),
        (lambda: plots.plot_layer_budget([]), "got 0 rows"),
        (lambda: plots.plot_accuracy_vs_cost([{"name": "A", "macs": 1}]), "and error; got .*'A'"),
        (lambda: plots.plot_accuracy_vs_cost([]), "got no row"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    before = plt.get_fignums()
    with pytest.raises(ValueError, match=sentence):
        call()
    assert plt.get_fignums() == before


def test_topk_bars_are_the_softmax_in_order_and_the_target_is_marked():
    logits = torch.randn(12, generator=torch.Generator().manual_seed(1))
    target = int(logits.topk(3).indices[2])
    photo = Image.new("RGB", (4, 4))
    ax = plots.show_topk(photo, logits, [f"class {n}" for n in range(12)], k=4, target=target).axes[1]
    (bars,) = [c for c in ax.containers if isinstance(c, BarContainer)]
    widths = [bar.get_width() for bar in bars]
    assert widths == pytest.approx(logits.softmax(0).sort(descending=True).values[:4].tolist())
    marked = [to_hex(bar.get_facecolor()).upper() == plots.COLOURS["green"] for bar in bars]
    assert marked == [False, False, True, False] and "place 3" in ax.get_title(loc="left")


def test_history_draws_every_run_and_epoch():
    runs = {
        name: History(losses=[2.0, 1.0, 0.5], train_errors=[0.3, 0.2], test_errors=[0.4, shift])
        for name, shift in (("LeNet-5", 0.25), ("linear", 0.35))
    }
    left, right = plots.plot_history(runs).axes
    assert [line.get_label() for line in left.lines] == ["LeNet-5", "linear"]
    assert [list(line.get_ydata()) for line in right.lines if line.get_linestyle() == "-"][:2] == [
        [0.4, 0.25],
        [0.4, 0.35],
    ]


def test_alt_text_says_titles_axes_and_names():
    figure, ax = plots.plt.subplots()
    figure.suptitle("Two runs")
    ax.plot([2.0, 1.0], label="LeNet-5")
    ax.set(xlabel="step", ylabel="training loss")
    ax.legend()
    assert plots.alt_text(figure) == "Two runs; training loss by step"
    figure.alt = "LeNet learns as fast as an MLP"
    assert plots.alt_text(figure) == figure.alt
    assert plots.alt_text(plots.plt.figure()) != ""


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "P", "CMYK"])
def test_pictures_of_any_kind_are_shown_as_a_viewer_shows_them(mode):
    picture = Image.effect_mandelbrot((8, 6), (-2, -1, 1, 1), 60)
    values = np.asarray(picture)
    image = Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    drawn = plots.show_images([image]).axes[0].images[0].get_array()
    assert drawn.shape == (6, 8, 3) and np.abs(np.asarray(drawn)[:, :, 0] * 255 - values).max() <= 1


NOTEBOOK = """
%matplotlib inline
from course_utils import plots
import torch
figure = plots.show_images(torch.rand(1, 5, 5), ["a boot"])
"""


@pytest.mark.slow
def test_figures_carry_their_alt_text_in_a_notebook():
    manager, client = start_new_kernel(startup_timeout=1000, kernel_name="python3")
    try:
        shown = []
        for code in (NOTEBOOK, "figure", "plots.plot_filters(torch.rand(2, 3, 4, 4), title='two kernels');"):
            client.execute_interactive(code, output_hook=shown.append)
        pictures = [m["content"] for m in shown if "image/png" in m["content"].get("data", {})]
        assert [picture["metadata"]["image/png"]["alt"] for picture in pictures] == [
            "1 picture in rows of 1: a boot."
        ] * 2 + ["2 kernels of 4 x 4 as tiles: two kernels."]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_confusions_are_shares_of_a_row():
    ax = plots.plot_confusion(torch.tensor([[8, 2], [0, 5]]), ["cat", "dog"])
    assert sorted(text.get_text() for text in ax.texts) == ["100 %", "20 %", "80 %"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]


def test_filters_share_one_scale_and_colour_kernels_are_colour():
    grey = plots.plot_filters(torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1).expand(2, 4, 3, 3)).images[0]
    values = grey.get_array().compressed()
    assert {round(float(v), 6) for v in values} == {0.5, -1.0} and grey.get_clim() == (-1, 1)
    assert plots.plot_filters(torch.randn(5, 3, 3, 3)).images[0].get_array().shape == (3, 19, 3)


def test_each_activation_map_uses_its_whole_scale():
    maps = torch.stack([torch.arange(9.0).reshape(3, 3), 100 + torch.arange(9.0).reshape(3, 3)])
    values = plots.plot_activations(maps).images[0].get_array().compressed()
    assert values.min() == 0 and values.max() == 1 and len(values) == 18


def test_a_receptive_field_is_drawn_whole_and_clipped():
    field = SimpleNamespace(box=lambda row, column: (-3 + row, -3, 8 + row, 8))
    ax = plots.plot_receptive_field(torch.rand(3, 20, 20), field, (1, 0))
    whole, inside = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert (whole.get_x(), whole.get_y(), whole.get_width(), whole.get_height()) == (-3, -2, 11, 11)
    assert (inside.get_x(), inside.get_y(), inside.get_width(), inside.get_height()) == (0, 0, 8, 9)
    assert "11 x 11" in ax.get_title()


def test_layer_shares_add_up_to_one():
    rows = [
        SimpleNamespace(name="conv", units=30, weights=1, macs=9),
        SimpleNamespace(name="pool", units=0, weights=0, macs=0),
        SimpleNamespace(name="fc", units=10, weights=3, macs=1),
    ]
    ax = plots.plot_layer_budget(rows)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["conv", "fc"]
    widths = {c.get_label().split(":")[0]: [bar.get_width() for bar in c] for c in ax.containers}
    assert widths == {"units": [0.75, 0.25], "weights": [0.25, 0.75], "macs": [0.9, 0.1]}


def test_models_stand_at_their_cost_and_error():
    rows = [
        {"name": "AlexNet", "macs": 7e8, "params": 6e7, "error": 0.43},
        {"name": "ResNet-18", "macs": 1.8e9, "params": 1.2e7, "error": 0.3},
    ]
    ax = plots.plot_accuracy_vs_cost(rows)
    assert [tuple(c.get_offsets()[0]) for c in ax.collections] == [(7e8, 0.43), (1.8e9, 0.3)]
    sizes = [c.get_sizes()[0] for c in ax.collections]
    assert sizes[0] > sizes[1] and ax.get_xscale() == "log" and math.isclose(sizes[0], 920)


@pytest.mark.parametrize(
    ("percent", "label"), [(True, "a\n{:.1f} ± {:.1f} %"), (False, "a\n{:.3f} ± {:.3f}")]
)
def test_every_seed_is_a_dot_and_the_spread_is_the_samples(percent, label):
    results = {"a": [0.10, 0.13, 0.11], "b": [0.2, 0.4]}
    ax = plots.plot_seeds(results, percent=percent)
    dots = [c.get_offsets()[:, 0].tolist() for c in ax.collections if len(c.get_offsets()) > 1]
    assert dots == list(results.values())
    scale = 100 if percent else 1
    expected = label.format(scale * statistics.mean(results["a"]), scale * statistics.stdev(results["a"]))
    assert ax.get_yticklabels()[0].get_text() == expected


@pytest.mark.parametrize("results", [{}, {"a": [0.1, 0.2], "b": [0.1]}])
def test_a_spread_needs_two_runs(results):
    with pytest.raises(ValueError, match="two runs or more"):
        plots.plot_seeds(results)


def test_names_of_models_do_not_cover_each_other_or_other_discs():
    rows = [
        {
            "name": row["model"],
            "macs": row["gmacs"] * 1e9,
            "params": row["params"],
            "error": 1 - row["top1_accuracy"],
        }
        for row in data.read_csv("torchvision_models")
        if row["weights"] == "IMAGENET1K_V1" and not row["model"].endswith("_bn")
    ]
    ax = plots.plot_accuracy_vs_cost(rows)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert [text.get_text() for text in ax.texts] == [row["name"] for row in rows]
    for a, b in combinations(boxes, 2):
        assert not a.overlaps(b)
    for box, row in zip(boxes, rows, strict=True):
        others = [r for r in rows if r is not row]
        assert not any(box.contains(*ax.transData.transform((r["macs"], r["error"]))) for r in others)


def test_a_table_sets_numbers_right_and_keeps_their_digits():
    rows = [("conv", 1234567, 0.123456, "9.6 %", None), ("fc", 8, 12345.6, "10 %", "x")]
    columns = ("layer", "weights", "share", "error", "note")
    head, rule, first, second = plots.show_table(rows, columns).data.splitlines()
    assert head == "| layer | weights | share | error | note |"
    assert rule == "| :-- | --: | --: | --: | :-- |"
    assert first == "| conv | 1,234,567 | 0.123 | 9.6 % |  |"
    assert second == "| fc | 8 | 12,346 | 10 % | x |"
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    assert plots.show_table(named).data == plots.show_table(rows, columns).data
    with pytest.raises(ValueError, match="same columns"):
        plots.show_table([{"a": 1}, {"b": 2}])


@pytest.mark.parametrize("rows", [[], [(1,), (2, 3)]])
def test_a_table_needs_the_same_columns_in_every_row(rows):
    with pytest.raises(ValueError, match="same columns"):
        plots.show_table(rows, ("a",))


def test_korean_titles_are_drawn_where_the_machine_has_a_korean_font(tmp_path):
    if not set(plots._KOREAN.split(", ")) & set(fontManager.get_font_names()):
        pytest.skip("no Korean font on this machine: install fonts-noto-cjk")
    figure, ax = plots.plt.subplots()
    ax.set_title("수용 영역 (receptive field), −1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "Glyph ... missing from font(s)"
        figure.savefig(tmp_path / "title.png")
