"""One or several training processes on one machine, one thread each, gradients averaged over gloo.

At this model size two single-threaded processes beat one process with two threads: one all-reduce a step instead of a
barrier in every operator. Start them with launch.sh.
"""

import os

import torch
import torch.distributed as dist


def init():
    """(rank, number of processes) from the environment."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if world > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world)
    return rank, world


def average(params, world, extra=0.0):
    """Average the gradients in place over all processes; returns the average of `extra`, which rides along."""
    if world == 1:
        return extra
    grads = [p.grad for p in params]
    flat = torch.cat([g.reshape(-1) for g in grads] + [torch.tensor([extra])])
    dist.all_reduce(flat)
    flat /= world
    at = 0
    for g in grads:
        g.copy_(flat[at:at + g.numel()].view_as(g))
        at += g.numel()
    return flat[-1].item()
