"""The catalogue: each entry is one bug of the field, as a change of the emitted text."""

from __future__ import annotations

from llamac.verify.axis_faults import CONTEXT, PIPELINE
from llamac.verify.fault import Fault
from llamac.verify.layer_faults import GATHERED, RECOMPUTE, WINDOW
from llamac.verify.phase_faults import PHASES
from llamac.verify.zero1_faults import ZERO1

REDUCE = "    parallel.reduce_gradients(model, model.layout)\n"
GATHER = "    return wait_if_pending(functional.all_gather_single_autograd(x, dim, GROUPS[axis]))\n"
SCATTER = (
    "    return wait_if_pending("
    'functional.reduce_scatter_single_autograd(x, "sum", dim, GROUPS[axis]))\n'
)
LOSS = "        loss = model(*batch) / valid.clamp(min=1)\n"
NORM = '    norm = all_reduce(torch.stack(totals).sum(), "fsdp").sqrt()\n'
STEP = "        optimizer.step()\n"

COLLECTIVES = (
    Fault(
        "norm-gradients-unreduced",
        "gradients of norms under sequence parallelism stay partial sums over tp",
        ("tp",),
        "train.py",
        REDUCE,
        "",
    ),
    Fault(
        "norm-gradients-reduced-twice",
        "the sum over tp is done twice",
        ("tp",),
        "train.py",
        REDUCE,
        REDUCE * 2,
    ),
    Fault(
        "final-norm-unreduced",
        "only the final norm's gradient stays a partial sum over tp",
        ("tp",),
        "model.py",
        'self.final_norm = ParameterGroup(weight=parameter(D_MODEL, partial="tp"))',
        "self.final_norm = ParameterGroup(weight=parameter(D_MODEL))",
    ),
    Fault(
        "gather-backward-slices",
        "the backward of all-gather takes this rank's slice instead of reduce-scattering",
        ("tp",),
        "parallel.py",
        GATHER,
        "    whole = functional.all_gather_single_autograd(x.detach(), dim, GROUPS[axis])\n"
        "    whole = wait_if_pending(whole)\n"
        "    parts = list(whole.chunk(SIZES[axis], dim))\n"
        "    parts[COORDINATES[axis]] = x\n"
        "    return torch.cat(parts, dim)\n",
    ),
    Fault(
        "scatter-takes-a-slice",
        "row-parallel outputs are sliced, not summed over tp",
        ("tp",),
        "parallel.py",
        SCATTER,
        "    return x.chunk(SIZES[axis], dim)[COORDINATES[axis]]\n",
    ),
    Fault(
        "ffn-input-gradient-unreduced",
        "one column-parallel input, the feed-forward's, is gathered without a summed backward",
        ("tp",),
        "model.py",
        "        gate = F.linear(ffn_in_gathered, self.ffn.w_gate)",
        "        whole = ffn_in_gathered\n"
        "        ffn_in_gathered = whole / TP + (1 - 1 / TP) * whole.detach()\n"
        "        gate = F.linear(ffn_in_gathered, self.ffn.w_gate)",
    ),
    Fault(
        "kv-copies-unsummed",
        "gradients of key/value heads that several ranks copy are not summed over the copies",
        ("kv_copy",),
        "parallel.py",
        'for axis in ("tp", "kv_copy"):',
        'for axis in ("tp",):',
    ),
    Fault(
        "group-without-replicas",
        "gradients are reduced within fsdp but not over the replicas of a hybrid mesh",
        ("replicate",),
        "parallel.py",
        'mesh = MESHES["fsdp"]["replicate", "fsdp"]',
        'mesh = MESHES["fsdp"]["fsdp"]',
    ),
    Fault(
        "embedding-keeps-foreign-rows",
        "a vocabulary-parallel embedding adds row 0 for every token of another rank",
        ("tp",),
        "model.py",
        ".masked_fill(elsewhere[..., None], 0)",
        "",
    ),
    Fault(
        "softmax-maximum-local",
        "the vocabulary-parallel loss subtracts each rank's own maximum",
        ("tp",),
        "model.py",
        'largest_reduced = all_reduce(largest, "tp", "max")',
        "largest_reduced = largest",
    ),
)

