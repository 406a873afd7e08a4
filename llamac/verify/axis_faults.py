"""Faults of context parallelism and of pipelines."""

from __future__ import annotations

from llamac.verify.fault import Fault


def place(own: str) -> str:
    """This rank's place on cp, by names that every model.py has: of a sequence of which it holds
    `own` positions it begins with piece r of 2 CP."""
    return f'own_positions({own} * CP, torch.device("cpu"))[0] // ({own} // 2)'


GATHERED_K = '        k_rotated_gathered = all_gather(k_rotated, "cp", 1)'
GATHERED_V = '        v_gathered = all_gather(v, "cp", 1)'
KEYS = "    keys = head_and_tail(seq_len, documents.device)\n"
POSITIONS = "        positions = own_positions(key_documents.shape[1], x.device)\n"
PARTS = "    parts = tokens[:, own], targets[:, own], documents[:, own], documents[:, order]\n"
LOSS = "        loss = model(*batch) / valid.clamp(min=1)\n"
VALID = "    valid = parallel.all_reduce_data(targets)\n"
WHOLE = "    whole = data.Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))\n"
NORM = '    norm = all_reduce(total, "pp").sqrt()  # stages hold different layers\n'
ENDS = '        gradient.copy_(all_reduce(gradient, "ends"))\n'
DIVISION = "        loss_fn=lambda total, _: total[0] / model.valid,\n"


def without_others(gathered: str, value: str) -> str:
    """A gather over cp whose backward takes this rank's slice."""
    return (
        gathered.replace(f"all_gather({value},", f"all_gather({value}.detach(),")
        + "\n"
        + f"        parts = list({value}_gathered.chunk(CP, 1))\n"
        + f"        parts[{place(f'{value}.shape[1]')}] = {value}\n"
        + f"        {value}_gathered = torch.cat(parts, 1)"
    )


CONTEXT = (
    Fault(
        "key-gradients-unsummed",
        "gradients of keys are not summed over the context-parallel ranks that used them",
        ("cp",),
        "model.py",
        GATHERED_K,
        without_others(GATHERED_K, "k_rotated"),
    ),
    Fault(
        "value-gradients-unsummed",
        "gradients of values are not summed over the context-parallel ranks that used them",
        ("cp",),
        "model.py",
        GATHERED_V,
        without_others(GATHERED_V, "v"),
    ),
    Fault(
        "values-gathered-along-the-batch",
        "all-gather of values on the wrong dimension, then given the right shape",
        ("cp",),
        "model.py",
        GATHERED_V,
        '        v_gathered = all_gather(v, "cp", 0).reshape(len(v), -1, *v.shape[2:])',
    ),
    Fault(
        "reduced-over-dp-not-cp",
        "gradients are reduced over data ranks but not over context-parallel ones",
        ("cp", "unsharded"),
        "parallel.py",
        '    add_mesh(device, ranks, ("replicate", "fsdp"))\n',
        '    add_mesh(device, ranks, ("replicate", "fsdp"))\n'
        "    ranks = ranks.reshape(config.DP, config.CP, config.FSDP).transpose(0, 1)\n"
        '    names = ("elsewhere", "replicate", "fsdp")\n'
        '    MESHES["fsdp"] = DeviceMesh(device.type, ranks, mesh_dim_names=names)\n',
    ),
    Fault(
        "divided-by-dp-not-cp",
        "each rank divides by its own tokens, and the mean is over data ranks, not over all",
        ("cp", "unsharded"),
        "train.py",
        LOSS,
        LOSS.replace("valid", "targets")
        + '        loss = loss * parallel.SIZES["cp"] / parallel.SIZES["replicate"]\n',
    ),
    Fault(
        "tokens-counted-after-cutting",
        "the count of tokens misses the other parts of each sequence",
        ("cp",),
        "train.py",
        VALID,
        '    valid = parallel.all_reduce_data(targets) // parallel.SIZES["cp"]\n',
    ),
    Fault(
        "positions-contiguous",
        "rotary positions count on from the rank's place, though it holds a head and a tail",
        ("cp",),
        "model.py",
        POSITIONS,
        "        positions = torch.arange(key_documents.shape[1], device=x.device)\n"
        f"        positions = positions.view(CP, -1)[{place('documents.shape[1]')}]\n",
    ),
    Fault(
        "positions-of-each-part",
        "rotary positions start from zero on every rank",
        ("cp",),
        "model.py",
        POSITIONS,
        "        positions = torch.arange(documents.shape[1], device=x.device)\n",
    ),
    Fault(
        "mask-local",
        "the causal mask lets a query see its own rank's part only",
        ("cp",),
        "model.py",
        "        causal = own[:, None] >= keys\n",
        "        causal = (own[:, None] >= keys) & torch.isin(keys, own)\n",
    ),
    Fault(
        "keys-taken-as-contiguous",
        "the mask takes gathered keys to lie in the order of the sequence",
        ("cp",),
        "model.py",
        KEYS,
        KEYS.replace("head_and_tail(seq_len, ", "torch.arange(seq_len, device="),
    ),
    Fault(
        "key-documents-in-another-order",
        "documents of keys are in the order of the sequence, the keys are not",
        ("cp",),
        "data.py",
        PARTS,
        PARTS.replace("documents[:, order]", "documents"),
    ),
    Fault(
        "labels-shifted-after-cutting",
        "a target is the next token that the rank holds, not the next of the sequence",
        ("cp",),
        "data.py",
        PARTS,
        "    targets = tokens[:, own].roll(-1, 1).masked_fill(ends[:, own], IGNORE)\n"
        + PARTS.replace("targets[:, own]", "targets"),
    ),
    Fault(
        "context-ranks-read-other-rows",
        "the ranks of one sequence read rows of their own",
        ("cp",),
        "data.py",
        '    data_rank = coordinate("dp")\n',
        '    data_rank = coordinate("cp")\n',
    ),
)

