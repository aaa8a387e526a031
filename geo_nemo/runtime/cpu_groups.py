"""Megatron-Core's process groups on a CPU, without the threads that nobody needs.

Each group of gloo has a thread of its own that wakes a hundred times a second and two that wait.
Megatron-Core makes some twenty groups of any layout, one process alone too, and leaves those of a
layout that is given up to the end of the program.

1. Groups of one process are one group: nothing is ever exchanged in them, so that no order of
   exchanges can be mixed up. Groups of several keep each its own.
2. With the layout, its groups are given up.
"""

import functools
import importlib
import weakref
from typing import Any

import torch.distributed as dist


def install() -> None:
    """Rebind `create_group` and `destroy_model_parallel` of `megatron.core.parallel_state`."""
    state = importlib.import_module("megatron.core.parallel_state")
    if hasattr(state.create_group, "shares_groups_of_one"):
        return
    groups = _Groups()
    state.create_group = _creating(groups, state.create_group)
    state.destroy_model_parallel = _giving_up(groups, state.destroy_model_parallel)


class _Groups:
    """Those of a world, as torch's default group is called: another world has others."""

    def __init__(self) -> None:
        self._world = lambda: None
        self.of_one: dict[int, Any] = {}  # by rank; every process knows of each
        self.made: list[Any] = []

    def renew(self) -> None:
        """Forget groups of a world that has ended."""
        world = dist.group.WORLD
        if self._world() is not world:
            self.forget()
            self._world = weakref.ref(world)

    def forget(self) -> None:
        self.of_one.clear()
        self.made.clear()


def _creating(groups: _Groups, create):
    @functools.wraps(create)
    def create_group(ranks=None, *args, **kwargs):
        groups.renew()
        rank = ranks[0] if ranks is not None and len(ranks) == 1 else None
        if rank in groups.of_one:
            return groups.of_one[rank]
        made = create(ranks, *args, **kwargs)
        groups.made.append(made)
        if rank is not None:
            groups.of_one[rank] = made
        return made

    create_group.shares_groups_of_one = True
    return create_group


def _giving_up(groups: _Groups, destroy):
    @functools.wraps(destroy)
    def destroy_model_parallel():
        destroy()
        for made in groups.made:
            # Those of other processes are no groups here, and Megatron-Core ends some itself.
            if made in dist.distributed_c10d._world.pg_map:
                dist.destroy_process_group(made)
        groups.forget()

    return destroy_model_parallel
