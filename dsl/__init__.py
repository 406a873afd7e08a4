"""The language: text -> Spec, and diagnostics. Imports nothing of ours.

`frontend.load` is all of it: `parser` reads text into a tree with holes, `resolve` follows imports
and `extends`, `check` types the tree against a schema (`schema`), `render` and `formats` print.
A new error is one frozen dataclass beside those in `problems`, `syntax` or the module that raises
it; a new field is a row of an entry in `compiler/schema/`, nothing here; new syntax is a rule in
`grammar.lark`, its node in `tree`, its builder in `build`, then `python -m dsl.table`.
"""

LLAMAC_FLOOR = "llamac.dsl"
