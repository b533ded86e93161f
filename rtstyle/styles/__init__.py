"""What a style is, where styles come from, and which model files are let near a runtime."""

from __future__ import annotations

from rtstyle.styles.admission import GraphFacts, admit
from rtstyle.styles.pack import load_pack, verify, write_pack
from rtstyle.styles.registry import bundled_styles, find_style, read_model
from rtstyle.styles.spec import SizeRule, StyleSpec

__all__ = [
    "GraphFacts",
    "SizeRule",
    "StyleSpec",
    "admit",
    "bundled_styles",
    "find_style",
    "load_pack",
    "read_model",
    "verify",
    "write_pack",
]
