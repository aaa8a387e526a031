"""`geo-nemo allreduce`: how fast the processes of a job sum up, before a training relies on it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geo_nemo.cli.options import quiet_libraries
from geo_nemo.common.files import write_whole
from geo_nemo.config import RunError
from geo_nemo.runtime.launcher import adopt_slurm_step, rank, world_size

if TYPE_CHECKING:
    from geo_nemo.diagnostics.allreduce import Measured

EXIT_SLOW = 1


@click.command(
    epilog="Example: geo-nemo allreduce --min-busbw 300\n\n"
    "In a job, a process a GPU: srun geo-nemo allreduce --output allreduce.json"
)
@click.option("--output", metavar="FILE", help="Write what was measured here, as JSON.")
@click.option(
    "--min-busbw",
    type=click.FloatRange(0, min_open=True),
    help="GB/s that each node must reach within itself; else exit 1.",
)
@click.option("--megabytes", default=256, show_default=True, type=click.IntRange(1, 16384))
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1))
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto")
@click.option("--timeout", "timeout_s", default=120, show_default=True, type=click.IntRange(1),
              help="Seconds to wait.")  # fmt: skip
def command(
    output: str | None,
    min_busbw: float | None,
    megabytes: int,
    rounds: int,
    device: str,
    timeout_s: int,
) -> int:
    """Measure the all-reduce inside each node and over all processes, and check its sums.

    Start it as the training is started, by srun or torchrun; NCCL on GPUs, gloo on CPUs. The names
    of nodes below --min-busbw go to FILE.slow, a line each.
    """
    quiet_libraries()
    adopt_slurm_step()
    import torch.distributed as dist

    from geo_nemo.diagnostics.allreduce import measure
    from geo_nemo.runtime.device import resolve_device
    from geo_nemo.runtime.distributed import world

    place = resolve_device(device, "--device ")
    try:
        with world(place, timedelta(seconds=timeout_s)):
            measured = measure(place, megabytes, rounds)
            slow = measured.slow(min_busbw) if min_busbw else []
            if rank() == 0:
                _tell(measured, megabytes, slow, output)
            # srun ends the other ranks when the first of them ends with an error.
            dist.barrier()
    except RuntimeError as error:
        raise RunError(f"the all-reduce failed: {' '.join(str(error).split())[:300]}") from error
    return EXIT_SLOW if slow else 0


def _tell(measured: "Measured", megabytes: int, slow: list[str], output: str | None) -> None:
    """Print what was measured, and write it to `output` and `output`.slow."""
    shown = {
        "processes": world_size(),
        "megabytes": megabytes,
        "busbw_gb_per_s": {"nodes": measured.nodes, "all": measured.whole},
        "slow": slow,
    }
    if output:
        write_whole(Path(output), json.dumps(shown, indent=1).encode())
        write_whole(Path(f"{output}.slow"), "".join(f"{name}\n" for name in slow).encode())
    for name, speed in sorted(measured.nodes.items()):
        click.echo(f"all-reduce in {name}: {speed:.1f} GB/s{' SLOW' * (name in slow)}")
    if measured.whole is not None:
        click.echo(f"all-reduce of {world_size()} processes: {measured.whole:.1f} GB/s")
