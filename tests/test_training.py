"""The loop against torch's own optimiser and schedule; interrupts and divergence for real."""

import copy
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.manager import start_new_kernel
from torch import nn

from course_utils.data import ImageSet
from course_utils.models import mini_vgg
from course_utils.muon import Muon, orthogonal
from course_utils.training import FitInterrupted, History, evaluate, fit, one_cycle, seed_everything


def image_set(count=96, seed=0, classes=10):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    prototypes = torch.randn(classes, 1, 8, 8, generator=torch.Generator().manual_seed(99))
    images = prototypes[labels] + 0.3 * torch.randn(count, 1, 8, 8, generator=generator)
    return ImageSet(images, labels, tuple(str(n) for n in range(classes)))


def network(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(288, 10),
    )


def flat(outputs=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))


class Then(nn.Module):
    """A linear model whose logits go through `change(logits, step, training)`."""

    def __init__(self, change):
        super().__init__()
        self.net, self.change, self.step = flat(), change, 0

    def forward(self, images):
        self.step += self.training
        return self.change(self.net(images), self.step, self.training)


def test_the_loop_takes_the_steps_that_torchs_sgd_would_take():
    train = image_set()
    ours, theirs = network(), network()
    history = fit(
        ours, train, epochs=2, batch_size=20, learning_rate=0.05, weight_decay=0.01, seed=3, progress=False
    )
    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    spared = [p for p in theirs.parameters() if p.ndim <= 1]
    sgd = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 0.01}, {"params": spared}], lr=1.0, momentum=0.9, nesterov=True
    )
    generator = torch.Generator().manual_seed(3)
    rates = iter(one_cycle(10, 0.05))
    for _ in range(2):
        for batch in torch.randperm(96, generator=generator).split(20):
            rate = next(rates)
            for group in sgd.param_groups:
                group["lr"] = rate
            loss = F.cross_entropy(theirs(train.images[batch]), train.labels[batch])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
    assert len(history.losses) == 10 and history.losses[-1] == pytest.approx(loss.item(), rel=1e-3)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 16, 144), (2, 32, 9), (1, 64, 64)])
def test_orthogonal_steps_keep_the_singular_vectors(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    left, values, right = torch.linalg.svd(orthogonal(matrices), full_matrices=False)
    large = values > 0.3  # what is nearly singular stays small
    assert large.float().mean() > 0.9 and values.max() < 1.4
    torch.testing.assert_close(left @ right, u @ v, rtol=0, atol=1e-3)


def test_muon_moves_kernels_by_an_orthogonal_matrix_and_leaves_the_rest_to_sgd():
    train = image_set()
    ours, theirs = network(), network()
    settings = {"epochs": 1, "batch_size": 96, "learning_rate": 0.3, "weight_decay": 0.0, "warm_up": 0.0}
    fit(ours, train, **settings, optimiser="muon", progress=False)
    fit(theirs, train, **settings, progress=False)
    before = network()[0].weight.flatten(1)
    step = before * (8**0.5 / before.norm()) - ours[0].weight.flatten(1)
    values = torch.linalg.svdvals(step.detach() / 0.1)
    assert values.max() < 1.4 and values.median() > 0.6
    for name, mine in ours.named_parameters():
        if name != "0.weight":
            torch.testing.assert_close(mine, theirs.get_parameter(name), rtol=1e-3, atol=1e-5)


def test_muon_learns_and_repeats_itself():
    runs = [
        fit(network(), image_set(960), image_set(300, seed=1), epochs=2, optimiser="muon", progress=False)
        for _ in range(2)
    ]
    assert runs[0].losses == runs[1].losses and runs[0].test_error < 0.2


def test_momentum_reaches_muon_and_sgd():
    train, ends = image_set(), []
    for momentum in (None, 0.0, 0.9):
        model = network()
        fit(model, train, epochs=2, batch_size=32, momentum=momentum, optimiser="muon", progress=False)
        ends.append((model[0].weight.detach(), model[5].weight.detach()))
    for one, other in ((0, 1), (1, 2)):
        assert not any(torch.allclose(a, b, atol=1e-4) for a, b in zip(ends[one], ends[other], strict=True))


def test_muon_skips_kernels_without_gradient_and_a_zero_kernel_moves():
    moved, still = (nn.Parameter(torch.zeros(4, 2, 3, 3)) for _ in range(2))
    muon = Muon([moved, still], lr=0.3)
    moved.grad = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        muon.step()
    assert moved.isfinite().all() and moved.abs().max() > 0 and still.abs().max() == 0
    for wrong in ([], [nn.Parameter(torch.zeros(3, 3))]):
        with pytest.raises(ValueError, match="weights of convolutions"):
            Muon(wrong)
    with pytest.raises(ValueError, match="convolutions"):
        fit(flat(), image_set(), epochs=1, optimiser="muon", progress=False)


def test_muon_trains_a_model_with_a_branch_that_is_never_used():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = network(), nn.Conv2d(1, 8, 3)

        def forward(self, images):
            return self.used(images)

    assert fit(Unused(), image_set(), epochs=1, optimiser="muon", progress=False).stopped == ""


def test_the_fall_is_the_cosine_of_torchs_one_cycle():
    ours = one_cycle(100, 0.4, warm_up=0.3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4), T_max=70
    )
    theirs = []
    for _ in range(70):
        cosine.optimizer.step()
        cosine.step()
        theirs.append(cosine.get_last_lr()[0])
    assert max(ours) == ours[29] == 0.4 and len(ours) == 100
    assert ours[30:] == pytest.approx(theirs, abs=1e-9)
    assert ours[:30] == pytest.approx([0.4 * (n + 1) / 30 for n in range(30)])


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("warm_up", [0.0, 0.25, 1.0])
def test_a_cycle_of_any_length_has_a_rate_for_every_step(steps, warm_up):
    rates = one_cycle(steps, 0.1, warm_up)
    assert len(rates) == steps and all(0 <= rate <= 0.1 for rate in rates) and max(rates) > 0


