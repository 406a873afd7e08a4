"""Elements of the published weights, a tied head counted once: model cards and configurations."""

from __future__ import annotations

PUBLISHED = {
    "llama3": {
        "llama3_2_1b": 1_235_814_400,
        "llama3_2_3b": 3_212_749_824,
        "llama3_1_8b": 8_030_261_248,
        "llama3_1_70b": 70_553_706_496,
        "llama3_1_405b": 405_853_388_800,
    },
    "qwen3": {"qwen3_8b": 8_190_735_360, "qwen3_32b": 32_762_123_264},
    "mistral": {"mistral_7b": 7_241_732_096},
    "gemma2": {"gemma2_9b": 9_241_705_984},
}
"""File of the standard library -> its models."""
