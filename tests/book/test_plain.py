"""MyST becomes Markdown that every front end shows."""

from types import SimpleNamespace

import pytest

from fau_utils.book.plain import Known, numbers, plain, sources, values

KNOWN = Known(
    titles={"04_baselines": "04 Baselines"},
    sources={"he2022mae": "He et al., 2022"},
    numbers={"fig-a": "3.1", "eq-f1": "3.2"},
    values={"f1": "0.12345", "word": "'much'"},
)


@pytest.mark.parametrize(
    ("myst", "made"),
    [
        ("```{admonition} Real\n:class: note\nThey are **drawn**.\n\nAll.\n```",
            "> **Real**\n>\n> They are **drawn**.\n>\n> All."),
        (":::{note}\nShort.\n:::", "> Short."),
        ("```{math}\n:label: eq-f1\na = b\n```", "$$\na = b\n\\tag{3.2}\n$$"),
        ("see {doc}`04_baselines`", "see [04 Baselines](04_baselines.ipynb)"),
        ("see {doc}`this <04_baselines>`", "see [this](04_baselines.ipynb)"),
        ("{numref}`fig-a` and {eq}`eq-f1`", "figure 3.1 and equation (3.2)"),
        ("of {cite}`he2022mae`", "of [He et al., 2022]"),
        ("{glue:text}`f1:.2f`, {glue:text}`word`, {glue:text}`unrun:.1f`", "0.12, much, `unrun`"),
        ("(sec-a)=\n## Part\n{ref}`there <sec-a>`", "## Part\nthere"),
        ("```python\nx = {1}\n```", "```python\nx = {1}\n```"),
    ],
)  # fmt: skip
def test_directives_and_roles_become_words(myst, made):
    assert plain(myst, KNOWN) == made


def test_what_references_point_to_is_found(tmp_path):
    (tmp_path / "a.bib").write_text(
        "@article{one,\n  author = {Li, Yong and Zeng, Jia and Shan, S.},\n  year = {2019}\n}\n\n"
        "@misc{law,\n  author = {{European Union}},\n  year = {2024},\n}\n"
    )
    assert sources(tmp_path / "a.bib") == {"one": "Li et al., 2019", "law": "European Union, 2024"}
    figure = SimpleNamespace(cell_type="code", source="", metadata={"mystnb": {"figure": {"name": "fig-x"}}})
    words = SimpleNamespace(cell_type="markdown", source="```{math}\n:label: eq-x\na\n```", metadata={})
    assert numbers(SimpleNamespace(cells=[figure, words]), 7) == {"fig-x": "7.1", "eq-x": "7.1"}
    (tmp_path / "n.ipynb").write_text(
        '{"cells": [{"outputs": [{"metadata": {"scrapbook": {"name": "f1"}},'
        ' "data": {"application/papermill.record/text/plain": "0.5"}}]}, {}]}'
    )
    assert values(tmp_path / "n.ipynb") == {"f1": "0.5"}
    assert values(tmp_path / "none.ipynb") == {}
