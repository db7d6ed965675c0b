"""torchvision's classifiers: parameters, multiply-adds and units against its metadata and what torch counts."""

from collections import Counter

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model, get_model_weights

from course_utils.geometry import layer_table

QUICK = {"alexnet", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "vgg11_bn"}
# They compute their widths with tensors, so they cannot be built on the meta device; some take gigabytes.
ON_CPU = {"regnet_x_400mf", "regnet_y_400mf", "regnet_x_1_6gf", "regnet_y_3_2gf"}
NAMES = [
    name
    for name in torchvision.models.list_models(module=torchvision.models)
    if not name.startswith("regnet") or name in ON_CPU
]


def built(name):
    settings = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("cpu" if name in ON_CPU else "meta"), pytest.MonkeyPatch.context() as patch:
        for start in ("kaiming_normal_", "kaiming_uniform_", "trunc_normal_", "normal_", "xavier_uniform_"):
            patch.setattr(torch.nn.init, start, lambda tensor, *_, **__: tensor)  # no value is looked at
        return get_model(name, **settings).to("meta").eval()


def units_by_hooks(model, names, image):
    """Elements of the outputs of these modules in one forward pass."""
    units = dict.fromkeys(names, 0)

    def hook(name):
        def note(module, given, output):
            units[name] += (output[0] if isinstance(output, tuple) else output).numel()

        return note

    for name in names:
        model.get_submodule(name).register_forward_hook(hook(name))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return units, counter.get_total_flops() // 2


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_what_torch_counts(name):
    model = built(name)
    weights = min(get_model_weights(name), key=lambda w: w.transforms.keywords["crop_size"])
    size = weights.transforms.keywords["crop_size"]
    table = layer_table(model, (3, size, size))
    modules, ours = dict(model.named_modules()), Counter()
    for row in table:
        if row.name in modules:
            ours[row.name] += row.units
    units, macs = units_by_hooks(model, sorted(ours), torch.empty(1, 3, size, size, device="meta"))
    assert len(ours) >= 10 and ours == units
    assert table.total.macs == macs
    assert table.total.macs / 1e9 == pytest.approx(weights.meta["_ops"], abs=5.1e-4)
    assert table.total.params + table.unused_params == sum(p.numel() for p in model.parameters())
    auxiliary = name in ("googlenet", "inception_v3")
    assert bool(table.unused_params) == auxiliary
    # Inception v3's published figure includes the auxiliary head, GoogLeNet's does not.
    published = table.total.params + (table.unused_params if name == "inception_v3" else 0)
    assert published == weights.meta["num_params"]
