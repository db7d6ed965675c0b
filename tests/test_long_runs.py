"""The stored long runs of lectures 5 and 6: all of them, once, and repeatable."""

import itertools

import long_runs
import pytest

from course_utils import data

every_table = pytest.mark.parametrize("table", long_runs.TABLES)


@every_table
def test_every_setting_was_run_once(table):
    columns, settings, _, rates, _ = long_runs.TABLES[table]
    stored = [
        tuple(str(row[column]) for column in (*columns, "learning_rate", "seed"))
        for row in data.read_csv(table)
    ]
    wanted = itertools.product(settings, rates, long_runs.SEEDS)
    assert stored == [(*map(str, setting), str(rate), str(seed)) for setting, rate, seed in wanted]


@every_table
def test_a_run_that_stopped_counts_as_guessing(table):
    rows = data.read_csv(table)
    stopped = {row[kind] for row in rows if row["stopped"] for kind in long_runs.ERRORS}
    assert stopped <= {long_runs.GUESSING} and all(0 < row["test_error"] <= 0.95 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "setting"), [("vgg_depth", (3, 1, "he")), ("resnet_depth", ("residual", 20))]
)
def test_a_stored_run_can_be_repeated(table, setting):
    """Near enough: other processors and versions of PyTorch round differently."""
    columns = long_runs.TABLES[table][0]
    wanted = (*setting, 0.1, 0)
    row = next(
        row
        for row in data.read_csv(table)
        if tuple(row[column] for column in (*columns, "learning_rate", "seed")) == wanted
    )
    again, _ = long_runs.run(table, setting, 0.1, 0)
    for kind, share in zip(long_runs.ERRORS, again, strict=True):
        assert share == pytest.approx(row[kind], abs=0.03)
