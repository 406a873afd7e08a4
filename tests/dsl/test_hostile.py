"""Whatever the bytes: located errors or a Spec, never an exception, and limits that are errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.schema import BLOCKS
from dsl.fixes import apply
from dsl.formats import to_github, to_json, to_sarif
from dsl.frontend import Loaded, Unreadable, in_memory, load
from dsl.render import render
from dsl.tokens import tokenize
from tests.dsl.examples import LARGE, MIXED, SMALL

MODEL = SMALL.partition("cluster")[0]


def loaded(content: bytes | str) -> Loaded:
    """Load a file, and hold what is true of any answer."""
    found = load("a.llama", in_memory({"a.llama": content}), BLOCKS)
    assert (found.spec is None) == any(d.is_error for d in found.diagnostics)
    assert len(found.diagnostics) <= 101
    for diagnostic in found.diagnostics:
        for label in (diagnostic.primary, *diagnostic.secondary):
            if label is not None:
                text = found.sources[label.span.path].text
                assert 0 <= label.span.start <= label.span.end <= len(text) + 1
        to_json(diagnostic, found.sources)
        assert "\n" not in to_github(diagnostic, found.sources)
    to_sarif(found.diagnostics, found.sources)
    shown = render(found.diagnostics, found.sources, colour=False)
    assert all(c == "\n" or c.isprintable() for c in shown)
    apply(found.diagnostics, found.sources, unsafe=True)
    return found


def slugs(content: bytes | str) -> list[str]:
    return [diagnostic.slug for diagnostic in loaded(content).diagnostics]


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    loaded(content)


@given(st.text(max_size=200))
def test_any_text(content: str) -> None:
    loaded(content)


PIECES = sorted({token.text for text in (LARGE, MIXED, SMALL) for token in tokenize(text, 10_000)})


@given(st.lists(st.sampled_from([*PIECES, " ", "\n", "\r", "\t", "1e999", "1_", "€", '"', "#"])))
def test_any_words_of_the_language(pieces: list[str]) -> None:
    loaded(" ".join(pieces))


@given(st.data())
def test_mutations_of_a_good_spec(data: st.DataObject) -> None:
    """Tokens replaced, left out, doubled or moved, up to four of them."""
    tokens = [token.text for token in tokenize(SMALL, 10_000)]
    places = st.integers(0, len(tokens) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(places)
        match data.draw(st.sampled_from(["replace", "drop", "double", "move"])):
            case "replace":
                tokens[place] = data.draw(st.sampled_from(PIECES))
            case "drop":
                tokens[place] = ""
            case "double":
                tokens[place] += " " + tokens[place]
            case _:
                other = data.draw(places)
                tokens[place], tokens[other] = tokens[other], tokens[place]
    loaded(" ".join(tokens))


# Each text is far beyond what its limit allows; `limit` is the slug of every limit.
BOMBS = {
    "bytes": b"#" * (2 << 20),
    "tokens": b"\n" * (1 << 20),
    "signs": b"!" * (1 << 20),
    "quotes": b'"' * (1 << 20),
    "a word": b"x" * (1 << 20),
    "digits": b"let a = " + b"1" * 5000,
    "braces": b"a {" * 16_000,
    "parentheses": b"let a = " + b"(" * 40_000,
    "a sum": b"let a = " + b"1 + " * 10_000 + b"1",
    "signs before a number": b"let a = " + b"- " * 10_000 + b"1",
    "indentation": "".join(" " * n + "a\n" for n in range(1000)),
    "lets": "".join(f"let a{n} = a{n + 1} + a{n + 1}\n" for n in range(99))
    + "let a99 = 1\n"
    + SMALL.replace("width = 64", "width = a0"),
    "lets of components": "".join(f"let a{n} = a{n + 1} {{}}\n" for n in range(99))
    + "let a99 = swiglu(3)\n"
    + SMALL.replace("swiglu(d_ff = 128)", "a0"),
    "extends": "".join(f"model m{n} extends m{n + 1} {{}}\n" for n in range(99)) + "model m99 {}",
    "blocks": "".join(f"model m{n} {{}}\n" for n in range(5000)),
    "layers": SMALL.replace("layers = 4", "layers = 1_000_000"),
    "conditions": SMALL.replace("layers = 4", "layers = 9999").replace(
        "  layer where", "  layer where i in [1, 2, 3] {}\n" * 99 + "  layer where"
    ),
    "uses in an assert": SMALL.replace("tp * 2", "+".join(["width"] * 30))
    .replace("let width = 64", "let width = w + w + w\nlet w = 64 / 9")
    .replace("d_model = width", "d_model = 64"),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_limits_are_errors(content: bytes | str) -> None:
    assert "limit" in slugs(content)


def test_a_number_beyond_all_bounds() -> None:
    assert slugs(SMALL.replace("layers = 4", "layers = 9 ** 9 ** 9")) == ["not-computable"]
    assert slugs(SMALL.replace("layers = 4", "layers = 1e60 * 1e60")) == ["not-computable"]
    assert slugs(SMALL.replace("lr = 1e-3", "lr = 1e300")) == ["limit"]
    assert slugs(SMALL.replace("layers = 4", "layers = 1e25")) == ["out-of-range"]


def test_a_hundred_errors_are_shown_and_the_others_counted() -> None:
    text = "model m {\n" + "".join(f"  field{n} = 1\n" for n in range(150)) + "}\n"
    found = loaded(text)
    assert len(found.diagnostics) == 101
    # 150 unknown fields and the four required ones that are missing.
    assert found.diagnostics[-1].slug == "too-many-errors"
    assert found.diagnostics[-1].title == "54 more errors and warnings are not shown"


def test_imports_are_bounded() -> None:
    chain: dict[str, bytes | str] = {
        f"f{n}.llama": f'import "f{n + 1}" as next\n' for n in range(99)
    }
    wide: dict[str, bytes | str] = {f"g{n}.llama": "" for n in range(99)}
    wide["a.llama"] = "".join(f'import "g{n}" as g{n}\n' for n in range(99))
    for root, files in (("f0.llama", chain), ("a.llama", wide)):
        found = load(root, in_memory(files), BLOCKS)
        assert {d.slug for d in found.diagnostics} == {"limit"}
        assert len(found.sources) <= 64


def test_a_root_that_cannot_be_read() -> None:
    missing = load("a.llama", in_memory({}), BLOCKS)
    assert [d.title for d in missing.diagnostics] == ["cannot read `a.llama`: no such file"]
    refused = load("a.llama", lambda path: Unreadable("permission denied"), BLOCKS)
    assert [d.title for d in refused.diagnostics] == ["cannot read `a.llama`: permission denied"]
    assert render(refused.diagnostics, refused.sources).startswith("error[file-missing]: cannot")
    near = load("specs/rum.llama", in_memory({"specs/run.llama": ""}), BLOCKS)
    assert render(near.diagnostics, near.sources) == (
        "error[file-missing]: cannot read `specs/rum.llama`: no such file\n"
        " = help: did you mean `specs/run.llama`?\n"
    )