SCALE = (
    Fault(
        "mean-of-rank-means",
        "each data rank divides by its own count of tokens, and ranks are averaged",
        ("dp",),
        "train.py",
        LOSS,
        LOSS.replace("valid", "targets") + "        for axis in parallel.DATA_AXES:\n"
        "            loss = loss / parallel.SIZES[axis]\n",
    ),
    Fault(
        "mean-of-microbatch-means",
        "each microbatch divides by its own count of tokens, and microbatches are averaged",
        ("accumulation",),
        "train.py",
        LOSS,
        "        valid = parallel.all_reduce_data((batch.targets != data.IGNORE).sum())\n"
        + LOSS
        + "        loss = loss / len(batches)\n",
    ),
    Fault(
        "divided-by-dp",
        "gradients are averaged over data ranks although the loss is already global",
        ("dp",),
        "parallel.py",
        "module.set_gradient_divide_factor(1.0)",
        "module.set_gradient_divide_factor(float(config.FSDP))",
    ),
    Fault(
        "tied-gradient-doubled",
        "the gradient of a matrix that is embedding and head is counted twice",
        ("tied",),
        "train.py",
        "    norm = parallel.clip_gradients(model, model.layout).item()\n",
        "    parallel.local(model.embedding.weight.grad).mul_(2)\n"
        "    norm = parallel.clip_gradients(model, model.layout).item()\n",
    ),
    Fault(
        "lr-times-microbatches",
        "the learning rate grows with accumulation",
        ("accumulation",),
        "train.py",
        "    lr = learning_rate(step)\n",
        "    lr = learning_rate(step) * len(batches)\n",
    ),
    Fault(
        "only-last-microbatch",
        "gradients of all microbatches but the last are dropped",
        ("accumulation",),
        "train.py",
        "        loss.backward()\n",
        "        loss.backward()\n        if not last:\n            optimizer.zero_grad()\n",
    ),
)

NORM_AND_OPTIMIZER = (
    Fault(
        "norm-counts-copies",
        "the norm counts a gradient that every tp rank holds once a rank",
        ("tp",),
        "parallel.py",
        "        axes = tuple(layout[name].cuts)\n",
        '        axes = tuple(layout[name].cuts) or ("tp",)\n',
    ),
    Fault(
        "norm-counts-replicas",
        "the norm counts every replica of a hybrid mesh",
        ("replicate",),
        "parallel.py",
        NORM,
        "    norm = all_reduce_data(torch.stack(totals).sum()).sqrt()\n",
    ),
    Fault(
        "norm-of-own-shard",
        "the norm is that of the local shard",
        ("dp",),
        "parallel.py",
        NORM,
        "    norm = torch.stack(totals).sum().sqrt()\n",
    ),
    Fault(
        "clip-not-applied",
        "the clipping factor is computed and not used",
        ("clip",),
        "parallel.py",
        "        local(p.grad).mul_(scale)\n",
        "        local(p.grad).mul_(1.0)\n",
    ),
    Fault(
        "decay-on-norms",
        "weight decay applies to norms",
        (),
        "train.py",
        '"weight_decay": 0.0',
        '"weight_decay": config.WEIGHT_DECAY',
    ),
    Fault(
        "decay-coupled",
        "weight decay enters the moments: Adam with L2 instead of AdamW",
        (),
        "train.py",
        "    return model, torch.optim.AdamW(",
        "    return model, torch.optim.Adam(",
    ),
    Fault(
        "adam-steps-differ",
        "one data rank's step count runs ahead",
        ("dp",),
        "train.py",
        STEP,
        STEP + "        for state in optimizer.state.values():\n"
        '            state["step"] += int(dist.get_rank() == 1)\n',
    ),
    Fault(
        "a-rank-skips-the-step",
        "one rank does not apply the optimizer step",
        ("dp",),
        "train.py",
        STEP,
        "        if dist.get_rank() != 1 or step != 1:\n            optimizer.step()\n",
    ),
    Fault(
        "schedule-off-by-one",
        "the learning rate is that of the step before",
        (),
        "train.py",
        "    t = step + 1\n",
        "    t = step\n",
    ),
)

