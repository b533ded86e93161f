"""Checkpoint to ONNX to pack, with a parity check in between."""

from rtstyle.export.graph import ByteGraph, multiply_accumulates, to_onnx
from rtstyle.export.pack import PackCard, export_pack
from rtstyle.export.parity import Parity, check_parity, psnr

__all__ = [
    "ByteGraph",
    "PackCard",
    "Parity",
    "check_parity",
    "export_pack",
    "multiply_accumulates",
    "psnr",
    "to_onnx",
]
