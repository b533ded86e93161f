"""Checkpoint to ONNX to pack, with a parity check in between."""

from rtstyle.export.graph import ByteGraph, multiply_accumulates, to_onnx
from rtstyle.export.pack import PackCard, export_pack
from rtstyle.export.parity import Parity, check_parity
from rtstyle.export.rewrite import SignedEnds, spelled_out

__all__ = [
    "ByteGraph",
    "PackCard",
    "Parity",
    "SignedEnds",
    "check_parity",
    "export_pack",
    "multiply_accumulates",
    "spelled_out",
    "to_onnx",
]
