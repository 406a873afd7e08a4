"""Are the nodes fit for the run? `python preflight.py [arguments of train.py]` in each process.

Every process looks at its node, then times a matrix product, all-reduces inside its node and with
the nodes beside it. Process 0 judges the results, and names the nodes to leave out.
Exit codes: 0 fit; 71 (UNFIT) a node is not, leave it out; 78 (WRONG) no room for checkpoints,
whichever nodes are used; anything else is a failure.
"""

# pyright: reportPrivateImportUsage=false
import argparse
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from zlib import crc32

import torch
import torch.distributed as dist
from verdict import Stage, judged

import config
from config import DEVICES, NODES
from launcher import WRONG, launch_problem

ENOUGH, SKEW = 0.5, 2.0  # part of what the spec promises; seconds that clocks may differ
CLOCK_WAIT = 10  # seconds in which a clock must once be seen to be right
CUDA = config.DEVICE == "cuda"
RANK, WORLD, LOCAL_RANK = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
NODE, LAST = RANK // DEVICES, NODES - 1
NAMES = os.environ.get("NODE_NAMES", "").split() or [f"node-{n}" for n in range(NODES)]
device = torch.device("cuda", LOCAL_RANK) if CUDA else torch.device("cpu")


def software() -> str:
    text = b"".join(path.read_bytes() for path in sorted(Path(__file__).parents[1].glob("*.py")))
    return f"python {platform.python_version()}, torch {version('torch')}, program {crc32(text):x}"


def shared(run: Path) -> tuple[Path, Path]:
    """Folders that every process must find; the second may be a link or a mount."""
    return run, run / "checkpoints"


def start(run: Path, data: Sequence[str], store: dist.Store) -> None:
    for folder in shared(run):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"preflight-{RANK}").write_text(str(os.getpid()))
    for path in data:
        store.add(f"seen {path}", int(is_there(path)))


def is_there(data: str) -> bool:
    return os.path.exists(data) or os.path.exists(f"{data}.idx")  # a pair of Megatron


def look(run: Path, data: Sequence[str], store: dist.Store) -> str:
    """What is wrong with this node, as far as it can be seen."""
    wrong: list[str] = []
    # Process 0 publishes the time again and again; a process that was not scheduled reads it late.
    until = time.monotonic() + CLOCK_WAIT
    while abs(off := time.time() - float(store.get("clock"))) > SKEW and time.monotonic() < until:
        time.sleep(0.1)
    if abs(off) > SKEW:
        wrong.append(f"its clock is {off:+.1f} s off that of process 0")
    if (own := software()) != (first := store.get("software").decode()):
        wrong.append(f"{own}; process 0 has {first}")
    if CUDA and (present := torch.accelerator.device_count()) != DEVICES:
        wrong.append(f"{present} GPUs, not {DEVICES}")
    if CUDA and LOCAL_RANK == 0 and (tool := shutil.which("nvidia-smi")):
        what = ["--query-gpu=ecc.errors.uncorrected.volatile.total", "--format=csv,noheader"]
        told = subprocess.run([tool, *what], capture_output=True, text=True, check=False).stdout
        if errors := sum(int(line) for line in told.split() if line.isdigit()):
            wrong.append(f"{errors} uncorrected memory errors")
    for folder in shared(run):
        mark = folder / "preflight-0"
        if not mark.exists() or mark.read_bytes() != store.get("mark"):
            wrong.append(f"{folder} is not the same folder as on process 0")
            break
    # Data that no process sees is missing for another reason, which train.py reports.
    missing = [path for path in data if not is_there(path) and store.add(f"seen {path}", 0)]
    wrong += [f"it has no {path}, and other nodes do" for path in missing]
    return "; ".join(wrong)


def room(run: Path, resume: str) -> str | None:
    """What is wrong with the folder that all share. Checkpoints of a run that goes on count as
    room: they make way for the next ones."""
    own = (run / "checkpoints").glob("step-*/*") if resume == "auto" else ()
    folder = run / "checkpoints"
    there, free = sum(file.stat().st_size for file in own), shutil.disk_usage(folder).free
    if (needed := config.CHECKPOINTS_BYTES) <= there + free:
        return None
    return f"checkpoints take {needed:,} bytes; in {run} {there:,} are theirs and {free:,} free"


