"""What stands beside a picture for those who do not see it, how a network is drawn, and source in a cell."""

import math
import re
from itertools import pairwise
from types import SimpleNamespace

import matplotlib as mpl
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.patches import Rectangle
from PIL import Image

from course_utils import geometry, metrics, models, plots
from course_utils.training import History

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plots.plt.close("all")


def alt(picture) -> str:
    return picture.get_figure(root=True).alt


ROWS = [
    SimpleNamespace(name="conv", units=30, weights=1, macs=9),
    SimpleNamespace(name="fc", units=10, weights=3, macs=1),
]
MODELS = [{"name": "AlexNet", "macs": 7e8, "params": 6e7, "error": 0.43}]


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.show_images(torch.rand(3, 4, 4), ["a cat", "", "two\ndogs"]), "3 pictures .* a cat; two dogs"),
        (lambda: plots.show_topk(Image.new("L", (4, 4)), torch.arange(6.0), list("uvwxyz"), target=4), "z 63.*place 2"),
        (lambda: plots.plot_history({"A": History(losses=[0.5], test_errors=[0.25])}), r"A ends .* 0\.50.* 25\.0 %"),
        (lambda: plots.plot_confusion(torch.tensor([[8, 2], [0, 5]]), ["c", "d"]), "d, 100 %.*c taken for d, 20 %"),
        (lambda: plots.plot_filters(torch.rand(5, 3, 7, 7)), "5 kernels of 7 x 7"),
        (lambda: plots.plot_activations(torch.rand(1, 3, 4)), "1 feature map of 3 x 4"),
        (lambda: plots.plot_layer_budget(ROWS), "units: most in conv, 75 %; weights: most in fc, 75 %"),
        (lambda: plots.plot_seeds({"a": [0.1, 0.2], "b": [0.3, 0.3]}), "a 15.0 ± 7.1 %; b 30.0 ± 0.0 %"),
        (lambda: plots.plot_accuracy_vs_cost(MODELS), r"AlexNet: 700 M multiply-adds, 43\.0 %"),
        (lambda: plots.plot_network([geometry.conv_layer((1, 9, 9), 2, 3)]), "input 1 x 9 x 9; .* 2 x 7 x 7"),
    ],
)  # fmt: skip
def test_each_function_says_in_words_what_it_drew(draw, words):
    assert re.search(words, alt(draw())), alt(draw())


def test_two_drawings_in_one_figure_are_both_told_and_a_description_replaces_them():
    _, (left, right) = plots.plt.subplots(1, 2)
    plots.plot_confusion(torch.eye(2).long(), ["cat", "dog"], ax=left)
    plots.plot_layer_budget(ROWS, ax=right)
    assert "Confusion" in alt(left) and "Bars" in alt(left)
    assert alt(plots.describe(left, "A pair\n of charts.")) == "A pair of charts."
    with pytest.raises(ValueError, match="in words"):
        plots.describe(left, " ")


def test_a_notebook_gets_the_text_beside_the_picture():
    formatter = InteractiveShell.instance().display_formatter
    formatter.mimebundle_formatter.for_type(plots.Figure, plots.alt_metadata)
    formatter.formatters["image/png"].for_type(plots.Figure, lambda figure: b"the backend's picture")
    figure = plots.plt.figure()
    assert formatter.format(figure)[1] == {"image/png": {"alt": "a drawing without labels"}}
    plots.describe(figure, "Nothing at all.")
    bundle, metadata = formatter.format(figure)
    assert bundle["image/png"] == b"the backend's picture"
    assert metadata == {"image/png": {"alt": "Nothing at all."}}


@given(
    maps=st.lists(st.tuples(*[st.integers(1, 600)] * 3), min_size=1, max_size=6),
    features=st.lists(st.tuples(st.integers(1, 5000)), max_size=3),
)
@settings(deadline=None, max_examples=8, phases=[Phase.generate])
def test_a_network_is_drawn_to_scale_and_its_labels_stay_apart(maps, features):
    shapes = [*maps, *features]
    layers = [SimpleNamespace(name="x", in_shape=maps[0], out_shape=shape) for shape in shapes]
    ax = plots.plot_network(layers)
    stacks = [p for p in ax.patches if isinstance(p, Rectangle)][: -len(features) or None]
    largest = max(max(shape[1:]) for shape in maps)
    drawn = {(round(p.get_height(), 6), round(p.get_width(), 6)) for p in stacks}
    assert max(map(max, drawn)) == pytest.approx(2)
    assert drawn == {tuple(round(2 * math.sqrt(n / largest), 6) for n in shape[1:]) for shape in maps}
    assert [text.get_text().split("\n")[1] for text in ax.texts][1:] == [
        "×".join(map(str, s)) for s in shapes
    ]
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))
    plots.plt.close(ax.figure)


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match="no layer to draw"):
        plots.plot_network([])


def test_a_source_is_shown_as_it_stands_in_the_file():
    text = plots.show_source(models.lenet.LeNet5, metrics.topk_error).data
    assert text.startswith("```python\nclass LeNet5(nn.Module):") and text.endswith("\n```")
    assert "nn.Conv2d(6, 16, kernel_size=5)" in text and "\n\n\ndef topk_error(" in text
    for nothing in (len, models.lenet5()):
        with pytest.raises(ValueError, match="have a source"):
            plots.show_source(nothing)
