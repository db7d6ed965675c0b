"""A locked experiment is run once for all whose functions give the same to it."""

import pytest
from grading import experiments
from grading.experiments import Experiments
from grading.judge import Judge, Limits

SOURCE = """
doubled = {}
for name, function in {"plain": lambda x: x, "the member's": double}.items():
    doubled[name] = function(torch.ones(3)).sum().item()
print(torch.rand(1).item(), doubled)
"""


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    with Judge(tmp_path_factory.mktemp("handed in"), Limits(), threads=1, walls=None) as judge:
        judge.run("import torch", "setup")
        judge.answers.add("double")
        yield judge


def run(judge, folder, answer):
    """Outputs of the experiment with this answer, the names that it left, and how often it was run."""
    judge.member_cell(answer)
    judge.names.pop("doubled", None)
    made = Experiments(judge, folder)
    made._run, runs = (lambda *a: runs.append(a) or Experiments._run(made, *a)), []
    judge.run("torch.manual_seed(0)", "seed")
    outputs = made.run(SOURCE, "experiment")
    after = judge.run("print(torch.rand(1).item())", "next")
    return [output.text for output in outputs + after], judge.names["doubled"], len(runs)


@pytest.mark.slow
def test_who_answers_alike_gets_what_the_record_holds(judge, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "LEAST_SECONDS", 0)
    first = run(judge, tmp_path, "def double(x):\n    return 2 * x")
    assert first[1:] == ({"plain": 3, "the member's": 6}, 1)
    assert run(judge, tmp_path, "def double(x):\n    return x + x") == (*first[:2], 0)
    other = run(judge, tmp_path, "def double(x):\n    return 3 * x")
    assert other[1:] == ({"plain": 3, "the member's": 9}, 1)
    assert run(judge, tmp_path, "def double(x):\n    return 2 * x") == (*first[:2], 0)
