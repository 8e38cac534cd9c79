"""What the book asks of Sphinx beyond settings: chapter numbers from file names, plotly only where it is used, minutes
of exercises, and a bibliography that screen readers can read."""

import re

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector

_CHAPTER = re.compile(r"chapters/(\d\d)_")


class ChapterNumbers(TocTreeCollector):
    """Chapter ``40_name`` is chapter 40, its figures are 40.1, 40.2: numbers stay when a chapter is added before.

    Sphinx by itself counts from 1 in each part.
    """

    def assign_section_numbers(self, env: BuildEnvironment) -> list[str]:
        before = env.toc_secnumbers
        super().assign_section_numbers(env)
        changed = []
        for name, numbers in env.toc_secnumbers.items():
            match = _CHAPTER.match(name)
            if match:
                chapter = int(match.group(1))
                for anchor, number in numbers.items():
                    numbers[anchor] = (chapter, *number[1:]) if number else number
                for reference in env.tocs[name].findall(nodes.reference):
                    if reference.get("secnumber"):
                        reference["secnumber"] = [chapter, *reference["secnumber"][1:]]
                title = env.titles.get(name)
                if title is not None and title.get("secnumber"):
                    title["secnumber"] = (chapter, *title["secnumber"][1:])
            if numbers != before.get(name):
                changed.append(name)
        return changed


def _page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    if "body" in context:
        # docutils calls citations a list whose children are no items, which screen readers announce as empty
        context["body"] = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )
    if "Plotly.newPlot" in context.get("body", ""):
        app.add_js_file("plotly.min.js")  # 4.8 MB: other pages do without


def setup(app: Sphinx) -> dict[str, object]:
    from sphinx_exercise.directive import ExerciseDirective

    ExerciseDirective.option_spec["minutes"] = directives.nonnegative_int  # for lecturers, see course.py
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            owner = getattr(listener.handler, "__self__", None)
            if type(owner) is TocTreeCollector:
                app.disconnect(listener.id)
    app.add_env_collector(ChapterNumbers)
    app.connect("html-page-context", _page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
