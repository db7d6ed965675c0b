"""Top-k metrics against torch.topk, scikit-learn and torchmetrics; the latter two load slowly, so only where used."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.metrics import (
    TopKMeter,
    confusion_matrix,
    target_ranks,
    topk_accuracy,
    topk_error,
    topk_errors,
)


@st.composite
def predictions(draw, ties=False):
    images, classes = draw(st.integers(1, 40)), draw(st.integers(2, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    if ties:
        logits = torch.randint(0, 3, (images, classes), generator=generator).float()
    else:  # a permutation of different numbers per row: no two scores are equal
        logits = torch.rand(images, classes, generator=generator).argsort(dim=1).float()
    return logits, torch.randint(0, classes, (images,), generator=generator), draw(st.integers(1, classes))


@given(predictions())
def test_errors_are_those_of_torch_topk(case):
    logits, targets, k = case
    found = (logits.topk(k, dim=1).indices == targets[:, None]).any(dim=1)
    assert topk_accuracy(logits, targets, k) == pytest.approx(found.double().mean().item())
    assert topk_error(logits, targets, k) == (~found).sum().item() / len(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@given(predictions())
def test_accuracy_is_scikit_learns(case):
    from sklearn.metrics import top_k_accuracy_score

    logits, targets, k = case
    classes = logits.shape[1]
    if classes == 2:  # scikit-learn takes one column of scores for two classes
        return
    expected = top_k_accuracy_score(targets.numpy(), logits.numpy(), k=k, labels=range(classes))
    assert topk_accuracy(logits, targets, k) == pytest.approx(expected)


@settings(max_examples=30)
@given(predictions())
def test_accuracy_is_torchmetrics(case):
    from torchmetrics.functional.classification import multiclass_accuracy

    logits, targets, k = case
    expected = multiclass_accuracy(logits, targets, num_classes=logits.shape[1], top_k=k, average="micro")
    assert topk_accuracy(logits, targets, k) == pytest.approx(expected.item())


@given(predictions(ties=True))
def test_a_tie_counts_against_the_target(case):
    logits, targets, _ = case
    ranks = target_ranks(logits, targets)
    for row, target, rank in zip(logits.tolist(), targets.tolist(), ranks.tolist(), strict=True):
        others = row[:target] + row[target + 1 :]
        assert rank == sum(score >= row[target] for score in others)


def test_a_constant_output_earns_nothing():
    assert topk_error(torch.zeros(8, 10), torch.arange(8), k=9) == 1.0
    assert topk_error(torch.zeros(8, 10), torch.arange(8), k=10) == 0.0


def test_more_rows_than_one_chunk():
    logits, targets = torch.randn(5000, 7), torch.randint(0, 7, (5000,))
    ranks = (logits.argsort(dim=1, descending=True) == targets[:, None]).int().argmax(dim=1)
    assert torch.equal(target_ranks(logits, targets), ranks)


@given(predictions(), st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_a_meter_over_batches_of_any_size_equals_one_pass(case, sizes):
    logits, targets, k = case
    meter = TopKMeter(ks=(1, k))
    start = 0
    while start < len(targets):
        size = sizes[start % len(sizes)]
        meter.update(logits[start : start + size], targets[start : start + size])
        start += size
    assert meter.count == len(targets)
    assert meter.errors() == topk_errors(logits, targets, (1, k))


def test_the_mean_over_batches_is_another_number():
    logits, targets = torch.eye(5), torch.tensor([0, 1, 2, 3, 0])
    batches = [(logits[:4], targets[:4]), (logits[4:], targets[4:])]
    mean_of_batches = sum(topk_error(*batch) for batch in batches) / 2
    assert mean_of_batches == 0.5 and topk_error(logits, targets) == 0.2


def test_a_refused_batch_leaves_the_meter_as_it_was():
    meter = TopKMeter(ks=(1,))
    meter.update(torch.eye(3), torch.arange(3))
    with pytest.raises(ValueError, match="NaN"):
        meter.update(torch.full((2, 3), math.nan), torch.tensor([0, 1]))
    assert meter.count == 3 and meter.errors() == {1: 0.0}


def test_a_meter_without_images_says_so():
    with pytest.raises(ValueError, match="no image yet"):
        TopKMeter().errors()


@given(st.integers(2, 8), st.integers(1, 60), st.integers(0, 10**6))
def test_confusion_matrix_is_scikit_learns(classes, images, seed):
    import sklearn.metrics

    generator = torch.Generator().manual_seed(seed)
    guesses, targets = torch.randint(0, classes, (2, images), generator=generator)
    expected = sklearn.metrics.confusion_matrix(targets.numpy(), guesses.numpy(), labels=range(classes))
    assert confusion_matrix(guesses, targets, classes).tolist() == expected.tolist()


GOOD_LOGITS, GOOD_TARGETS = torch.eye(4), torch.arange(4)


@pytest.mark.parametrize(
    ("logits", "targets", "k", "sentence"),
    [
        (GOOD_LOGITS, GOOD_TARGETS, 5, r"from 1 to the 4 classes; got 5"),
        (GOOD_LOGITS, GOOD_TARGETS, 0, r"got 0"),
        (GOOD_LOGITS, GOOD_TARGETS, True, r"got True"),
        (GOOD_LOGITS, GOOD_TARGETS, 1.5, r"got 1.5"),
        (GOOD_LOGITS[0], GOOD_TARGETS, 1, r"shape \[N, classes\]; got torch.float32 \[4\]"),
        (GOOD_LOGITS, GOOD_TARGETS[:3], 1, r"4 rows and 3 targets"),
        (GOOD_LOGITS, GOOD_TARGETS.float(), 1, r"whole class numbers"),
        (GOOD_LOGITS, GOOD_TARGETS[:, None], 1, r"\[N\]; got torch.int64 \[4, 1\]"),
        (GOOD_LOGITS, GOOD_TARGETS + 1, 1, r"from 0 to 3 for 4 classes; got 4"),
        (GOOD_LOGITS, GOOD_TARGETS - 1, 1, r"got -1"),
        (GOOD_LOGITS.long(), GOOD_TARGETS, 1, r"floating point"),
        (GOOD_LOGITS.tolist(), GOOD_TARGETS, 1, r"got list"),
        (GOOD_LOGITS * math.nan, GOOD_TARGETS, 1, r"NaN"),
        (GOOD_LOGITS[:0], GOOD_TARGETS[:0], 1, r"empty"),
    ],
)
def test_bad_input_gets_one_sentence(logits, targets, k, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        topk_error(logits, targets, k)
    assert "\n" not in str(caught.value)


def test_no_k_at_all_is_refused():
    with pytest.raises(ValueError, match="got 'no k'"):
        topk_errors(GOOD_LOGITS, GOOD_TARGETS, ())


@pytest.mark.parametrize(
    ("guesses", "targets", "classes", "sentence"),
    [
        (GOOD_TARGETS, GOOD_TARGETS, 3, "got 3"),
        (GOOD_TARGETS[:2], GOOD_TARGETS, 4, "as many; got 2 and 4"),
        (GOOD_TARGETS, GOOD_TARGETS, 0, "got 0"),
        (GOOD_LOGITS, GOOD_TARGETS, 4, "predictions are whole"),
    ],
)
def test_bad_confusions_get_one_sentence(guesses, targets, classes, sentence):
    with pytest.raises(ValueError, match=sentence):
        confusion_matrix(guesses, targets, classes)
