"""What a style is, where styles come from, and which model files are let near a runtime."""

from __future__ import annotations

from rtstyle.styles.admission import DEFAULT_DOMAINS, GraphFacts, admit, brief, parse_plain
from rtstyle.styles.library import (
    UserStyles,
    check_new_name,
    install,
    remove,
    user_folder,
    user_styles,
)
from rtstyle.styles.likeness import EQUAL_DB, LEAST_PSNR_DB, psnr
from rtstyle.styles.pack import (
    add_calibration,
    check_replaceable,
    load_pack,
    read_bounded,
    verify,
    write_pack,
)
from rtstyle.styles.recognise import is_safetensors, other_kind
from rtstyle.styles.registry import bundled_styles, find_style, read_model, style_files
from rtstyle.styles.spec import SizeRule, StyleSpec

__all__ = [
    "DEFAULT_DOMAINS",
    "EQUAL_DB",
    "LEAST_PSNR_DB",
    "GraphFacts",
    "SizeRule",
    "StyleSpec",
    "UserStyles",
    "add_calibration",
    "admit",
    "brief",
    "bundled_styles",
    "check_new_name",
    "check_replaceable",
    "find_style",
    "install",
    "is_safetensors",
    "load_pack",
    "other_kind",
    "parse_plain",
    "psnr",
    "read_bounded",
    "read_model",
    "remove",
    "style_files",
    "user_folder",
    "user_styles",
    "verify",
    "write_pack",
]
