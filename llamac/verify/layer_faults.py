"""Faults of sliding windows, of recomputation, and of when parameters are gathered."""

from __future__ import annotations

from llamac.verify.fault import Fault

NEAR = "        near = (back >= 0) & (back < window)\n"
CHECKPOINT = "        return checkpoint(self.compute, x, cos, sin, mask, use_reentrant=False)\n"
STEP = "        optimizer.step()\n"

WINDOW = (
    Fault(
        "window-off-by-one",
        "a window of n positions sees n + 1",
        ("window",),
        "model.py",
        NEAR,
        "        near = (back >= 0) & (back <= window)\n",
    ),
    Fault(
        "window-ignored",
        "layers with a window see all that precedes",
        ("window",),
        "model.py",
        NEAR,
        "        near = back >= 0\n",
    ),
    Fault(
        "window-on-the-other-layers",
        "layers that alternate begin with the wrong one",
        ("window",),
        "model.py",
        "*rotations[kind], masks[kind])",
        "*rotations[kind], masks[1 - kind])",
    ),
    Fault(
        "window-across-documents",
        "within a window, attention sees the document packed before",
        ("window",),
        "model.py",
        "        return (near & (documents[:, :, None] == key_documents[:, None, :]))[:, None]\n",
        "        return near.expand(len(documents), 1, *near.shape)\n",
    ),
    Fault(
        "window-local",
        "a window ends where the rank's own part does",
        ("window", "cp"),
        "model.py",
        NEAR,
        NEAR + "        near = near & torch.isin(keys, own)\n",
    ),
)

RECOMPUTE = (
    Fault(
        "recomputed-with-fresh-randomness",
        "the recomputation draws other noise than the forward did",
        ("recompute",),
        "model.py",
        CHECKPOINT,
        "        runs = []\n\n"
        "        def noisy(x: Tensor) -> Tensor:\n"
        "            runs.append(x)\n"
        "            noise = torch.rand_like(x) * (len(runs) - 1)\n"
        "            return self.compute(x * (1 + 1e-3 * noise), cos, sin, mask)\n\n"
        "        return checkpoint(noisy, x, use_reentrant=False)\n",
    ),
    Fault(
        "input-overwritten-before-recomputing",
        "the buffer of a layer's input is used again before the backward has read it",
        ("recompute",),
        "model.py",
        CHECKPOINT,
        CHECKPOINT.replace("return", "y =") + "        x.data += 1e-3\n        return y\n",
    ),
    Fault(
        "recomputed-for-another-microbatch",
        "the recomputation finds the mask of the microbatch that went forward last",
        ("recompute", "pp"),
        "model.py",
        CHECKPOINT,
        "        self.mask = mask\n"
        "        late = lambda x: self.compute(x, cos, sin, self.mask)\n"
        "        return checkpoint(late, x, use_reentrant=False)\n",
    ),
)

GATHERED = (
    Fault(
        "parameters-gathered-before-the-update",
        "the next step's parameters are gathered, and then the optimizer changes their shards",
        ("zero2",),
        "train.py",
        STEP,
        "        for module in model.modules():\n"
        '            if hasattr(module, "unshard"):\n'
        "                module.unshard()\n" + STEP,
    ),
    Fault(
        "averaged-over-replicas",
        "gradients are averaged over the replicas of a hybrid mesh, the loss is already global",
        ("replicate",),
        "parallel.py",
        "module.set_gradient_divide_factor(1.0)",
        'module.set_gradient_divide_factor(float(SIZES["replicate"]))',
    ),
)
