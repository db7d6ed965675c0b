"""Imported by the server of workers alone: each worker begins with what all of them would make for themselves."""

import sys

import nbformat
from sqlalchemy.orm import configure_mappers

from grading.sandbox import Process

if sys.platform == "linux":
    Process.start_preloaded()
configure_mappers()
nbformat.validate(nbformat.v4.new_notebook())
