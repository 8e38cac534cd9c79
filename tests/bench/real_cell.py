"""A cell's body that trains, as notebook 50 does, without the seconds a kernel takes. Called with the work folder."""

import json
import sys
from pathlib import Path

from fau_utils.results import entrant, study
from fau_utils.results.job import Job

work = Path(sys.argv[1])
given = json.loads((work / "parameters.json").read_text())
job = Job(
    method=given["method"],
    data=given["data"],
    budget=given["budget"],
    seed=given["seed"],
    settings=tuple(given["settings"]),
    out=work / "runs",
)
entry = entrant.enter(job)
said = entry.run.predictions()
result = {**study.scores(said, resamples=20), **entrant.calibration(said, resamples=5)}
(work / "result.json").write_text(json.dumps(result))
