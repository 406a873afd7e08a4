"""The language: text -> Spec, and diagnostics. Imports nothing of ours.

`source` and `diagnostics` are the vocabulary, `parser` reads text into a tree with holes,
`resolve` follows imports and `extends`, `check` types the tree against a schema (`schema`).
A new error is one frozen dataclass in the module that raises it; a new field is a row of an
entry in `compiler/schema/`, nothing here.
"""

LLAMAC_FLOOR = "llamac.dsl"
