"""`geo-nemo status` beside a real SLURM: a job that waits, one that runs, one that is over.

make test-slurm     (as root; see tests/slurm/real.py)
"""

from geo_nemo.diagnostics.slurm import ask_jobs
from geo_nemo.diagnostics.status import read_statuses
from tests.unit.diagnostics.run_folders import Folder


def test_jobs_of_every_kind(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))

    def submit(*options, command="sleep 600"):
        return slurm(
            "sbatch", "--parsable", "--mem=0", "--time=5", "--output=/dev/null", *options,
            f"--wrap={command}",
        ).strip()  # fmt: skip

    runs = {
        "running": submit("--nodes=1"),
        "waiting": submit("--hold", "--nodes=1"),
        "failed": submit("--nodes=1", command="exit 3"),
    }
    array = submit("--nodes=1", "--array=5-6%1", "--hold").partition("_")[0]
    slurm.wait_for(runs["running"], lambda job: job["JobState"] == "RUNNING", "running")
    slurm.wait_for(runs["failed"], lambda job: job["JobState"] == "FAILED", "over")
    folders = []
    for state, number in runs.items():
        folder = Folder(tmp_path / state).record().beat(2, host="elsewhere")
        folder.write("slurm/job", f"{number}\n")
        folders.append(folder.path)
    found = read_statuses(folders)
    assert [status.state for status in found] == list(runs)
    assert found[1].job.reason == "JobHeldUser"
    assert found[2].job.state == "FAILED"
    assert ask_jobs([array])[array].state == "PENDING"
    assert ask_jobs(["999999"]) == {}
    slurm("scancel", *runs.values(), array)