def test_training_learns_and_the_history_counts():
    train, test = image_set(960), image_set(300, seed=1)
    history = fit(network(), train, test, epochs=3, batch_size=64, learning_rate=0.05, progress=False)
    assert len(history.losses) == len(history.learning_rates) == 45
    assert len(history.train_errors) == len(history.test_errors) == 3
    assert history.images == 3 * 960 and history.images_per_second == history.images / history.seconds > 0
    assert history.test_error < 0.2 < 0.9 and history.losses[-1] < history.losses[0] and history.stopped == ""


def test_half_an_epoch_is_half_the_steps():
    assert len(fit(network(), image_set(100), epochs=0.5, batch_size=10, progress=False).losses) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_repeats_the_run_and_the_outer_random_state_is_kept(seed):
    runs = []
    for outer in (5, 6):
        torch.manual_seed(outer)
        before = torch.get_rng_state()
        model = network(dropout=0.5)
        torch.set_rng_state(before)
        runs.append(fit(model, image_set(), epochs=2, batch_size=16, seed=seed, progress=False).losses)
        assert torch.equal(torch.get_rng_state(), before)
    assert runs[0] == runs[1]


def test_another_seed_is_another_run():
    losses = [
        fit(network(), image_set(), epochs=1, seed=s, batch_size=16, progress=False).losses for s in (0, 1)
    ]
    assert losses[0] != losses[1]


def test_augmentation_sees_every_batch_and_its_generator():
    seen = []

    def augment(images, generator):
        seen.append((len(images), torch.rand(1, generator=generator).item()))
        return images.flip(-1)

    fit(network(), image_set(100), epochs=1, batch_size=32, augment=augment, progress=False)
    assert [count for count, _ in seen] == [32, 32, 32, 4]


def test_a_model_with_several_outputs_and_its_own_loss():
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, images):
            logits = self.body(images)
            return (logits, logits * 2) if self.training else logits

    def loss(outputs, targets):
        return F.cross_entropy(outputs[0], targets) + 0.3 * F.cross_entropy(outputs[1], targets)

    history = fit(TwoHeads(), image_set(), image_set(seed=1), epochs=2, loss=loss, progress=False)
    assert len(history.test_errors) == 2 and history.stopped == ""


def test_a_loss_that_is_not_finite_stops_with_a_sentence(capsys):
    model = network()
    history = fit(model, image_set(), image_set(), epochs=5, batch_size=8, learning_rate=1e12, progress=False)
    assert "the loss is" in history.stopped and "learning_rate" in history.stopped
    assert history.stopped in capsys.readouterr().out
    assert 0 < len(history.losses) < 60 and all(map(math.isfinite, history.losses))


def fail(kind, *sentence):
    raise kind(*sentence)


