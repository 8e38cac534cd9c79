"""A real SLURM of two nodes on this one computer, from Debian's packages, without systemd; root only.

What it took: ``NodeHostname`` is this host for both nodes, each with its own port; processes are tracked by
``linuxproc`` (containers have no cgroups to give); pretend GPUs are character devices, since for plain files
``CUDA_VISIBLE_DEVICES`` stays unset; the configuration has to be at ``/etc/slurm``, for Snakemake's job steps drop
``SLURM_CONF``; and the state is a fresh folder each time.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol")
ETC = Path("/etc/slurm")

CONFIG = """\
ClusterName=fau
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
MinJobAge=86400
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=16821 CPUs=1 RealMemory=4000 Gres=gpu:1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=16822 CPUs=1 RealMemory=4000 Gres=gpu:1
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=60 State=UP
"""


def missing() -> str | None:
    """Why it cannot be started here."""
    if os.environ.get("FAU_TEST_SLURM") != "1":
        return "FAU_TEST_SLURM=1 (make test-slurm) allows to put a configuration at /etc/slurm"
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"no {absent[0]}; apt install slurmctld slurmd slurm-client munge"
    if os.getuid() != 0:
        return "only root can start it"
    if (ETC / "slurm.conf").exists() or (ETC / "slurm.conf").is_symlink():
        return "this computer has a SLURM of its own"
    return None


class TwoNodes:
    """The cluster, between ``start`` and ``stop``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.running: list[subprocess.Popen] = []
        self.linked: list[Path] = []

    def start(self, *, patience: float = 30.0) -> None:
        (self.folder / "state").mkdir(parents=True)
        devices = [self.folder / f"gpu{number}" for number in range(2)]
        for device in devices:
            subprocess.run(["mknod", str(device), "c", "1", "3"], check=True)
        for node in ("n1", "n2"):
            (self.folder / f"spool-{node}").mkdir()
        config = CONFIG.format(host=socket.gethostname().split(".")[0], folder=self.folder)
        gres = "".join(f"NodeName=n{n + 1} Name=gpu File={device}\n" for n, device in enumerate(devices))
        ETC.mkdir(exist_ok=True)
        for name, text in {"slurm.conf": config, "gres.conf": gres}.items():
            (self.folder / name).write_text(text)
            (ETC / name).symlink_to(self.folder / name)
            self.linked.append(ETC / name)
        if not Path("/run/munge/munge.socket.2").exists():
            Path("/run/munge").mkdir(exist_ok=True)
            shutil.chown("/run/munge", "munge", "munge")
            self._run("runuser", "-u", "munge", "--", "munged", "--foreground")
            self._until(lambda: Path("/run/munge/munge.socket.2").exists(), patience)
        self._run("slurmctld", "-D", "-c")
        for node in ("n1", "n2"):
            self._run("slurmd", "-D", "-N", node)
        self._until(lambda: self.states() == {"n1": "idle", "n2": "idle"}, patience)

    def stop(self) -> None:
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
        for path in self.linked:
            path.unlink(missing_ok=True)

    def states(self) -> dict[str, str]:
        """Of each node."""
        said = _said("sinfo", "--noheader", "--Node", "--format=%N %T")
        return dict(line.split()[:2] for line in said.splitlines())

    def jobs(self) -> list[tuple[str, str]]:
        """Node and state of each job there was."""
        said = _said("squeue", "--noheader", "--states=all", "--format=%N %T")
        return [tuple(line.split()) for line in said.splitlines() if len(line.split()) == 2]

    def job_ids(self, state: str) -> list[str]:
        return _said("squeue", "--noheader", f"--states={state}", "--format=%i").split()

    def _run(self, *line: str) -> None:
        with (self.folder / f"{Path(line[0]).name}.out").open("ab") as log:
            self.running.append(subprocess.Popen(line, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def _until(self, said, seconds: float) -> None:
        begin = time.monotonic()
        while not said():
            if time.monotonic() - begin > seconds:
                logs = "\n".join(f"{p.name}:\n{p.read_text()[-1500:]}" for p in self.folder.glob("*.log"))
                raise TimeoutError(f"SLURM did not come up: {self.states()}\n{logs}")
            time.sleep(0.2)


def _said(*line: str) -> str:
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout
