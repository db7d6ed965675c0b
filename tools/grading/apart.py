"""Imported by the server of workers alone: Ctrl-C goes to the one who called, who then ends the workers."""

import os

if hasattr(os, "setpgrp"):
    os.setpgrp()