PIPELINE = (
    Fault(
        "stage-order-swapped",
        "the second stage runs the layers of the third",
        ("pp",),
        "model.py",
        "    first = sum(STAGES[:stage])\n",
        "    stage = {1: 2, 2: 1}.get(stage, stage)\n    first = sum(STAGES[:stage])\n",
    ),
    Fault(
        "sent-to-the-wrong-rank",
        "activations go to the next stage of the neighbour on tp",
        ("pp", "tp"),
        "model.py",
        "        if self.first:\n            x = embed(",
        "        if not self.first:\n"
        '            parts = all_gather(x, "tp", 1).chunk(TP, 1)\n'
        '            x = parts[(coordinate("tp") + 1) % TP]\n'
        "        if self.first:\n            x = embed(",
    ),
    Fault(
        "gradients-scaled-by-the-schedule",
        "the schedule divides by the microbatches, and so has the loss",
        ("pp",),
        "train.py",
        "        scale_grads=False,\n",
        "        scale_grads=True,\n",
    ),
    Fault(
        "microbatch-dropped",
        "the first microbatch has no target that counts",
        ("pp",),
        "train.py",
        WHOLE,
        WHOLE + "    whole.targets[: config.MICROBATCH] = data.IGNORE\n",
    ),
    Fault(
        "mean-of-microbatches",
        "the last stage divides a microbatch by a share of the tokens of all",
        ("pp",),
        "train.py",
        DIVISION,
        "        loss_fn=lambda total, targets: (\n"
        "            total[0] / (targets != data.IGNORE).sum().clamp(min=1) / config.MICROBATCHES\n"
        "        ),\n",
    ),
    Fault(
        "microbatch-read-twice",
        "a microbatch takes the place of the one before it",
        ("pp",),
        "train.py",
        WHOLE,
        "    batches = [batches[1], *batches[1:]]\n" + WHOLE,
    ),
    Fault(
        "targets-of-another-microbatch",
        "the last stage counts microbatches from the other end",
        ("pp",),
        "train.py",
        WHOLE,
        WHOLE + "    whole = whole._replace(\n"
        "        targets=torch.cat([batch.targets for batch in reversed(batches)])\n"
        "    )\n",
    ),
    Fault(
        "boundary-in-less-precision",
        "activations are rounded between stages",
        ("pp",),
        "model.py",
        "        if not self.last:\n            return x\n",
        "        if not self.last:\n            return x.bfloat16().to(x)\n",
    ),
    Fault(
        "gradient-stops-at-a-stage",
        "the second stage sends no gradient to the first",
        ("pp",),
        "model.py",
        "        for block in self.layers:\n            x = block(",
        "        if self.index == 1:\n            x = x.detach() + 0 * x\n"
        "        for block in self.layers:\n            x = block(",
    ),
    Fault(
        "norm-without-stages",
        "each stage clips by the norm of its own layers",
        ("pp",),
        "parallel.py",
        NORM,
        "    norm = total.sqrt()\n",
    ),
    Fault(
        "ends-unsummed",
        "first and last stage each keep their own gradient of the tied matrix",
        ("pp", "tied"),
        "parallel.py",
        ENDS,
        "        gradient.copy_(gradient)\n",
    ),
    Fault(
        "ends-summed-twice",
        "the gradient of the tied matrix is exchanged twice",
        ("pp", "tied"),
        "parallel.py",
        ENDS,
        ENDS * 2,
    ),
    Fault(
        "ends-counted-twice",
        "the norm counts the tied matrix on both of its stages",
        ("pp", "tied"),
        "parallel.py",
        '        if name == "embedding.weight" and coordinate("pp") > 0:\n            continue',
        '        if name == "embedding.weight" and coordinate("pp") > config.PP:\n'
        "            continue",
    ),
    Fault(
        "decay-of-one-end",
        "the last stage does not decay its copy of the tied matrix",
        ("pp", "tied"),
        "train.py",
        "    matrices = [p for p in model.parameters() if p.ndim >= 2]\n"
        "    vectors = [p for p in model.parameters() if p.ndim < 2]\n",
        "    copy = model.embedding.weight if model.stages[-1].last else None\n"
        "    matrices = [p for p in model.parameters() if p.ndim >= 2 and p is not copy]\n"
        "    vectors = [p for p in model.parameters() if p.ndim < 2 or p is copy]\n",
    ),
)
