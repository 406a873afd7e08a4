"""read: a config.json -> ModelSpec, or every key of it that a spec cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from compiler.huggingface.families import (
    FAMILIES,
    ONLY,
    ROPE_KEYS,
    WITHOUT_EFFECT,
    Family,
    Json,
    Object,
    family_called,
)
from compiler.schema.model import (
    EmbeddingSpec,
    FullMask,
    Geglu,
    Gqa,
    HeadSpec,
    InitSpec,
    LayerSpec,
    Llama3Scaling,
    Mask,
    ModelSpec,
    RmsNorm,
    Rope,
    SlidingMask,
    Swiglu,
)
from dsl.schema import Pattern

FULL, SLIDING = "full_attention", "sliding_attention"
MOST_LAYERS = 20_000
MOST = 10**9


@dataclass(frozen=True)
class Unsaid:
    """A key that a spec cannot say, and why. Without an `ignorable` one there still is a model."""

    key: str
    value: Json
    why: str
    ignorable: bool = False


class Inexpressible(Exception):
    """No model: `keys` are all that stand against it."""

    def __init__(self, keys: tuple[Unsaid, ...]) -> None:
        super().__init__(", ".join(key.key for key in keys))
        self.keys = keys


@dataclass
class Reader:
    """The values of one file, and what was found wrong with them so far."""

    family: Family
    values: Object
    unsaid: list[Unsaid] = field(default_factory=list[Unsaid])

    def refuse(self, key: str, why: str) -> None:
        value = self.values.get(key)
        if all(found.key != key for found in self.unsaid):
            self.unsaid.append(Unsaid(key, value, why, key not in self.family.defaults))

    def integer(self, key: str, otherwise: int | None = None, least: int = 1) -> int:
        """A count; `otherwise` replaces null. Anything else is reported; `least` replaces it."""
        value = self.values[key]
        if value is None and otherwise is not None:
            return otherwise
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST:
            return value
        if isinstance(value, float) and value.is_integer() and least <= value <= MOST:
            self.refuse(key, f"a whole number is needed: `{int(value)}`")
            return int(value)  # what was meant, so that nothing else is blamed
        self.refuse(key, f"a whole number from {least} to {MOST:,} is needed")
        return least

    def number(self, key: str, table: Object | None = None, shown: str = "") -> float:
        """Of `table`, or of the file."""
        value = (self.values if table is None else table).get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e30:
            return float(value)
        self.refuse(shown or key, "a number is needed" + (f" as {key}" if shown else ""))
        return 1.0

    def truth(self, key: str) -> bool:
        """False where the family has no such key."""
        value = self.values.get(key, False)
        if isinstance(value, bool):
            return value
        self.refuse(key, "true or false is needed")
        return False


def model_of(config: Object, ignored: frozenset[str] = frozenset()) -> ModelSpec:
    """The model of a config.json of transformers 4 or 5; raises Inexpressible.

    ignored   keys that are left out of account, if they are ignorable
    """
    family = _family(config)
    needed = config.keys() - (ignored - family.defaults.keys())
    given = {key: value for key, value in config.items() if key in needed}
    table = config.get("rope_parameters")
    if "rope_parameters" not in needed and isinstance(table, dict) and table.get("rope_theta"):
        given["rope_theta"] = table["rope_theta"]  # what is left out is the scaling
    reader = Reader(family, {**family.defaults, **given})
    for key, value in given.items():
        known = key in family.defaults or key in ROPE_KEYS or key in WITHOUT_EFFECT
        known |= key == "layer_types"  # held against the window below
        if key in ONLY:
            if value not in ONLY[key]:
                only = " or ".join(json.dumps(allowed) for allowed in ONLY[key])
                reader.refuse(key, f"only {only} is supported")
        elif not known:
            reader.refuse(key, f"{family.model_type} has no such key that llamac knows")
    if reader.values[family.activation] not in family.activations:
        reader.refuse(family.activation, f"only {family.activations[0]} is supported")
    made = _model(reader)
    if reader.unsaid:
        raise Inexpressible(tuple(reader.unsaid))
    return made


def _family(config: Object) -> Family:
    """By `model_type`, which must fit `architectures` where both are there."""
    model_type = config.get("model_type")
    family = family_called(model_type) if isinstance(model_type, str) else None
    if family is None:
        known = ", ".join(family.model_type for family in FAMILIES)
        raise Inexpressible((Unsaid("model_type", model_type, f"one of {known} is supported"),))
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures not in ([], [family.architecture]):
        why = f"only {family.architecture} is supported"
        raise Inexpressible((Unsaid("architectures", architectures, why),))
    return family


def _model(reader: Reader) -> ModelSpec:
    family, values = reader.family, reader.values
    d_model, layers = reader.integer("hidden_size"), reader.integer("num_hidden_layers")
    if layers > MOST_LAYERS:
        reader.refuse("num_hidden_layers", f"at most {MOST_LAYERS:,} layers are supported")
        layers = 1
    eps = reader.number("rms_norm_eps")
    attention = _attention(reader, d_model, eps)
    ffn = (Swiglu if family.ffn == "swiglu" else Geglu)(
        d_ff=reader.integer("intermediate_size"), bias=reader.truth("mlp_bias")
    )

    def kind(mask: Mask) -> LayerSpec:
        return LayerSpec(attention=attention(mask), ffn=ffn, norms=family.norms)

    masks = _masks(reader, layers)
    kinds = tuple(dict.fromkeys(masks))
    return ModelSpec(
        vocab=reader.integer("vocab_size", least=2),
        d_model=d_model,
        layers=layers,
        norm=RmsNorm(eps=eps, unit_offset=family.unit_offset),
        layer=Pattern(tuple(map(kind, kinds)), tuple(map(kinds.index, masks))),
        head=HeadSpec(
            tied=reader.truth("tie_word_embeddings"),
            softcap=_optional(reader, values, "final_logit_softcapping"),
        ),
        embedding=EmbeddingSpec(scale=d_model**0.5 if family.embedding_scaled else 1.0),
        init=InitSpec(std=reader.number("initializer_range")),
    )


def _attention(reader: Reader, d_model: int, eps: float) -> Callable[[Mask], Gqa]:
    heads = reader.integer("num_attention_heads")
    kv_heads = reader.integer("num_key_value_heads", otherwise=heads)
    head_dim = reader.integer("head_dim", otherwise=max(2, d_model // heads), least=2)
    if reader.values["head_dim"] is None and d_model < 2 * heads and not reader.unsaid:
        reader.refuse("head_dim", f"hidden_size {d_model} is too small for {heads} heads")
    if heads % kv_heads:
        reader.refuse("num_key_value_heads", f"it must divide the {heads} query heads")
    if head_dim % 2:
        reader.refuse("head_dim", "rotary positions need an even number")
    rope = _rope(reader)
    scale = 1 / head_dim**0.5
    if "query_pre_attn_scalar" in reader.values:
        scale = 1 / reader.integer("query_pre_attn_scalar") ** 0.5

    def of(mask: Mask) -> Gqa:
        return Gqa(
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            bias=reader.truth("attention_bias"),
            qk_norm=RmsNorm(eps=eps) if reader.family.qk_norm else None,
            rope=rope,
            mask=mask,
            softcap=_optional(reader, reader.values, "attn_logit_softcapping"),
            scale=scale,
        )

    return of


def _optional(reader: Reader, values: Object, key: str) -> float | None:
    return None if values.get(key) is None else reader.number(key)


def _rope(reader: Reader) -> Rope:
    """`rope_parameters`, or `rope_theta` and `rope_scaling`, which older files call by `type`."""
    five, four = reader.values.get("rope_parameters"), reader.values.get("rope_scaling")
    key = "rope_scaling" if five is None else "rope_parameters"
    table = four if five is None else five
    if table is None:
        return Rope(theta=reader.number("rope_theta"), pairs="half")
    if not isinstance(table, dict):
        reader.refuse(key, "an object is needed")
        return Rope(theta=1.0, pairs="half")
    rest = dict(table)
    inner = rest.get("rope_theta") is not None  # null gives way to the key outside
    theta = reader.number("rope_theta", rest, key) if inner else reader.number("rope_theta")
    kinds = {str(rest.pop(name)) for name in ("rope_type", "type") if name in rest}
    rest.pop("rope_theta", None)
    scaling: Llama3Scaling | None = None
    if kinds == {"llama3"}:
        scaling = _llama3(reader, rest, key)
    elif kinds == {"linear"} and rest.get("factor") == 1:
        rest = {}  # divides positions by 1
    elif kinds not in ({"default"}, set[str]()):
        reader.refuse(key, "only the types default and llama3 are supported")
        return Rope(theta=theta, pairs="half")
    else:
        rest.pop("factor", None)  # which the type default does not read
    if rest:
        reader.refuse(key, f"`{next(iter(rest))}` of it has no equivalent in a spec")
    return Rope(theta=theta, pairs="half", scaling=scaling)


def _llama3(reader: Reader, rest: dict[str, Json], key: str) -> Llama3Scaling:
    """Takes what it reads out of `rest`."""

    def take(name: str) -> float:
        value = reader.number(name, rest, key)
        rest.pop(name, None)
        return value

    low, high = take("low_freq_factor"), take("high_freq_factor")
    if high <= low:
        reader.refuse(key, "high_freq_factor must be above low_freq_factor")
    if rest.get("original_max_position_embeddings") is None:  # as transformers fills it in
        rest["original_max_position_embeddings"] = reader.values.get("max_position_embeddings")
    original = int(take("original_max_position_embeddings"))
    return Llama3Scaling(factor=take("factor"), low=low, high=high, original=original)


def _masks(reader: Reader, layers: int) -> tuple[Mask, ...]:
    """What each layer sees."""
    values, windows = reader.values, reader.family.windows
    if windows in ("none", "all"):
        slides = windows == "all" and values["sliding_window"] is not None
        sliding = (slides,) * layers
        types = values.get("layer_types")
        if types not in (None, [SLIDING if slides else FULL] * layers):
            reader.refuse("layer_types", f"{reader.family.model_type} has the same in every layer")
    else:
        sliding = _sliding(reader, layers)
    window = reader.integer("sliding_window") if any(sliding) else 1
    return tuple(SlidingMask(window=window) if slides else FullMask() for slides in sliding)


def _sliding(reader: Reader, layers: int) -> tuple[bool, ...]:
    """Which layers have the window: `layer_types`, or what the family does without."""
    types = reader.values["layer_types"]
    if isinstance(types, list):
        if len(types) != layers or not {*map(str, types)} <= {FULL, SLIDING}:
            why = f"{layers} layers of {FULL} or {SLIDING} are needed"
            reader.refuse("layer_types", why)
            return (False,) * layers
        return tuple(kind == SLIDING for kind in types)
    if types is not None:
        reader.refuse("layer_types", "a list is needed")
    if reader.family.windows == "alternating":
        return tuple(index % 2 == 0 for index in range(layers))
    if not reader.truth("use_sliding_window") or reader.values["sliding_window"] is None:
        return (False,) * layers
    first = reader.integer("max_window_layers", least=0)
    return tuple(index >= first for index in range(layers))