LATE = {  # what goes wrong behind some step, and a word of the sentence
    "evaluation gives NaN": (lambda logits, step, training: logits if training else logits * math.nan, "NaN"),
    "evaluation gives a dict": (lambda logits, step, training: logits if training else {"a": logits}, "dict"),
    "evaluation fails": (
        lambda logits, step, training: logits if training else fail(KeyError, "k"),
        "KeyError",
    ),
    "evaluation has other shapes": (
        lambda logits, step, training: logits if training else logits[0],
        "shape",
    ),
    "memory": (lambda logits, step, training: logits if step < 3 else fail(MemoryError), "batch_size"),
    "a type": (lambda logits, step, training: logits if step < 3 else logits + "a", "TypeError"),
    "a sentence": (
        lambda logits, step, training: logits if step < 3 else fail(ValueError, "one\ntwo"),
        "one",
    ),
}


@pytest.mark.parametrize("what", LATE)
def test_whatever_goes_wrong_behind_the_first_step_leaves_history_and_model(what, capsys):
    change, word = LATE[what]
    model = Then(change)
    history = fit(model, image_set(), image_set(), epochs=2, batch_size=32, progress=False)
    assert (
        word in history.stopped
        and "\n" not in history.stopped
        and history.stopped.startswith("Stopped after ")
    )
    assert history.stopped in capsys.readouterr().out
    assert len(history.losses) in (2, 3) and all(p.isfinite().all() for p in model.parameters())
    assert not any(module.training for module in model.modules())


def test_an_augmentation_and_a_hook_that_fail_stop_the_run_too():
    calls = []

    def augment(images, generator):
        calls.append(len(images))
        return images if len(calls) < 3 else images[:, 0]

    assert (
        "Stopped after 2 of 3 steps"
        in fit(network(), image_set(), epochs=1, batch_size=32, augment=augment, progress=False).stopped
    )
    model = flat()
    model[1].register_forward_hook(
        lambda *_: calls.append(0) or (fail(OSError, "disk") if len(calls) > 5 else None)
    )
    assert "OSError: disk" in fit(model, image_set(), epochs=1, batch_size=32, progress=False).stopped


def test_a_loss_that_is_not_finite_is_blamed_on_what_made_it():
    def broken(images, generator):
        return images / 0

    stopped = fit(flat(), image_set(), epochs=1, augment=broken, progress=False).stopped
    assert "augment" in stopped and "learning_rate" not in stopped
    model = flat()
    nn.init.constant_(model[1].weight, math.inf)
    stopped = fit(model, image_set(), epochs=1, progress=False).stopped
    assert "the model's weights" in stopped and "learning_rate" not in stopped
    stopped = fit(
        flat(), image_set(), epochs=1, loss=lambda out, y: F.cross_entropy(out, y) / 0, progress=False
    ).stopped
    assert "loss function" in stopped and "learning_rate" not in stopped


@pytest.mark.parametrize("tested", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_weights_that_broke_with_an_epochs_last_step_are_noticed(seed, tested):
    torch.manual_seed(seed)
    model = mini_vgg((1, 1), width=4, batch_norm=False)
    train = ImageSet(torch.randn(64, 1, 28, 28), torch.arange(64) % 10, tuple("abcdefghij"))
    history = fit(
        model, train, train if tested else None, epochs=1, batch_size=64, learning_rate=1e25, progress=False
    )
    assert history.stopped or all(p.isfinite().all() for p in model.parameters())
    assert fit(model, train, epochs=1, batch_size=64, learning_rate=1e25, progress=False).stopped


class Counting(nn.Module):
    """A mask of -inf, as in attention, and a buffer that forward replaces."""

    def __init__(self, fails=False):
        super().__init__()
        self.net, self.fails = flat(), fails
        self.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls = self.calls + 1
        return fail(AssertionError) if self.fails else self.net(images)


def test_buffers_that_are_infinite_by_design_end_no_run():
    history = fit(Counting(), image_set(), image_set(), epochs=3, progress=False)
    assert history.stopped == "" and len(history.test_errors) == 3


def test_buffers_that_forward_replaces_are_put_back():
    model = Counting()
    evaluate(model, image_set(), progress=False)
    assert model.calls == 0 and not model.calls.is_inference()
    model.fails = True
    with pytest.raises(ValueError, match=r"taken: AssertionError$"):
        fit(model, image_set(), epochs=1, progress=False)
    assert model.calls == 0


def test_a_run_that_breaks_at_rate_nought_is_told_a_rate_above_it():
    model, calls = network(), []

    def break_last(*_):
        calls.append(1)
        if len(calls) == 3:  # the last step's learning rate is 0
            model[1].running_var = torch.full((8,), math.inf)

    model[1].register_forward_hook(break_last)
    stopped = fit(model, image_set(), epochs=1, batch_size=32, progress=False).stopped
    assert "learning_rate below 0.1, reached by then" in stopped


@pytest.mark.parametrize("device", ["meta", "nonsense", [1], 2.5])
def test_devices_that_do_not_compute_are_refused_and_weights_stay(device):
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"^no step of training could be taken: [^\n]*device"):
        fit(model, image_set(), epochs=1, device=device, progress=False)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="meta device"):
        fit(network().to("meta"), image_set(), epochs=1, progress=False)


