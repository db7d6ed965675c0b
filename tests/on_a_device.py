"""What a reader with a GPU meets. There is none here: tests/elsewhere.py stands in for it."""

from dataclasses import replace

import matplotlib
import pytest
import torch
from elsewhere import DEVICE, Elsewhere
from PIL import Image
from test_training import image_set, network

from course_utils import metrics, plots, training
from course_utils.geometry import effective_receptive_field, layer_table, receptive_field
from course_utils.measurements import layer_signals
from course_utils.models import resnet_cifar
from course_utils.training import evaluate, fit

matplotlib.use("agg")
CPU = torch.device("cpu")
SETTINGS = {"epochs": 2, "batch_size": 20, "progress": False}


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    monkeypatch.setattr(training, "best_device", lambda: DEVICE)
    with Elsewhere():
        yield


def devices(model):
    return {tensor.device for tensor in (*model.parameters(), *model.buffers())}


def test_the_stand_in_refuses_what_a_gpu_refuses():
    there = network().to(DEVICE)
    assert devices(there) == {DEVICE}
    with pytest.raises(RuntimeError, match="same device"):
        there(image_set().images)
    with pytest.raises(RuntimeError, match="numpy"):
        image_set().images.to(DEVICE).numpy()
    with pytest.raises(TypeError, match="float64"):
        image_set().images.to(DEVICE).double()


def test_fit_computes_on_the_device_and_gives_the_model_back():
    train, test = image_set(), image_set(seed=1)
    model, here, seen = network(), network(), set()
    model.register_forward_pre_hook(lambda layer, inputs: seen.add(inputs[0].device))
    history = fit(model, train, test, **SETTINGS)
    assert seen == {DEVICE} and devices(model) == {CPU} and not model.training
    model(test.images)
    assert fit(here, train, test, device="cpu", **SETTINGS).losses == history.losses
    for ours, theirs in zip(model.state_dict().values(), here.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    there = network().to(DEVICE)
    fit(there, train, test, device="cpu", **SETTINGS)
    assert devices(there) == {DEVICE}


@pytest.mark.parametrize(
    ("error", "raised"), [(KeyboardInterrupt, KeyboardInterrupt), (ZeroDivisionError, ValueError)]
)
def test_a_run_that_ends_early_gives_the_model_back_too(error, raised):
    def augment(images, generator):
        raise error

    model = network()
    with pytest.raises(raised):
        fit(model, image_set(), augment=augment, **SETTINGS)
    assert devices(model) == {CPU}


@pytest.mark.parametrize("on_model", [CPU, DEVICE])
@pytest.mark.parametrize("on_images", [CPU, DEVICE])
def test_a_set_and_a_model_on_any_devices_are_trained_and_evaluated(on_model, on_images):
    expected = evaluate(network(), image_set())
    model, images = network().to(on_model), image_set()
    images = replace(images, images=images.images.to(on_images), labels=images.labels.to(on_images))
    answer = evaluate(model, images)
    assert answer.logits.device == answer.targets.device == CPU
    assert torch.equal(answer.logits, expected.logits) and answer.errors == expected.errors
    assert len(fit(model, images, images, **SETTINGS).test_errors) == 2
    assert devices(model) == {on_model}


@pytest.mark.parametrize("on_model", [CPU, DEVICE])
@pytest.mark.parametrize("on_images", [CPU, DEVICE])
def test_signals_and_fields_are_measured_wherever_model_and_images_are(on_model, on_images):
    torch.manual_seed(0)
    model = resnet_cifar(8, in_channels=1, widths=(8, 16, 32), stem=(5, 4, 2))
    images, targets = torch.randn(4, 1, 28, 28), torch.arange(4)
    signals = layer_signals(model, images, targets)
    field = effective_receptive_field(model, images, layer="layer2.0")
    model.to(on_model)
    assert layer_signals(model, images.to(on_images), targets.to(on_images)) == signals
    there = effective_receptive_field(model, images.to(on_images), layer="layer2.0")
    torch.testing.assert_close(there.cpu(), field)
    assert layer_table(model, (1, 28, 28)).total.macs > 0 and receptive_field(model, (1, 28, 28)).size[0] > 0
    assert devices(model) == {on_model}


@pytest.mark.parametrize("on_logits", [CPU, DEVICE])
@pytest.mark.parametrize("on_labels", [CPU, DEVICE])
def test_metrics_take_tensors_from_any_device(on_logits, on_labels):
    logits, labels = torch.randn(50, 10), torch.randint(0, 10, (50,))
    far = logits.to(on_logits), labels.to(on_labels)
    assert metrics.topk_errors(*far) == metrics.topk_errors(logits, labels)
    assert torch.equal(metrics.target_ranks(*far).cpu(), metrics.target_ranks(logits, labels))
    counts = metrics.confusion_matrix(far[0].argmax(1), far[1], 10)
    assert torch.equal(counts.cpu(), metrics.confusion_matrix(logits.argmax(1), labels, 10))


def test_figures_take_tensors_from_the_device():
    model, images = network().to(DEVICE), image_set().images.to(DEVICE)
    names = [str(n) for n in range(10)]
    plots.plot_confusion(torch.ones(10, 10, dtype=torch.long).to(DEVICE), names)
    plots.plot_filters(model[0].weight)
    plots.plot_activations(model[0](images[:1])[0])
    plots.show_images(images)
    plots.show_topk(Image.new("RGB", (8, 8)), torch.randn(10).to(DEVICE), names)
    plots.plot_receptive_field(images[0], receptive_field(model, (1, 8, 8), layer="0"))
    plots.plt.close("all")
