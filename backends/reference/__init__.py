"""The twin's oracle: one process, float64, no parallelism, written by hand from the Spec alone.

`parameters` names what is trained, `weights` gives it initial values, `model` is the forward pass,
`data` the order of the corpus and `training` the loss, the optimizer and the schedule. It reads
only `compiler.schema` types and shares no code with graph, lowering or emitter, so that either
side's mistake shows as a difference.
A new component is a clause where its family is matched (`attention`, `feed_forward`, ...).
"""
