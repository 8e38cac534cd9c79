"""Settings of the HTML book. Everything it shows comes from this machine: no page loads anything from elsewhere."""

import importlib.metadata
import importlib.util
import os

project = "The facial action unit book"
author = "The fau-book authors"
copyright = author
version = release = importlib.metadata.version("fau-utils")
language = "en"
# Where the repository is public, such as https://github.com/owner/name: then pages open at Binder and Colab.
repository_url = ""
repository_branch = "main"

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx_togglebutton",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "sphinx_exercise",
    "fau_utils.book.sphinx_ext",
    "fau_utils.book.terms",
]
exclude_patterns = ["_generated/**", "chapters/files/**", "reference_results/**", "README.md"]
templates_path = []
numfig = True
numfig_secnum_depth = 1
numfig_format = {"figure": "Figure %s", "table": "Table %s"}

# Notebooks come executed; Sphinx runs nothing.
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_merge_streams = True
nb_ipywidgets_js = {}  # the default loads require.js from the web
nb_number_source_lines = False

myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
math_numfig = True
math_eqref_format = "equation ({number})"

# MathJax 3: version 4 fetches its font in pieces, this one has it inside
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}  # the menu offers extensions that it would fetch from the web

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

copybutton_selector = "div:not(.output) > div.highlight pre"
togglebutton_hint = "Show"
togglebutton_hint_hide = "Hide"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_js_files = ["scrollable.js"]
html_favicon = "_static/logo.svg"
html_logo = "_static/logo.svg"
html_sourcelink_suffix = ""
html_last_updated_fmt = None
html_show_sphinx = False
html_show_search_summary = False  # it fetches pages, which browsers refuse to pages opened from disk
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": project, "alt_text": "Home"},
    "navbar_persistent": [],  # otherwise there are two search bars
    "use_download_button": True,
    "use_fullscreen_button": False,
    "home_page_in_toc": False,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_content_items": ["extra-footer"],
}

# The reference of the code takes a minute, so it is built when asked for: make api
if os.environ.get("FAU_API"):
    extensions += ["sphinx.ext.napoleon", "autoapi.extension", "fau_utils.book.api"]
    autoapi_dirs = list(importlib.util.find_spec("fau_utils").submodule_search_locations)
    autoapi_root = "api"
    autoapi_options = ["members", "show-module-summary"]
    autoapi_python_class_content = "class"
    autoapi_member_order = "bysource"
    autoapi_add_toctree_entry = False
    napoleon_google_docstring = False
    napoleon_use_rtype = False
    napoleon_use_ivar = True
    suppress_warnings = ["autoapi.python_import_resolution", "ref.python"]  # two classes may share a name

# The printed edition, set by xelatex: fau course pdf
latex_engine = "xelatex"
latex_documents = [("index", "book.tex", project, author, "manual")]
latex_show_urls = "footnote"
latex_domain_indices = False
latex_use_xindy = False
latex_elements = {
    "papersize": "a4paper",
    "pointsize": "10pt",
    "extraclassoptions": "oneside,openany",
    "fontpkg": r"\setmainfont{DejaVu Serif}[Scale=0.92]\setsansfont{DejaVu Sans}[Scale=0.92]"
    r"\setmonofont{DejaVu Sans Mono}[Scale=0.82]",
    # a picture leaves room for its caption
    "preamble": r"\usepackage[export]{adjustbox}\usepackage{array}"
    r"\renewcommand*{\sphinxincludegraphics}[2][]"
    r"{\includegraphics[max width=\linewidth,max totalheight=.8\textheight,#1]{#2}}",
    "figure_align": "H",  # where it is spoken of, as on the page
    "fncychap": "",
    "printindex": "",
}
