"""Writes the fixtures of the training loop's parts: what PyTorch and transformers compute from the same numbers.

    python jobs/reference/make_loop_fixtures.py jobs/tests/fixtures

Needs torch 2.11 and transformers 4.57. The files are small and committed.
"""

import itertools
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

ADAMW_STEPS = 6
SCHEDULE_STEPS = 12


def objective() -> dict[str, torch.Tensor]:
    """InfoNCE of random unit vectors, one and three targets a query, one direction and both, with duplicates and without."""
    tensors = {}
    for targets_per_query in (1, 3):
        generator = torch.Generator().manual_seed(targets_per_query)
        queries = F.normalize(torch.randn(5, 8, generator=generator), dim=-1)
        targets = F.normalize(torch.randn(5 * targets_per_query, 8, generator=generator), dim=-1)
        # Some pairs are near, as after some training; a table of noise has no positive to find.
        targets[0] = F.normalize(queries[0] + 0.2 * targets[0], dim=-1)
        targets[2 * targets_per_query] = F.normalize(queries[2] + 0.4 * targets[2 * targets_per_query], dim=-1)
        # The third query asks for what the first does, and where it has more targets, its second one says it again.
        says = torch.arange(5 * targets_per_query)
        says[2 * targets_per_query :][: min(targets_per_query, 2)] = 0
        for temperature in (0.02, 0.5):
            for symmetric, masked in itertools.product((False, True), repeat=2):
                q = queries.clone().requires_grad_()
                t = targets.clone().requires_grad_()
                scores = q @ t.T / temperature
                right = torch.arange(5) * targets_per_query
                if masked:
                    same = says[right][:, None] == says[None, :]
                    same[torch.arange(5), right] = False
                    scores = scores.masked_fill(same, -torch.inf)
                loss = F.cross_entropy(scores, right)
                if symmetric:
                    loss = (loss + F.cross_entropy(scores.T[right], torch.arange(5))) / 2
                loss.backward()
                name = f"{targets_per_query}_{temperature}_{'symmetric' if symmetric else 'plain'}"
                name += "_masked" if masked else ""
                tensors |= {
                    f"{name}.queries": queries.clone(),
                    f"{name}.targets": targets.clone(),
                    f"{name}.loss": loss.detach().reshape(1),
                    f"{name}.accuracy": (scores.argmax(1) == right).float().mean().reshape(1),
                    f"{name}.query_gradient": q.grad,
                    f"{name}.target_gradient": t.grad,
                }
    return tensors


def optimiser() -> dict[str, torch.Tensor]:
    """AdamW over a matrix, a vector, and a matrix that is used in every other step; clipped, with a schedule."""
    generator = torch.Generator().manual_seed(7)
    shapes = {"matrix": (4, 6), "vector": (5,), "rare": (3, 2)}
    parameters = {name: torch.nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}
    tensors = {f"start.{name}": parameter.detach().clone() for name, parameter in parameters.items()}
    groups = [
        {"params": [parameters["matrix"], parameters["rare"]], "weight_decay": 0.1},
        {"params": [parameters["vector"]], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.98), eps=1e-6)
    schedule = get_linear_schedule_with_warmup(adamw, 2, ADAMW_STEPS)
    for step in range(ADAMW_STEPS):
        adamw.zero_grad()
        for name, parameter in parameters.items():
            if name != "rare" or step % 2 == 1:
                parameter.grad = torch.randn(parameter.shape, generator=generator) * (0.1 if step == 3 else 1.0)
                tensors[f"{step}.gradient.{name}"] = parameter.grad.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), 2.0)
        tensors[f"{step}.norm"] = norm.reshape(1)
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                tensors[f"{step}.clipped.{name}"] = parameter.grad.clone()
        tensors[f"{step}.learning_rate"] = torch.tensor([adamw.param_groups[0]["lr"]])
        adamw.step()
        schedule.step()
        for name, parameter in parameters.items():
            tensors[f"{step}.weight.{name}"] = parameter.detach().clone()
    return tensors


def schedules() -> dict[str, torch.Tensor]:
    """The share of the learning rate at each step, with and without warm-up; one step more than the schedule has."""
    tensors = {}
    for warmup in (0, 4):
        for name, make in (
            ("linear", lambda o: get_linear_schedule_with_warmup(o, warmup, SCHEDULE_STEPS)),
            ("cosine", lambda o: get_cosine_schedule_with_warmup(o, warmup, SCHEDULE_STEPS)),
            ("constant", lambda o: get_constant_schedule_with_warmup(o, warmup)),
        ):
            sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            schedule = make(sgd)
            shares = []
            for _ in range(SCHEDULE_STEPS + 1):
                shares.append(sgd.param_groups[0]["lr"])
                sgd.step()
                schedule.step()
            tensors[f"{name}_{warmup}"] = torch.tensor(shares, dtype=torch.float64)
    return tensors


def main() -> None:
    folder = Path(sys.argv[1])
    torch.use_deterministic_algorithms(True)
    save_file(objective(), folder / "objective.safetensors")
    save_file(optimiser(), folder / "optimiser.safetensors")
    save_file(schedules(), folder / "schedules.safetensors")


if __name__ == "__main__":
    main()