def rate(amount: float, work: Callable[[], object]) -> float:
    """`amount` per second, over five runs after two to warm up."""

    def after(turns: int) -> float:
        for _ in range(turns):
            work()
        if CUDA:
            torch.accelerator.synchronize(device)
        return time.perf_counter()

    start = after(2)
    return 5 * amount / (after(5) - start)


def matrix_product() -> float:
    """FLOP/s of a matrix product, in the dtype of the peak."""
    n, dtype = (8192, torch.bfloat16) if CUDA else (256, torch.float32)
    x = torch.ones(n, n, device=device, dtype=dtype)
    return rate(2 * n**3, lambda: x @ x)


def all_reduce(ranks: Sequence[int]) -> float:
    """Bytes/s that each of n processes sends: 2 (n - 1) / n of what is reduced."""
    group = dist.new_group(list(ranks), use_local_synchronization=True)
    x = torch.zeros(2**26 if CUDA else 2**18, device=device)
    return rate(2 * (1 - 1 / len(ranks)) * x.nbytes, lambda: dist.all_reduce(x, group=group))


def in_node() -> float:
    return all_reduce(range(NODE * DEVICES, (NODE + 1) * DEVICES))


def between_nodes() -> float:
    """The better of both ways in a ring of nodes, so that one that is slow both ways stands out:
    even nodes meet the next, then odd ones do, then the last meets the first."""
    others = [NODE ^ 1, ((NODE + 1) ^ 1) - 1, LAST - NODE if NODE in (0, LAST) and LAST > 1 else -1]
    pairs = [sorted((NODE, other)) for other in others if 0 <= other <= LAST]
    return max(all_reduce([node * DEVICES + LOCAL_RANK for node in pair]) for pair in pairs)


def main() -> int:
    if problem := launch_problem():
        if RANK == 0:
            print(f"error: {problem}")
        return WRONG
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, default=Path("runs", config.PLAN))
    parser.add_argument("--resume", default="auto")
    parser.add_argument("--data", default=config.TRAIN_DATA)
    args = parser.parse_known_args()[0]
    run: Path = args.run
    data = [path for path in (args.data, vars(config).get("VALIDATION_DATA")) if path]
    wait = float(os.environ.get("PREFLIGHT_WAIT", "300"))  # seconds that a stage may take
    limit, served = timedelta(seconds=2 * wait), "TORCHELASTIC_USE_AGENT_STORE" in os.environ
    place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), WORLD)
    store = dist.TCPStore(*place, RANK == 0 and not served, limit, wait_for_workers=False)
    second = dist.TCPStore(*place, False, limit)  # since one that waits is nobody else's to use
    if RANK == 0:
        store.set("mark", str(os.getpid()))
        store.set("software", software())

    def connect() -> None:
        groups, own = dist.PrefixStore("groups", second), device if CUDA else None
        dist.init_process_group(
            store=groups, rank=RANK, world_size=WORLD, timeout=limit, device_id=own
        )

    part = ENOUGH if CUDA else 0.0
    stages = [
        Stage("start", lambda: start(run, data, store)),
        Stage("room", lambda: room(run, args.resume) if RANK == 0 else None, code=WRONG),
        Stage("node", lambda: look(run, data, store)),
        Stage("connection", connect),
        Stage("matrix product", matrix_product, part * config.PEAK_FLOPS),
    ]
    if DEVICES > 1:
        stages.append(Stage("all-reduce in a node", in_node, part * config.LINK_BANDWIDTH))
    if NODES > 1:
        least = part * config.FABRIC_BANDWIDTH
        stages.append(Stage("all-reduce between nodes", between_nodes, least))
    code = judged(store, stages, NAMES, wait)
    if not code:
        for folder in shared(run):
            (folder / f"preflight-{RANK}").unlink()
    return code


if __name__ == "__main__":
    code = main()
    os._exit(code)  # a thread may hang in a collective
