"""How the course starts Jupyter: for this machine only, silent about itself, and gentle to the notebooks' files.

`make lab` and the browser tests use it; without make: jupyter lab --config=tools/jupyter/jupyter_lab_config.py
"""

import os
import warnings
from pathlib import Path

c = get_config()  # noqa: F821

c.Application.log_level = (
    "ERROR"  # leaves the address to open, which is logged as critical, and what went wrong
)
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.answer_yes = True  # one Ctrl-C ends it: under make nobody could answer the question
if os.name == "posix":
    c.KernelManager.transport = "ipc"  # over TCP each kernel warns of eavesdroppers
c.LabServerApp.app_settings_dir = str(Path(__file__).parent)  # overrides.json and page_config.json lie here
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"  # the default one asks a package index
c.LanguageServerManager.autodetect = False  # it would start npm, which writes to the home

# Of nbgrader members press Validate; its pages are the organiser's tools, and `make grade` needs none of them.
c.ServerApp.jpserver_extensions = {
    f"nbgrader.server_extensions.{name}": False for name in ("formgrader", "assignment_list", "course_list")
}

# Without widgets, which an exported page would fetch from the internet: their pictures stand in the notebook too.
c.NbConvertBase.display_data_priority = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "text/latex",
    "image/png",
    "image/jpeg",
    "text/plain",
]


def keep_the_file(model: dict, **_: object) -> None:
    """Before saving: leave out what JupyterLab adds to a notebook that was only opened, so that git sees no change."""
    if model["type"] != "notebook" or model["content"]["nbformat"] != 4:
        return
    metadata = model["content"]["metadata"]
    if "language_info" in metadata:
        metadata["language_info"] = {"name": metadata["language_info"]["name"]}
    if not any(metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {}).values()):
        metadata.pop("widgets", None)
    for cell in model["content"]["cells"]:
        cell["metadata"].pop("collapsed", None)  # its second word for jupyter.outputs_hidden


WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
c.FileContentsManager.pre_save_hook = keep_the_file
warnings.filterwarnings("ignore", "Overriding existing pre_save_hook")  # these settings are read twice
