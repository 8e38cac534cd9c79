"""Runs inside a notebook's kernel before its first cell: notices pictures that are not rendered, tells charts apart.

The text of this file is an IPython start-up file. A picture, film or array that is read from anywhere but the cache of
rendered faces, the packages, or a folder that bears the mark of ``fau synth export`` counts as *foreign*: it may be
licensed, so what the chapter shows must not be published. Reading is heard through Python's audit events. The libraries
named below, which open files where Python does not hear it, are wrapped as they are imported; our own code says so
itself with ``sys.audit("fau.pictures", path)``.
"""


def _fau_watch():
    import functools
    import os
    import sys
    import types

    mark = ".rendered-by-fau"
    kinds = (
        ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".npy", ".npz", ".tar", ".zip", ".mdb",
        ".avi", ".mp4", ".mov", ".wmv", ".mkv", ".mpg", ".mpeg", ".webm",
        ".h5", ".hdf5", ".mat", ".pt", ".pkl", ".pickle", ".arrow", ".feather", ".parquet",
    )  # fmt: skip
    readers = {
        "av.container.core": ("open",),
        "cv2": ("imread", "imreadmulti", "VideoCapture"),
        "decord": ("VideoReader",),
        "h5py._hl.files": ("File",),
        "pyarrow.parquet.core": ("read_table", "ParquetFile", "ParquetDataset"),
        "torchvision.io.image": ("read_image", "read_file", "decode_image"),
    }
    writers = {"cv2": ("imwrite", "VideoWriter"), "torch.serialization": ("save",)}
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
            root = os.path.dirname(os.path.dirname(os.path.realpath(package)))
            roots += [os.path.join(root, "fau_utils"), os.path.join(root, "book")]
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

    def holds_pictures(path: str) -> bool:
        """Whether a table has columns of bytes, or so many of numbers that they could be pixels."""
        import pyarrow.parquet

        try:
            columns = [str(kind) for kind in pyarrow.parquet.read_schema(path).types]
        except (OSError, pyarrow.ArrowException):
            return False  # nothing can be read from it
        return len(columns) > 500 or any("binary" in kind or ("<" in kind and "int8" in kind) for kind in columns)

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
                watch.foreign = not path.lower().endswith(".parquet") or holds_pictures(path)
        finally:
            state.busy = False

    sys.addaudithook(hear)

    def saying(call, *, writes: bool, skip: int = 0):
        """The same function, which says first what it is going to open."""

        @functools.wraps(call)
        def louder(*args, **named):
            given = (*args[skip:], *named.values())
            path = next((os.fspath(v) for v in given if isinstance(v, (str, bytes, os.PathLike))), None)
            mode = named.get("mode", args[skip + 1] if len(args) > skip + 1 else "")
            if path is not None and (writes or (isinstance(mode, str) and mode[:1] in ("w", "x"))):
                sys.audit("open", path, "w", 0)
            elif path is not None or call.__name__ == "VideoCapture":
                sys.audit("fau.pictures", path or "a camera")
            return call(*args, **named)

        return louder

    def wrap(module) -> None:
        for table in (readers, writers):
            for name in table.get(module.__name__, ()):
                thing = getattr(module, name, None)
                if isinstance(thing, type) and "__init__" in vars(thing):
                    try:
                        thing.__init__ = saying(thing.__init__, writes=table is writers, skip=1)
                        continue
                    except TypeError:
                        pass  # a type of C, whose place a function takes
                if thing is not None:
                    setattr(module, name, saying(thing, writes=table is writers))

    class Importer:
        """Finds the modules with readers as usual, and wraps these once they are there."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name not in readers and name not in writers:
                return None
            others = (finder for finder in sys.meta_path if finder is not Importer)
            spec = next((found for finder in others if (found := finder.find_spec(name, path, target))), None)
            if spec is not None and hasattr(spec.loader, "exec_module"):
                plain = spec.loader.exec_module
                spec.loader.exec_module = lambda module: (plain(module), wrap(module))[0]
            return spec

    sys.meta_path.insert(0, Importer)

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
