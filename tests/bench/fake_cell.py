"""A cell's body that does little: sleeps, computes, and ends as it is told. Called with the work folder."""

import json
import os
import signal
import sys
import time
from pathlib import Path

work = Path(sys.argv[1])
parameters = json.loads((work / "parameters.json").read_text())
told = dict(word.split("=") for word in parameters["settings"])
attempts = work / "attempts"
attempts.write_text(attempts.read_text() + "x" if attempts.exists() else "x")
if "journal" in told:  # outside of the cell: who ran, and how often
    with open(told["journal"], "a") as file:
        file.write(f"{parameters['method']}-{parameters['seed']} begin {os.getpid()} {time.time()}\n")
sys.stdout.write(f"hello from {parameters['method']}\n")
sys.stdout.flush()
time.sleep(float(told.get("sleep", 0)))
spent = time.process_time() + float(told.get("compute", 0))
while time.process_time() < spent:
    pass
if "eat" in told:
    eaten = bytearray(int(float(told["eat"]) * 1e6))
    eaten[::4096] = b"x" * len(eaten[::4096])
    time.sleep(30)
if told.get("die") == parameters["seed"] or told.get("die") == "always":
    os.kill(os.getpid(), signal.SIGKILL)
if "fail" in told and (told["fail"] == "always" or len(attempts.read_text()) <= int(told["fail"])):
    error = told.get("error", "ValueError: a wrong value")
    (work / "failure.json").write_text(json.dumps({"error": error, "traceback": f"Traceback\n{error}", "cell": 3}))
    sys.exit(1)
(work / "result.json").write_text(
    json.dumps(
        {
            "score": hash((parameters["seed"], len(parameters["method"]))) % 1000,
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
    )
)
if "journal" in told:
    with open(told["journal"], "a") as file:
        file.write(f"{parameters['method']}-{parameters['seed']} end {os.getpid()} {time.time()}\n")
