"""sbatch, squeue, sacct, scancel, srun and scontrol that run arrays on this machine.

`install` puts them on PATH. State is in $FAKE_SLURM/<job>/: `hold` in $FAKE_SLURM keeps arrays
waiting, `silent` makes squeue fail so many times, `refuse` makes sbatch fail.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "srun", "scontrol")


def install(folder: Path) -> dict[str, str]:
    """Scripts in `folder`; the environment that uses them."""
    folder.mkdir()
    for name in COMMANDS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" {name} "$@"\n')
        script.chmod(0o755)
    (folder / "state").mkdir()
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "FAKE_SLURM": str(folder / "state"),
    }


def state() -> Path:
    return Path(os.environ["FAKE_SLURM"])


def wait_for(number: str) -> None:
    """Return when the array has ended: its tasks' receipts stand before their processes end."""
    deadline = time.monotonic() + 60
    while not (state() / number / "ended").exists():
        assert time.monotonic() < deadline, f"job {number} does not end"
        time.sleep(0.02)


def sbatch(*arguments: str) -> int:
    if (state() / "refuse").exists():
        print("sbatch: error: Batch job submission failed: Invalid account", file=sys.stderr)
        return 1
    number = 101 + sum(path.is_dir() for path in state().iterdir())
    job = state() / str(number)
    job.mkdir()
    (job / "script.sh").write_text(Path(arguments[-1]).read_text())
    (job / "arguments").write_text("\n".join(arguments[:-1]))
    runner = subprocess.Popen(
        [sys.executable, "-S", __file__, "_array", str(number)],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (job / "pid").write_text(str(runner.pid))
    print(f"Submitted batch job {number}")
    return 0


def _array(number: str) -> int:
    job = state() / number
    while (state() / "hold").exists():
        time.sleep(0.02)
    directives = dict(
        re.findall(r"^#SBATCH --([\w-]+)=(.*)$", (job / "script.sh").read_text(), re.MULTILINE)
    )
    first, last, limit = re.fullmatch(r"(\d+)-(\d+)(?:%(\d+))?", directives["array"]).groups()
    exported = re.findall(r"RUN_OFFSET=(\d+)", (job / "arguments").read_text())
    waiting = list(range(int(first), int(last) + 1))
    running: dict[int, subprocess.Popen] = {}
    while waiting or running:
        while waiting and len(running) < int(limit or 99):
            index = waiting.pop(0)
            output = directives["output"].replace("%A", number).replace("%a", str(index))
            environment = os.environ | {
                "SLURM_JOB_ID": f"{number}{index}",
                "SLURM_ARRAY_TASK_ID": str(index),
                "SLURM_JOB_NODELIST": "node1",
                "RUN_OFFSET": exported[0],
            }
            with open(output, "w") as log:
                running[index] = subprocess.Popen(
                    ["bash", str(job / "script.sh")], env=environment, stdout=log, stderr=log
                )
        for index, process in list(running.items()):
            if process.poll() is not None:
                killed = process.returncode == 128 + signal.SIGKILL
                ended = "OUT_OF_MEMORY" if killed else "FAILED"
                (job / f"{index}.state").write_text(ended if process.returncode else "COMPLETED")
                del running[index]
        time.sleep(0.02)
    (job / "ended").touch()
    return 0


def jobs_of(arguments: tuple[str, ...]) -> list[Path]:
    listed = [a.partition("=")[2] for a in arguments if a.startswith("--jobs=")]
    return [state() / number for number in listed[0].split(",")]


def squeue(*arguments: str) -> int:
    silent = state() / "silent"
    left = int(silent.read_text()) if silent.exists() else 0
    if left:
        silent.write_text(str(left - 1))
        print("slurm_load_jobs error: Unable to contact slurm controller", file=sys.stderr)
        return 1
    jobs = [job for job in jobs_of(arguments) if job.exists() and not (job / "ended").exists()]
    if not jobs:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    print("\n".join(f"{job.name}_[0-9]" for job in jobs))
    return 0


def sacct(*arguments: str) -> int:
    for job in jobs_of(arguments):
        for path in sorted(job.glob("*.state")):
            print(f"{job.name}_{path.stem}|{path.read_text()}")
    return 0


def scancel(*numbers: str) -> int:
    for number in numbers:
        (state() / number / "ended").touch()
        (state() / number / "cancelled").touch()
        os.killpg(int((state() / number / "pid").read_text()), signal.SIGKILL)
    return 0


def srun(*arguments: str) -> int:
    assert arguments[:3] == ("-l", "-n", "1"), arguments
    code = subprocess.run(arguments[3:]).returncode
    if code < 0:
        print("srun: error: node1: task 0: Killed", file=sys.stderr)
    return code if code >= 0 else 128 - code


def scontrol(*arguments: str) -> int:
    return 1


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
