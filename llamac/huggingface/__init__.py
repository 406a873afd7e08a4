"""Hugging Face folders on disk: their config.json, and weights out of checkpoints into them.

`config` reads a config.json as a spec, `start` holds the folder of `init_from` against the model,
`checkpoint` finds what a run saved, `export` writes a folder, `safetensors_file` streams a file of
tensors. What the words mean is `compiler.huggingface`.
"""
