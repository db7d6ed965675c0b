"""The stored long runs of lectures 4 to 6: all of them, once, and repeatable."""

import itertools

import long_runs
import pytest

from course_utils import data

every_table = pytest.mark.parametrize("table", long_runs.TABLES)


@every_table
def test_every_setting_was_run_once(table):
    made = long_runs.TABLES[table]
    columns = (*made.columns, "learning_rate", "seed")
    stored = [tuple(str(row[column]) for column in columns) for row in data.read_csv(table)]
    wanted = itertools.product(made.settings, made.rates, long_runs.SEEDS)
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
    made = long_runs.TABLES[table]
    wanted = dict(zip(made.columns, setting, strict=True)) | {"learning_rate": 0.1, "seed": 0}
    row = next(row for row in data.read_csv(table) if wanted.items() <= row.items())
    again, _ = long_runs.run(made, setting, 0.1, 0)
    for kind, share in zip(long_runs.ERRORS, again, strict=True):
        assert share == pytest.approx(row[kind], abs=0.03)


def test_best_runs_are_those_of_the_best_rate_on_validation_pictures():
    runs = data.best_runs("resnet_depth", kind="residual", layers=20)
    assert [run["seed"] for run in runs] == [0, 1, 2] and len({run["learning_rate"] for run in runs}) == 1
    own = [run for run in data.read_csv("resnet_depth") if (run["kind"], run["layers"]) == ("residual", 20)]
    rates = {run["learning_rate"] for run in own}
    sums = {rate: sum(r["validation_error"] for r in own if r["learning_rate"] == rate) for rate in rates}
    assert sum(run["validation_error"] for run in runs) == min(sums.values())


def test_best_runs_say_what_settings_there_are():
    with pytest.raises(ValueError, match="layers"):
        data.best_runs("resnet_depth", kind="residual", layers=21)
