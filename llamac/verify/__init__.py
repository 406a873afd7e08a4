"""`llamac verify`: does the emitted text do what its spec says? Imports torch.

`verify` runs all layers; `twin` makes one twin's corpus, reference and comparison; `execute` and
`worker` run the program, one forked process a rank; `compare` and `cause` judge; `result` prints.
A new observable is a field of `worker.StepRecord` and a line in `compare`; a bug found in the
field is an entry of `fault_catalogue`.
"""
