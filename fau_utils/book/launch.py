"""Links that open a chapter's notebook at Binder or Colab, once the book has a public repository.

``repository_url`` in ``book/conf.py``, or the environment variable ``FAU_REPOSITORY_URL``, names it; without either
there are no links.
"""

import ast
import os
from urllib.parse import quote, urlsplit

from fau_utils.book.chapters import Chapter
from fau_utils.book.errors import UserError
from fau_utils.book.project import Project

VARIABLE = "FAU_REPOSITORY_URL"
_BINDER = {"github.com": "gh", "gitlab.com": "gl"}


def repository(project: Project) -> tuple[str, str]:
    """Address of the public repository, empty where there is none, and its branch.

    Raises
    ------
    UserError
        When the address is none of a repository at GitHub or GitLab.
    """
    said = {"repository_url": "", "repository_branch": "main"}
    for node in ast.parse((project.book / "conf.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in said:
            said[node.targets[0].id] = ast.literal_eval(node.value)
    url = os.environ.get(VARIABLE, said["repository_url"]).strip().rstrip("/").removesuffix(".git")
    parts = urlsplit(url)
    path = parts.path.strip("/").split("/")
    if url and (parts.scheme != "https" or parts.netloc not in _BINDER or len(path) < 2 or not all(path)):
        raise UserError(f"repository_url: expected such as https://github.com/owner/name, found {url!r}")
    return url, said["repository_branch"]


def links(url: str, branch: str, chapter: Chapter) -> list[str]:
    """What opens the notebook, as Markdown; Colab reads GitHub only."""
    if not url:
        return []
    parts = urlsplit(url)
    name, file = parts.path.strip("/"), f"notebooks/{chapter.name}.ipynb"
    host = _BINDER[parts.netloc]
    place = name if host == "gh" else quote(name, safe="")
    binder = (
        f"https://mybinder.org/v2/{host}/{place}/{quote(branch, safe='')}?urlpath={quote(f'lab/tree/{file}', safe='')}"
    )
    made = [f"[open at Binder]({binder})"]
    if host == "gh":
        colab = f"https://colab.research.google.com/github/{name}/blob/{quote(branch)}/{file}"
        made.append(f"[open at Colab]({colab}), there first `%pip install git+{url}`")
    return made
