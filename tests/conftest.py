"""What all tests share: their order, and that in CI nothing may be skipped, since all it needs is there."""

import os

import pytest


def pytest_collection_modifyitems(items):
    """Quick tests first: most of what can break shows within the first minute. The longest, in the browser, next."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is not None for name in ("slow", "browser")])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as a failure in CI: {call.excinfo.value}"
    return report
