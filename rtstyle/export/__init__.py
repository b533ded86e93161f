"""Checkpoint to ONNX to pack, with a parity check in between."""

from rtstyle.export.graph import ByteGraph, multiply_accumulates, to_onnx
from rtstyle.export.pack import PackCard, export_pack
from rtstyle.export.parity import EQUAL_DB, Parity, check_parity, psnr
from rtstyle.export.rewrite import SignedEnds, spelled_out

__all__ = [
    "EQUAL_DB",
    "ByteGraph",
    "PackCard",
    "Parity",
    "SignedEnds",
    "check_parity",
    "export_pack",
    "multiply_accumulates",
    "psnr",
    "spelled_out",
    "to_onnx",
]
