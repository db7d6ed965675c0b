"""What all tests share: their order, one browser, how many examples hypothesis tries, and CI skips nothing."""

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("all", max_examples=100, deadline=None)
settings.register_profile("quick", max_examples=20, deadline=None)  # of `make check`
settings.load_profile("all")
# Some tests press Ctrl-C, which a shell lets background jobs ignore, and those ignore it whom they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """The longest first, so that no process is left alone with them at the end; `make check` has the quick ones."""
    longest = ("lecture", "browser", "slow")
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in longest])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as a failure in CI: {call.excinfo.value}"
    return report


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all of a process's tests: Playwright starts only once in each."""
    import labdriver

    if labdriver.find_browser() is None:  # a failure in CI, see above
        pytest.skip("no Chromium or Chrome on PATH: install one to run the browser tests")
    with labdriver.open_browser() as browser:
        yield browser
