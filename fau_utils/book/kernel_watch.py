"""Runs inside a chapter's kernel before its first cell: notices pictures that are not rendered, and tells charts apart.

The text of this file is an IPython start-up file. A picture, film or array that is read from anywhere but the cache of
rendered faces, the packages, or a folder that bears the mark of ``fau synth export`` counts as *foreign*: it may be
licensed, so what the chapter shows must not be published. Reading is heard through Python's audit events, and code that
opens files by other means says so itself with ``sys.audit("fau.pictures", path)``.
"""


def _fau_watch():
    import os
    import sys
    import types

    mark = ".rendered-by-fau"
    kinds = (
        ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".npy", ".npz", ".tar", ".zip", ".mdb",
        ".avi", ".mp4", ".mov", ".wmv", ".mkv", ".mpg", ".mpeg", ".webm",
    )  # fmt: skip
    watch = types.ModuleType("fau_watch")
    watch.foreign = False
    sys.modules["fau_watch"] = watch
    written: set[str] = set()
    known: dict[str, bool] = {}
    state = types.SimpleNamespace(busy=False)

    def ours(path: str) -> bool:
        """Whether a file is of the packages, of the cache of rendered faces, or below a mark."""
        roots = [sys.prefix, sys.base_prefix, os.environ.get("FAU_CACHE", "")]
        if "platformdirs" in sys.modules:
            roots.append(sys.modules["platformdirs"].user_cache_dir("fau", appauthor=False))
        package = getattr(sys.modules.get("fau_utils"), "__file__", None)
        if package:
            roots.append(os.path.dirname(os.path.dirname(os.path.realpath(package))) + os.sep + "fau_utils")
        if any(root and path.startswith(os.path.realpath(root) + os.sep) for root in roots):
            return True
        folder = os.path.dirname(path)
        if folder not in known:
            above, found = folder, False
            while not found and above != os.path.dirname(above):
                found = os.path.exists(os.path.join(above, mark))
                above = os.path.dirname(above)
            if not found:
                return False  # not remembered: the mark may still be set
            known[folder] = True
        return True

    def hear(event: str, details: tuple) -> None:
        if watch.foreign or state.busy or event not in ("open", "fau.pictures"):
            return
        name = details[0]
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        if not isinstance(name, str) or (event == "open" and not name.lower().endswith(kinds)):
            return
        state.busy = True
        try:
            path = os.path.realpath(name)
            mode, flags = (details[1], details[2]) if event == "open" else ("r", 0)
            writes = any(letter in (mode or "") for letter in "wxa") or bool((flags or 0) & (os.O_CREAT | os.O_TRUNC))
            if writes:
                written.add(path)  # what a chapter writes itself, it may read again
            elif path not in written and not ours(path):
                watch.foreign = True
        finally:
            state.busy = False

    sys.addaudithook(hear)

    def is_chart(figure) -> bool:
        """Whether a figure draws lines and marks only: no picture, and no table of numbers large enough to be one."""
        from matplotlib.collections import QuadMesh
        from matplotlib.image import _ImageBase

        for artist in figure.findobj(lambda a: isinstance(a, (_ImageBase, QuadMesh))):
            values = artist.get_array()
            shape = getattr(values, "shape", None) or (0,)
            colours = len(shape) == 3 and shape[-1] in (3, 4)
            size = shape[0] * (shape[1] if len(shape) > 1 else 1)
            if colours or size > 32 * 32:
                return False
        return True

    def patch(*_) -> None:
        backend = sys.modules.get("matplotlib_inline.backend_inline")
        if backend is None or hasattr(backend, "_fau_plain"):
            return
        backend._fau_plain = plain = backend._fetch_figure_metadata
        backend._fetch_figure_metadata = lambda figure: {**(plain(figure) or {}), "fau_chart": is_chart(figure)}

    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        for event in ("pre_run_cell", "post_run_cell", "post_execute"):
            shell.events.register(event, patch)


_fau_watch()
del _fau_watch
