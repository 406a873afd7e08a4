"""`llamac export`: write the weights of a run for other tools."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llamac.cli import options
from llamac.cli.exits import FAULT, FINE, FOUND
from llamac.cli.terminal import counted

if TYPE_CHECKING:
    from llamac.huggingface.config import Dtype

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def _bytes(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,6})([A-Za-z]+)", text)
    if found is None or found[2] not in _UNITS:
        raise click.BadParameter(f"`{text}` is not a size such as 5GB or 500MB")
    return int(found[1]) * _UNITS[found[2]]


@click.command()
@options.spec_and_plan
@click.option(
    "--to", type=click.Choice(["hf"]), default="hf", help="Format: a Hugging Face folder."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="Folder to create.",
)
@click.option(
    "--run",
    "run",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the run; default: runs/PLAN.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A checkpoint other than the newest.",
)
@click.option(
    "--dtype", type=click.Choice(["bf16", "fp32", "fp64"]), default="bf16", show_default=True
)
@click.option(
    "--shard-size",
    callback=_bytes,
    default="5GB",
    show_default=True,
    help="Maximum size of a weights file.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="File or folder of the tokenizer; default: the one that the data names.",
)
def export(
    file: str,
    plan: str | None,
    overrides: options.Overrides,
    to: str,
    output: Path,
    run: Path | None,
    checkpoint: Path | None,
    dtype: Dtype,
    shard_size: int,
    tokenizer: Path | None,
) -> None:
    """Write the weights of a run as a folder that `transformers` and others load.

    The folder has the weights, config.json, generation_config.json and the tokenizer, so that
    AutoModelForCausalLM, AutoTokenizer and generate() take it as it is. The newest checkpoint of
    the run is read piece by piece, whatever layout saved it. Exit code 1: no architecture of
    transformers computes the model, or the checkpoint or tokenizer does not belong to it.
    """
    from llamac.cli.report import compiled_plan, show
    from llamac.huggingface.checkpoint import Unusable, newest, open_checkpoint
    from llamac.huggingface.config import NoFamily, config_json
    from llamac.huggingface.export import tensors_of, write_folder
    from llamac.huggingface.start import no_architecture
    from llamac.huggingface.tokenizer import NoTokenizer, export_tokenizer

    planned, compiled = compiled_plan(file, plan, overrides)
    spec = compiled.plan.spec
    longest = max(phase.seq_len for phase in compiled.plan.phases)
    try:
        exported = export_tokenizer(compiled.plan.name, spec, longest, tokenizer)
        config = config_json(spec.model, exported.ends, longest, dtype)
        source = checkpoint or newest(run or Path("runs", compiled.plan.name))
        tensors = tensors_of(spec.model, open_checkpoint(source))
        shards = write_folder(
            output,
            config,
            tensors,
            dtype,
            largest=shard_size,
            tokenizer=exported.files,
        )
    except NoFamily as refused:
        problem = no_architecture(compiled.plan.name, spec, refused, planned.origins)
        show((problem,), planned.sources)
        sys.exit(FOUND)
    except (Unusable, NoTokenizer) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(FOUND)
    except FileExistsError:
        click.echo(f"error: {output} already exists; choose another folder or remove it", err=True)
        sys.exit(FAULT)
    total = f"{compiled.estimates['parameters'].value:,.0f}"
    files = counted(shards, "file")
    click.echo(f"{output}: {total} parameters of {source} in {files}, {dtype}", err=True)
    sys.exit(FINE)
