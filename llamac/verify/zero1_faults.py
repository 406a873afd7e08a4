"""Faults of an optimizer whose state alone is cut."""

from __future__ import annotations

from llamac.verify.fault import Fault

EXCHANGE = "        parallel.exchange_rows(model)\n"
OWN_GRADIENT = "            model.rows[name].grad = parallel.own_rows(parallel.local(p.grad))\n"
CLIP = "    norm = parallel.clip_gradients(model, model.layout).item()\n"
NORM = "    norm = torch.stack(totals).sum().sqrt()\n"

ZERO1 = (
    Fault(
        "rows-not-exchanged",
        "a rank has its own rows updated, and the others' as they were",
        ("zero1",),
        "train.py",
        EXCHANGE,
        "",
    ),
    Fault(
        "gradients-reduced-twice",
        "gradients that every rank has whole are summed over fsdp again",
        ("zero1",),
        "train.py",
        CLIP,
        "    for p in model.parameters():\n"
        "        gradient = parallel.local(p.grad)\n"
        '        gradient.copy_(parallel.all_reduce(gradient, "fsdp"))\n' + CLIP,
    ),
    Fault(
        "gradients-of-other-rows",
        "the optimizer gets the gradients of the rows one above its own",
        ("zero1",),
        "train.py",
        OWN_GRADIENT,
        OWN_GRADIENT.replace("local(p.grad)", "local(p.grad).roll(1, 0)"),
    ),
    Fault(
        "norm-counts-whole-gradients",
        "the norm adds up squares over ranks that all hold the whole gradient",
        ("zero1",),
        "parallel.py",
        NORM,
        '    norm = all_reduce(torch.stack(totals).sum(), "fsdp").sqrt()\n',
    ),
)