FITTING = {"epochs": 1, "progress": False}
POOLED = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 10)
)
NOT_FITTING = {
    "epochs is": [{"epochs": value} for value in (0, math.inf, math.nan, None, "1", -1, True)],
    "batch_size is": [{"batch_size": value} for value in (0, 2.5, None, "8", math.nan, True)],
    "learning_rate is": [{"learning_rate": value} for value in (-1.0, 0, None, "a", math.nan, torch.ones(2))],
    "momentum is": [{"momentum": value} for value in (1.0, -0.1, "a", math.nan)],
    "weight_decay is": [{"weight_decay": value} for value in (-1.0, None, math.inf)],
    "warm_up is": [{"warm_up": value} for value in (2, None, -0.1)],
    "label_smoothing is": [{"label_smoothing": value} for value in (2, None, "a")],
    "seed is": [{"seed": value} for value in (None, 1.5, -1, "a")],
    "optimiser is": [{"optimiser": value} for value in ("adam", None, 3)],
    "loss is": [{"loss": "mse"}],
    "augment is": [{"augment": 0.5}],
    "train is an ImageSet": [{"train": torch.randn(4, 1, 8, 8)}, {"train": None}],
    "test is an ImageSet": [{"test": [1, 2]}],
    "no image in train": [{"train": image_set(4).subset(0)}],
    "no image in test": [{"test": image_set(4).subset(0)}],
    "model is an nn.Module": [{"model": nn.Linear}, {"model": torch.sigmoid}],
    "nothing to train": [{"model": flat().requires_grad_(False)}, {"model": nn.Flatten()}],
    "lazy layer": [{"model": nn.Sequential(nn.Flatten(), nn.LazyLinear(10))}],
    "10 classes or more": [
        {"model": flat(5)},
        {"model": nn.Conv2d(1, 10, 3)},
        {"model": nn.Sequential(flat(), nn.Flatten(0))},
    ],
    "torch.float64": [{"model": flat().double()}, {"model": network().double()}],
    "ends with a single image": [
        {"train": image_set(65), "batch_size": 32, "model": POOLED},
        {"train": image_set(1), "model": POOLED},
    ],
    "single value|more than 1 value": [{"batch_size": 1, "model": POOLED}],
    "got a dict": [{"model": Then(lambda logits, step, training: {"logits": logits})}],
    "KeyError": [{"model": Then(lambda *_: fail(KeyError, "k"))}],
    "channels": [{"model": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(10))[:2]}],
    "grad": [{"model": Then(lambda logits, *_: logits.detach())}],
    "converted to|elements": [{"loss": lambda out, y: F.cross_entropy(out, y, reduction="none")}],
}


@pytest.mark.parametrize(
    ("sentence", "setting"), [(sentence, each) for sentence, all_ in NOT_FITTING.items() for each in all_]
)
def test_what_does_not_fit_is_refused_in_a_sentence_before_the_first_step(sentence, setting):
    model = setting.get("model", network())
    modes, before = [], {}
    if isinstance(model, nn.Module) and sentence != "lazy layer":
        modes = [module.training for module in model.modules()]
        before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=sentence) as refusal:
        fit(**{"model": model, "train": image_set(), **FITTING, **setting})
    assert "\n" not in str(refusal.value)
    if modes:
        assert modes == [module.training for module in model.modules()]
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_training_without_gradients_is_refused(off):
    with off(), pytest.raises(ValueError, match="gradients"):
        fit(network(), image_set(), **FITTING)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pixels_that_are_no_numbers_are_named(value):
    broken = image_set()
    broken.images[3, 0, 2, 2] = value
    for run in (
        lambda: fit(flat(), broken, **FITTING),
        lambda: fit(flat(), image_set(), broken, **FITTING),
        lambda: evaluate(flat(), broken),
    ):
        with pytest.raises(ValueError, match="NaN or infinity in image 3"):
            run()


