"""What the processor can do, as far as it decides which precision is quick."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessorFeatures:
    """The processor; a feature is None where this system does not tell."""

    model: str
    """As it calls itself, or "unknown"."""
    cores: int
    """Logical processors this process may use."""
    avx2: bool | None
    avx512: bool | None
    avx512_bf16: bool | None
    """Dot products of bfloat16 vectors."""
    amx_bf16: bool | None
    """Matrix units for bfloat16."""
    vnni: bool | None
    """Dot products of 8-bit vectors, of either width."""

    @property
    def quick_bf16(self) -> bool | None:
        """Whether bfloat16 is computed in hardware, not emulated; None where unknown."""
        if self.amx_bf16 is None or self.avx512_bf16 is None:
            return None
        return self.amx_bf16 or self.avx512_bf16

    @property
    def bf16_units(self) -> str:
        """What computes bfloat16, as a clause for people."""
        if self.amx_bf16:
            return "this processor has bf16 matrix units"
        if self.avx512_bf16:
            return "this processor has bf16 vector units"
        return "this processor has no bf16 units"


def processor_features() -> ProcessorFeatures:
    """Read from /proc/cpuinfo; on systems without it only the name and the cores are known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_cpuinfo(text, cores=usable_cores())


def parse_cpuinfo(text: str, *, cores: int) -> ProcessorFeatures:
    """The features in a text of Linux' /proc/cpuinfo; an empty text means unknown."""
    lines: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            lines.setdefault(key.strip().lower(), value.strip())
    flags = lines.get("flags", lines.get("features"))
    known = set(flags.split()) if flags is not None else None

    def has(flag: str) -> bool | None:
        return None if known is None else flag in known

    return ProcessorFeatures(
        model=lines.get("model name") or platform.processor() or platform.machine() or "unknown",
        cores=cores,
        avx2=has("avx2"),
        avx512=has("avx512f"),
        avx512_bf16=has("avx512_bf16"),
        amx_bf16=has("amx_bf16"),
        vnni=None if known is None else bool(known & {"avx512_vnni", "avx_vnni"}),
    )


def usable_cores() -> int:
    """Logical processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
