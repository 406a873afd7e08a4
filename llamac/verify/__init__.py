"""`llamac verify`: does the emitted text do what its spec says? Imports torch.

`entry` takes a plan or a directory, `verify` runs all layers, `twin` one twin: its corpus and
reference; `execute` and `worker` run the program, one forked process per rank; `compare`, `cause`
and `where` judge, `result` prints. A new observable is a field of `worker.StepRecord` and a line in
`compare`; a bug found in the field is an entry of `fault_catalogue`.
"""
