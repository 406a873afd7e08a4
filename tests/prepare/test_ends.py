"""A text never ends its own document: there are as many separators as documents.

Tokenizers are made by `tokenizers`, of every model that it has, each in the ways in which the end
of a document can be part of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from llamac.prepare.encoding import BYTES, Unencodable, encoding
from tests.prepare.calling import Prepare
from tests.prepare.corpora import read, texts, write_lines

END = "</s>"
SPECIAL = ["<unk>", "<s>", END]
TEXTS = ["the markup <s closes/ a strike > another </ document about the cat"] * 50
LETTERS = sorted({*"".join(TEXTS)})


def unigram() -> Tokenizer:
    """As converted from SentencePiece: the end is a piece of the model, with score 0."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def added(special: bool) -> Tokenizer:
    """BPE of bytes, to which the end was added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken(END, special=special, normalized=False)])
    return tokenizer


def merged() -> Tokenizer:
    """The end is what the merges of BPE make of its letters, and of a longer token a part."""
    vocab = {token: i for i, token in enumerate([*LETTERS, "</", "s>", END, f"{END}a"])}
    merges = [("<", "/"), ("s", ">"), ("</", "s>"), (END, "a")]
    return Tokenizer(models.BPE(vocab, merges))


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def words(unknown: str) -> Tokenizer:
    vocab = {word: i for i, word in enumerate([*SPECIAL, "the", "cat", "closes"])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "Unigram": unigram,
    "BPE, its end added": lambda: added(special=False),
    "BPE, its end special": lambda: added(special=True),
    "BPE, its end merged": merged,
    "WordPiece": word_piece,
    "WordLevel": lambda: words("<unk>"),
}
DOCUMENT = st.lists(
    st.sampled_from([END, "<s>", "<unk>", "</", "s>", "the cat", "closes", " ", "<", "a", ">"])
).map("".join)


@pytest.fixture(scope="module", params=TOKENIZERS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    TOKENIZERS[request.param]().save(str(path))
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(DOCUMENT, max_size=9))
def test_as_many_ends_as_documents(saved: Path, documents: list[str]) -> None:
    """Text that spells no token whole is encoded as the library does; nothing else is lost."""
    how, library = encoding(saved, END), Tokenizer.from_file(str(saved))
    assert how.separator == library.token_to_id(END)
    encoded = [how.encode(document.encode()).tolist() for document in documents]
    assert all(tokens.index(how.separator) == len(tokens) - 1 for tokens in encoded)
    for document, tokens in zip(documents, encoded, strict=True):
        if not any(token in document for token in SPECIAL):
            assert tokens[:-1] == library.encode(document, add_special_tokens=False).ids
        if "BPE" in type(library.model).__name__:
            assert library.decode(tokens[:-1]).replace(" ", "") == document.replace(" ", "")


def test_all_other_tokens_keep_their_numbers(tmp_path: Path) -> None:
    """Those that were added after the end too."""
    tokenizer = added(special=False)
    tokenizer.add_tokens(["<later>", "<last>"])
    tokenizer.save(str(tmp_path / "t.json"))
    how = encoding(tmp_path / "t.json", END)
    later, last = (tokenizer.token_to_id(name) for name in ("<later>", "<last>"))
    found = how.encode(b"<last><later>").tolist()
    assert found == [last, later, how.separator]
    assert [last, later] == [how.separator + 2, how.separator + 1]


def test_an_end_that_cannot_be_kept_apart_is_refused(prepare: Prepare) -> None:
    """Where unknown words become the token that ends a document; and byte 0 among bytes."""
    words(END).save("tokenizer.json")
    write_lines(Path("web.jsonl"), texts(["the cat", "the unknown"]))
    data = f'jsonl {{ train = "web.jsonl", tokenizer = "tokenizer.json", separator = "{END}" }}'
    result = prepare(data)
    assert result.exit_code == 1
    assert "^ the tokenizer makes token 2, which ends a document, of a part" in result.output
    Path("web.jsonl").write_text(json.dumps({"text": "a\0b"}))
    result = prepare('jsonl { train = "web.jsonl" }')
    assert result.exit_code == 1
    assert "^ the text holds byte 0 at offset 1: token 0, which ends a document" in result.output


@given(st.binary())
def test_bytes(document: bytes) -> None:
    try:
        assert BYTES.encode(document).tolist() == [*document, 0]
        assert 0 not in document
    except Unencodable:
        assert 0 in document


@pytest.mark.parametrize("name", ["Unigram", "BPE, its end added"])
def test_eighty_documents_that_spell_the_end(prepare: Prepare, name: str) -> None:
    TOKENIZERS[name]().save("tokenizer.json")
    documents = ["the markup </s> closes a strike", "another document about the cat"] * 40
    write_lines(Path("web.jsonl"), texts(documents))
    data = f'jsonl {{ train = "web.jsonl", tokenizer = "tokenizer.json", separator = "{END}" }}'
    result = prepare(data, vocab=512)
    assert result.exit_code == 0, result.output
    found = read(Path("prepared/main/train"))
    assert found.tokens.count(found.index["separator"]) == found.index["documents"] == 80
