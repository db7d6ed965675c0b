"""Sphinx's settings for the site; `make site` calls it on pages that tools/sitebuild has laid out."""

from sitebuild import formulas

project = html_title = "Convolutional networks, seen from the inside"
author = "the study group"
copyright = "text and figures CC BY 4.0, code MIT"
language = "en"
extensions = ["myst_nb"]
nb_execution_mode = "off"
nb_render_markdown_format = "gfm"  # CommonMark, the default, knows no tables
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
nb_mime_priority_overrides = [("html", "text/html", 0), ("html", "text/markdown", 1)]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a lecture's ### may follow a # in a homework

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["katex/katex.min.css", "course.css"]
html_js_files = [("explorer.js", {"defer": "defer"})]
html_favicon = "favicon.svg"

html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#00588a", "color-brand-content": "#00588a"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
    "footer_icons": [],
}
html_math_renderer = "katex"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def setup(app):
    app.add_html_math_renderer("katex", (formulas.visit_math, None), (formulas.visit_block, None))