def test_three_dimensional_convolutions_train():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.net = nn.Conv3d(1, 2, 3), nn.Linear(72, 10)

        def forward(self, images):
            return self.net(self.conv(images[:, :, None].repeat(1, 1, 3, 1, 1)).flatten(1))

    assert fit(Deep(), image_set(), image_set(), **FITTING).stopped == ""


def test_a_batch_of_one_is_fine_where_the_model_takes_it():
    assert len(fit(network(), image_set(65), epochs=1, batch_size=32, progress=False).losses) == 3


@given(st.integers(0, 10**6), st.integers(1, 7))
def test_ties_count_against_the_target_everywhere(seed, values):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(values, (70, 10), generator=generator).float()
    images = image_set(70)
    images.images[:, 0, 0, 0] = torch.arange(70.0)

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.zero = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return logits[x[:, 0, 0, 0].long()] + 0 * self.zero

    history = fit(Fixed(), images, images, epochs=1, batch_size=32, progress=False)
    answer = evaluate(Fixed(), images, progress=False)
    targets = images.labels
    rivals = [logits[n][[c for c in range(10) if c != t]].max() for n, t in enumerate(targets.tolist())]
    wrong = sum(
        rival >= logits[n, t] for n, (rival, t) in enumerate(zip(rivals, targets.tolist(), strict=True))
    )
    assert (
        history.train_errors
        == history.test_errors
        == [answer.top1_error]
        == [pytest.approx(wrong.item() / 70)]
    )
    assert (answer.predictions != targets).double().mean().item() == pytest.approx(answer.top1_error)
    assert torch.equal(logits.gather(1, answer.predictions[:, None])[:, 0], logits.amax(dim=1))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda: flat().to("meta"), "meta"),
        (lambda: flat().bfloat16(), "torch.bfloat16"),
        (lambda: flat(5), "class numbers from 0 to 4"),
        (lambda: nn.Conv2d(1, 10, 3), "shape"),
        (lambda: nn.Sequential(flat(), nn.Flatten(0)), "shape"),
        (lambda: Then(lambda *_: fail(KeyError, "k")), "KeyError"),
        (lambda: Then(lambda logits, *_: [logits[:1]][0]), "one target per row"),
    ],
)
def test_evaluation_refuses_in_a_sentence_and_leaves_each_module_its_mode(model, sentence):
    model = model()
    next(model.modules()).train()
    for child in model.children():
        child.eval()
    modes = [module.training for module in model.modules()]
    with pytest.raises(ValueError, match=sentence):
        evaluate(model, image_set(20), progress=False)
    assert modes == [module.training for module in model.modules()]


@pytest.mark.parametrize("model", [None, nn.Linear, torch.relu])
def test_evaluation_refuses_what_is_no_model(model):
    with pytest.raises(ValueError, match=r"^model is an nn\.Module; got"):
        evaluate(model, image_set())


def test_numpys_integers_are_whole_numbers():
    settings = {"batch_size": np.int64(32), "seed": np.int64(0)}
    assert len(fit(network(), image_set(), epochs=1, progress=False, **settings).losses) == 3
    assert set(evaluate(network(), image_set(), np.array([1, 5])).errors) == {1, 5}


def test_evaluation_takes_the_first_of_several_outputs():
    pair = Then(lambda logits, *_: (logits, logits * 0))
    assert torch.equal(evaluate(pair, image_set()).logits, evaluate(pair.net, image_set()).logits)


def test_evaluation_is_torchs_cross_entropy_and_argmax():
    model, images = network(), image_set(70)
    model.train()
    answer = evaluate(model, images, ks=(1, 5), batch_size=32)
    assert model.training
    model.eval()
    with torch.no_grad():
        logits = model(images.images)
    torch.testing.assert_close(answer.logits, logits)
    assert answer.loss == pytest.approx(F.cross_entropy(logits, images.labels).item(), rel=1e-5)
    assert answer.top1_error == pytest.approx((logits.argmax(1) != images.labels).float().mean().item())
    assert torch.equal(answer.predictions, logits.argmax(1)) and answer.errors[5] <= answer.top1_error
    answer.logits.requires_grad_().sum().backward()  # an inference tensor would refuse


def test_evaluation_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="no image"):
        evaluate(network(), image_set(4).subset(0))
    with pytest.raises(ValueError, match="ks=\\(1,\\)"):
        _ = evaluate(network(), image_set(4), ks=(5,)).top1_error


