"""The twin of a plan: the same structure with tiny dimensions, small enough to run and compare.

Kept: every kind of layer, every mesh atom, tied or not, which heads share a tensor rank,
accumulation, sharding, the kind of learning-rate schedule, what is evaluated and saved. Changed:
numbers only. Sizes that faults could confuse differ pairwise: with every axis 2, dividing by the
wrong axis is invisible. The emitted text of a plan and of its twin is the same but `config.py`.

A new field of the spec is shrunk in the module of its block: `model_sizes.py`, `training.py`, or
with the mesh (`mesh_sizes.py`) and the batches (`batches.py`); `twins.py` puts them together.
"""
