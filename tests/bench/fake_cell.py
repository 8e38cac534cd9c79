"""A cell's body that does little: sleeps, computes, and ends as it is told. Called with the work folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

work = Path(sys.argv[1])
parameters = json.loads((work / "parameters.json").read_text())
told = dict(word.split("=", 1) for word in parameters["settings"])
me = f"{parameters['method']}.{parameters['variant']}-{parameters['seed']}"
attempts = work / "attempts"
attempts.write_text(attempts.read_text() + "x" if attempts.exists() else "x")


def tell(word):
    """For the test, outside of the cell: who ran when."""
    if "journal" in told:
        with open(told["journal"], "a") as file:
            file.write(f"{me} {word} {os.getpid()} {time.time()}\n")


tell("begin")
sys.stdout.write(f"hello from {me}\n")
sys.stdout.flush()
if "child" in told:  # such as a kernel, in a session of its own
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
until = time.monotonic() + float(told.get("sleep", 0))
while time.monotonic() < until:
    time.sleep(0.02)
    tell("tick")
spent = time.process_time() + float(told.get("compute", 0))
while time.process_time() < spent:
    pass
if "eat" in told:
    eaten = b"x" * int(float(told["eat"]) * 1e6)
    time.sleep(30)
if "die" in told and len(attempts.read_text()) <= int(told["die"]):
    os.kill(os.getpid(), signal.SIGKILL)
if "fail" in told and len(attempts.read_text()) <= int(told["fail"]):
    error = told.get("error", "ValueError: a wrong value")
    (work / "failure.json").write_text(json.dumps({"error": error, "traceback": f"Traceback\n{error}", "cell": 3}))
    sys.exit(1)
result = {"score": 10 * parameters["seed"] + len(parameters["method"]), "gpu": os.environ["CUDA_VISIBLE_DEVICES"]}
(work / "result.json").write_text(json.dumps(result))
tell("end")
