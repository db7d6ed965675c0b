"""How `make lab` and the browser tests start JupyterLab: for this machine only, and silent about itself."""

from pathlib import Path

c = get_config()  # noqa: F821

c.Application.log_level = "WARN"  # leaves the address to open and what went wrong
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.answer_yes = True  # one Ctrl-C ends it: under make nobody could answer the question
c.LabApp.app_settings_dir = str(Path(__file__).parent)  # overrides.json lies here
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"  # the default one asks a package index
c.LanguageServerManager.autodetect = False  # it would start npm, which writes to the home