def test_seeds_repeat_torch_numpy_and_python():
    import random

    import numpy as np

    draws = []
    for _ in range(2):
        seed_everything(7)
        draws.append((torch.rand(1).item(), np.random.rand(), random.random()))  # noqa: NPY002
    assert draws[0] == draws[1]


SETUP = """
import torch
from torch import nn
from course_utils.data import ImageSet
from course_utils.training import fit, evaluate
data = ImageSet(torch.randn(2000, 1, 28, 28), torch.randint(0, 10, (2000,)), tuple("0123456789"))
model = nn.Sequential(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 576, 10))
batches = 0
def augment(images, generator):
    global batches
    batches += 1
    if batches == 20:
        print("in the middle of a fit", flush=True)
    return images
"""


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel(startup_timeout=1000, kernel_name="python3")
    client.execute_interactive(SETUP)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def interrupted(kernel, code):
    """The reply to a cell that is interrupted once, by a real SIGINT, in the middle of its first `fit`."""
    manager, client = kernel
    # stop_on_error would let the kernel abort, unread, what is asked next
    client.execute("batches = 0\n" + code, stop_on_error=False)
    while client.get_iopub_msg()["msg_type"] != "stream":
        pass
    manager.interrupt_kernel()
    return client.get_shell_msg()["content"]


def check(kernel, code):
    after = kernel[1].execute_interactive(code)["content"]
    assert after["status"] == "ok", after["traceback"][-1]


@pytest.mark.slow
def test_an_interrupted_fit_keeps_history_and_model_and_ends_the_cell(kernel):
    settings = "data, data, epochs=1000, augment=augment, progress=False"
    reply = interrupted(kernel, f"went_on = False\nhistory = fit(model, {settings})\nwent_on = True")
    assert reply["status"] == "error" and reply["ename"] == "FitInterrupted"
    (sentence,) = reply["traceback"]
    assert re.fullmatch(r"Interrupted after \d+ of 16,000 steps\. [^\n]*`history`\.", sentence)
    check(
        kernel,
        "assert not went_on and 'history' not in globals()\n"
        f"assert model.history.stopped == {sentence!r}\n"
        "assert 0 < len(model.history.losses) == len(model.history.learning_rates)\n"
        "assert evaluate(model, data).loss > 0 and not model.training\n"
        "again = fit(model, data, epochs=0.1, progress=False)\n"
        "assert again is model.history and len(again.losses) == 2 and again.stopped == ''",
    )


@pytest.mark.slow
def test_one_interrupt_ends_a_sweep_over_many_networks(kernel):
    reply = interrupted(
        kernel,
        "nets = [nn.Sequential(nn.Flatten(), nn.Linear(784, 10)) for _ in range(4)]\n"
        "for net in nets:\n"
        "    try:\n"
        "        fit(net, data, epochs=1000, augment=augment, progress=False)\n"
        "    except Exception:\n"
        "        pass  # as careless code does",
    )
    assert reply["status"] == "error"
    check(kernel, "assert [hasattr(net, 'history') for net in nets] == [True, False, False, False]")


def test_an_interrupt_outside_of_a_notebook_carries_the_history():
    def augment(images, generator):
        raise KeyboardInterrupt

    model = network()
    with pytest.raises(FitInterrupted, match="after 0 of 24 steps") as caught:
        fit(model, image_set(), epochs=2, batch_size=8, augment=augment, progress=False)
    assert caught.value.history is model.history and isinstance(caught.value, KeyboardInterrupt)


def test_results_at_a_cells_end_print_one_line():
    model, data = network(), image_set()
    history = fit(model, data, data, epochs=3, batch_size=8, progress=False)
    assert re.fullmatch(r"History\(36 steps, train error [\d.]+ %, test error [\d.]+ %\)", repr(history))
    answer = repr(evaluate(model, data))
    assert re.fullmatch(r"Evaluation\(96 images, loss [\d.e-]+, top-1 error .* %, top-5 error .* %\)", answer)
    diverged = fit(network(), data, epochs=5, batch_size=8, learning_rate=1e12, progress=False)
    assert repr(diverged).endswith(diverged.stopped) and diverged.stopped and "\n" not in repr(diverged)
    assert repr(History()) == "History(0 steps)"


def test_bars_of_networks_of_one_class_can_be_told_apart(capsys):
    for width in (4, 7):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(64, width * 10)), image_set(), epochs=1)
    shown = capsys.readouterr().err
    assert "Sequential, 2,600 parameters" in shown and "Sequential, 4,550 parameters" in shown
