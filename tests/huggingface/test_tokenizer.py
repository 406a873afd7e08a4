"""An exported folder is one that `AutoTokenizer` and `generate` take as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from compiler.data import SHARDS_FORMAT
from compiler.schema import ClusterSpec, CpuNode, PlanSpec, TrainSpec
from compiler.schema.train import AdamW, Data, JsonlData, ShardData, TextData, TokenData
from llamac.huggingface.tokenizer import (
    ExportedTokenizer,
    NoTokenizer,
    export_tokenizer,
)
from tests.models.families import CASES

TEXTS = [f"{i} times {i} is {i * i}, and {i}\nand {i} are {2 * i}" for i in range(50)]
END = "<|end|>"
WIDTH = 512


def plan_of(data: Data) -> PlanSpec:
    return PlanSpec(
        model=CASES["llama gqa"].model,
        cluster=ClusterSpec(node=CpuNode(devices=1)),
        train=TrainSpec(steps=1, optimizer=AdamW(lr=0.1), data=data),
    )


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", END], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def words() -> Tokenizer:
    """The end is added to what the model knows, after it."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([END])
    return tokenizer


KINDS = {"byte level": byte_level, "unigram": unigram, "words": words}


def model_that_ends(eos: int) -> LlamaForCausalLM:
    """The most likely next token is always the end."""
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=WIDTH, hidden_size=8, intermediate_size=8, **shape)
    )
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[eos] = 1
        model.model.embed_tokens.weight.fill_(1)
    return model


def written(exported: ExportedTokenizer, folder: Path) -> Path:
    """As an export lies on disk; the weights are of a model that ends at once."""
    assert exported.ends.eos is not None
    model_that_ends(exported.ends.eos).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **exported.ends.as_json()}))
    ends = {"_from_model_config": True, **exported.ends.as_json()}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    for name, content in exported.files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_encoded_as_in_training_and_generation_ends(kind: str, tmp_path: Path) -> None:
    own = KINDS[kind]()
    own.save(str(tmp_path / "own.json"))
    data = JsonlData(train="a", tokenizer=str(tmp_path / "own.json"), separator=END)
    exported = export_tokenizer("main", plan_of(data), 64)
    assert exported.ends.eos == own.token_to_id(END)
    folder = written(exported, tmp_path / "hf")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == (END, exported.ends.eos)
    assert tokenizer.model_max_length == 64
    for text in TEXTS:
        ids = own.encode(text, add_special_tokens=False).ids
        assert tokenizer(text).input_ids == ids
        decoded = tokenizer.decode([*ids, exported.ends.eos], skip_special_tokens=True)
        assert decoded == text or kind == "words"
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer(TEXTS[3], return_tensors="pt")
    made = model.generate(**prompt, max_new_tokens=5, do_sample=False)[0]
    assert made.tolist() == [*prompt.input_ids[0].tolist(), exported.ends.eos]


def test_text_without_a_tokenizer_is_bytes(tmp_path: Path) -> None:
    plan = plan_of(TextData(train="a"))
    exported = export_tokenizer("main", plan_with_vocab(plan, 256), 64)
    folder = written(exported, tmp_path / "hf")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "".join(map(chr, range(1, 300))) + " 日本 🙂\n\ttab  "
    assert tokenizer(text).input_ids == [*text.encode()]
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.eos_token_id == exported.ends.eos == 0
    assert export_tokenizer("main", plan_with_vocab(plan, 250), 64).files == {}


def plan_with_vocab(plan: PlanSpec, vocab: int) -> PlanSpec:
    return replace(plan, model=replace(plan.model, vocab=vocab))


def test_what_a_folder_says_of_its_tokens_is_kept_but_for_the_end(tmp_path: Path) -> None:
    """The end is that of the data: a model learns it, whatever its tokenizer came with."""
    own = byte_level()
    own.add_special_tokens(["<s>", "<pad>", "</s>"])
    own.save(str(tmp_path / "tokenizer.json"))
    said = {"bos_token": "<s>", "pad_token": {"content": "<pad>"}, "eos_token": "</s>", "extra": 1}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "</s>"}))
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    data = JsonlData(train="a", tokenizer=str(tmp_path / "tokenizer.json"), separator=END)
    exported = export_tokenizer("main", plan_of(data), 64)
    ids = [own.token_to_id(token) for token in ("<s>", END, "<pad>")]
    assert [exported.ends.bos, exported.ends.eos, exported.ends.pad] == ids
    config = json.loads(exported.files["tokenizer_config.json"])
    assert (config["eos_token"], config["bos_token"], config["extra"]) == (END, "<s>", 1)
    assert json.loads(exported.files["special_tokens_map.json"]) == {"eos_token": END}
    assert exported.files["chat_template.jinja"] == b"{{ messages }}"
    tokens = export_tokenizer("main", plan_of(TokenData(separator=0)), 64, tmp_path)
    assert json.loads(tokens.files["tokenizer_config.json"])["eos_token"] == END


def test_tokens_without_a_tokenizer_have_an_end(tmp_path: Path) -> None:
    """Of shards the one that their index has, where they are here."""
    assert export_tokenizer("main", plan_of(TokenData(separator=5)), 64).ends.eos == 5
    shards = plan_of(ShardData(train=str(tmp_path / "shards")))
    assert export_tokenizer("main", shards, 64).ends.eos is None
    (tmp_path / "shards").mkdir()
    index = {"format": SHARDS_FORMAT, "separator": 7}
    (tmp_path / "shards" / "index.json").write_text(json.dumps(index))
    assert export_tokenizer("main", shards, 64).ends.eos == 7


def test_a_tokenizer_without_the_end_is_refused(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    data = JsonlData(train="a", tokenizer=str(tmp_path / "tokenizer.json"), separator="<none>")
    with pytest.raises(NoTokenizer, match="no token `<none>`"):
        export_tokenizer("main", plan_of(data), 64)
