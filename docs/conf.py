"""Sphinx configuration."""

import toymodels

project = "toymodels"
author = "The toymodels authors"
release = toymodels.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_static_path: list[str] = []
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
