"""Sphinx configuration; `make docs` builds without network."""

import os

# Kernels of executed pages inherit these.
os.environ.setdefault("OMP_NUM_THREADS", "2")

import sphinx_autosummary_accessors

import xgeoanom  # noqa: F401  (registers the accessors that the API page lists)
from xgeoanom.conventions import version as installed_version

project = "xgeoanom"
author = "xgeoanom developers"
copyright = "2026, xgeoanom developers"
release = version = installed_version()

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_autosummary_accessors",
]
templates_path = ["_templates", sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "jupyter_execute", "experiments"]

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings state types, with shapes and units
numpydoc_show_class_members = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Pages with code cells run once and again when their code changes.
nb_execution_mode = "cache" if os.environ.get("XGEOANOM_DOCS_EXECUTE", "1") == "1" else "off"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

# Links into other projects' pages need the network, so they are made only where asked for.
if os.environ.get("XGEOANOM_DOCS_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "geopandas": ("https://geopandas.org/en/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "xarray": ("https://docs.xarray.dev/en/stable/", None),
    }

html_theme = "pydata_sphinx_theme"
html_title = "xgeoanom"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False}
