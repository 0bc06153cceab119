"""What the tests start with torchrun: jobs as JSON, one after another in the same processes."""

import json
import sys
from pathlib import Path

import torch

from recbole_edt import distributed
from recbole_edt.errors import UserError
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.runs import RunFolder, reevaluate


def work(job: dict) -> None:
    kind = job.pop("kind")
    if kind == "run":
        run_recbole_edt(**job)
    elif kind == "evaluate":
        reevaluate(RunFolder(Path(job["run"])), job["keys"])
    else:
        sum_gradients(**job)


def sum_gradients(path: str) -> None:
    """Write what `add_up_gradients` makes of a sparse, a dense and a one-sided gradient."""
    rank = distributed.rank()
    table = torch.nn.Embedding(5, 2, sparse=True)
    dense, one_sided, unused = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
    table(torch.tensor([1, rank + 2])).sum().backward()
    dense.grad = torch.full((3,), float(rank + 1))
    if rank:
        one_sided.grad = torch.ones(3)
    distributed.add_up_gradients([table.weight, dense, one_sided, unused])
    sums = {
        "sparse": table.weight.grad.is_sparse,
        "table": table.weight.grad.to_dense()[:, 0].tolist(),
        "rows": table.weight.grad.coalesce().indices().flatten().tolist(),
        "dense": dense.grad.tolist(),
        "one_sided": one_sided.grad.tolist(),
        "unused": unused.grad,
    }
    if rank:
        Path(path).write_text(json.dumps(sums))


if __name__ == "__main__":
    torch.set_num_threads(1)
    jobs = json.loads(Path(sys.argv[1]).read_text())
    distributed.start()
    for job in jobs:
        try:
            work(job)
        except UserError as error:
            if distributed.reports_error():
                sys.stderr.write(f"{error}\n")
            sys.exit(2)
    distributed.stop()
