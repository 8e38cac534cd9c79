"""Runs inside a chapter's kernel after its last cell: what was imported, on which machine, with how much memory.

The text of this file is the cell, so it imports nothing of the package that the chapter has not imported itself.
The cell is taken out again before the notebook is stored.
"""


def fau_record():
    """A JSON-ready dictionary about this process."""
    import importlib.metadata
    import platform
    import sys
    from pathlib import Path

    base = Path(sys.modules["fau_utils"].__file__).resolve().parents[1] if "fau_utils" in sys.modules else None
    used = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if base and file and (name == "fau_utils" or name.startswith("fau_utils.")):
            used.append(Path(file).resolve().relative_to(base).as_posix())
    # packages whose version can change a number or a figure: module, distribution
    same = ("torch", "torchvision", "timm", "lightning", "numpy", "scipy", "pandas", "duckdb", "matplotlib", "plotly")
    packages = {"sklearn": "scikit-learn"} | {name: name for name in same}
    versions = {"python": platform.python_version()}
    for module, distribution in packages.items():
        if module in sys.modules:
            versions[distribution] = importlib.metadata.version(distribution)
    try:
        status = Path("/proc/self/status").read_text()
        memory = int(status.split("VmHWM:")[1].split()[0]) * 1024  # ru_maxrss also counts the parent before exec
    except (OSError, IndexError):
        import resource

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    device, device_memory = platform.machine(), 0
    if "torch" in sys.modules:
        from fau_utils import provenance

        torch = sys.modules["torch"]
        on_gpu = torch.cuda.is_initialized()
        device = provenance.device_name("cuda" if on_gpu else "cpu")
        device_memory = torch.cuda.max_memory_allocated() if on_gpu else 0
    return {
        "used": sorted(used),
        "versions": versions,
        "memory": memory,
        "device": device,
        "device_memory": device_memory,
        "foreign": getattr(sys.modules.get("fau_watch"), "foreign", True),  # nobody watched: in doubt, yes
    }


def fau_publish():
    """Send the record to whoever runs this kernel."""
    from IPython.display import display

    display({"application/x-fau-record+json": fau_record(), "text/plain": ""}, raw=True)