POSITIONS_MASKS_LOSS = (
    Fault(
        "loss-across-documents",
        "the last token of a document is trained to predict the next document",
        (),
        "data.py",
        "following.masked_fill(ends, IGNORE)",
        "following.clone()",
    ),
    Fault(
        "attention-across-documents",
        "attention sees the documents packed before",
        (),
        "model.py",
        "(causal & (documents[:, :, None] == documents[:, None, :]))[:, None]",
        "causal.expand(len(documents), 1, seq_len, seq_len)",
    ),
    Fault(
        "vocab-target-off-by-one",
        "all ranks but the first look a target up one row beside itself",
        ("tp",),
        "model.py",
        '    local = targets - coordinate("tp") * (VOCAB // TP)\n',
        '    local = targets - coordinate("tp") * (VOCAB // TP + 1)\n',
    ),
    Fault(
        "two-ranks-read-the-same",
        "every data rank reads the first one's rows",
        ("dp",),
        "data.py",
        "    first = row + data_rank * MICROBATCH\n",
        "    first = row + 0 * MICROBATCH\n",
    ),
    Fault(
        "replica-perturbed",
        "one replica starts from slightly other weights",
        ("replicate",),
        "train.py",
        "            weight[first - rows.start : last - rows.start] = part.to(weight)\n",
        "            weight[first - rows.start : last - rows.start] = part.to(weight)\n"
        '            weight += 1e-3 * parallel.coordinate("replicate")\n',
    ),
)

OBSERVED = (
    Fault(
        "warm-up-not-divided",
        "every step of the warm-up has a multiple of the peak learning rate",
        (),
        "train.py",
        "        return config.LR * t / config.WARMUP\n",
        "        return config.LR * t\n",
    ),
    Fault(
        "decay-below-the-minimum",
        "the cosine ends below the final learning rate, after the steps that a twin runs",
        (),
        "train.py",
        "    progress = (t - config.WARMUP) /",
        "    if t == config.STEPS:\n"
        "        return config.MIN_LR * 0.7\n"
        "    progress = (t - config.WARMUP) /",
    ),
    Fault(
        "tokens-of-one-rank",
        "the count of tokens that is reported is that of each rank",
        ("dp",),
        "train.py",
        "int(valid), skipped)",
        "int(targets), skipped)",
    ),
    Fault(
        "infinite-gradients-applied",
        "a step whose gradients are infinite is not skipped",
        (),
        "train.py",
        "    skipped = not math.isfinite(norm)",
        "    skipped = math.isnan(norm)",
    ),
    Fault(
        "sample-from-one-part-of-the-vocabulary",
        "a sample is drawn from each rank's own logits, which are not gathered",
        ("samples", "tp"),
        "model.py",
        '        return all_gather(F.linear(last, self.head.weight), "tp", 0)\n',
        "        return F.linear(last, self.head.weight).repeat(TP)\n",
    ),
    Fault(
        "sample-at-another-position",
        "the logits are those of the position before the last",
        ("samples", "tp"),
        "train.py",
        "model.next_logits(tokens, len(seen) - 1)",
        "model.next_logits(tokens, max(0, len(seen) - 2))",
    ),
    Fault(
        "sample-drawn-from-another-seed",
        "two runs of one seed print other samples",
        ("samples", "tp"),
        "train.py",
        'data.hash63(config.SEED, "sample")',
        'data.hash63(config.SEED + 1, "sample")',
    ),
)

FAULTS = (
    *COLLECTIVES,
    *SCALE,
    *NORM_AND_OPTIMIZER,
    *POSITIONS_MASKS_LOSS,
    *CONTEXT,
    *PIPELINE,
    *ZERO1,
    *WINDOW,
    *RECOMPUTE,
    *GATHERED,
    *PHASES,
    *OBSERVED,
)
