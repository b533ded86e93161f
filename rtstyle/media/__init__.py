"""Pixels in, pixels out: files and pictures, read and written. Knows no net and no style."""

from rtstyle.media.clip import write_clip
from rtstyle.media.codecs import BitDepth, EncodeOptions, encoders
from rtstyle.media.deep import to_bytes
from rtstyle.media.encode import VideoWriter
from rtstyle.media.fidelity import verify_video
from rtstyle.media.file import VideoFile, open_video
from rtstyle.media.folder import VIDEO_ENDINGS, ending_for, find_videos
from rtstyle.media.hdr import HDR_MODES
from rtstyle.media.image import check_image_output, read_image, write_image
from rtstyle.media.output import check_container, check_output
from rtstyle.media.sink import FrameSink
from rtstyle.media.source import FrameSource
from rtstyle.media.weigh import Extent, Weight, measure_extent, weigh

__all__ = [
    "HDR_MODES",
    "VIDEO_ENDINGS",
    "BitDepth",
    "EncodeOptions",
    "Extent",
    "FrameSink",
    "FrameSource",
    "VideoFile",
    "VideoWriter",
    "Weight",
    "check_container",
    "check_image_output",
    "check_output",
    "encoders",
    "ending_for",
    "find_videos",
    "measure_extent",
    "open_video",
    "read_image",
    "to_bytes",
    "verify_video",
    "weigh",
    "write_clip",
    "write_image",
]
