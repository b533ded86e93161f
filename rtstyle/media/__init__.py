"""Pixels in, pixels out: files and pictures, read and written. Knows no net and no style."""

from rtstyle.media.clip import write_clip
from rtstyle.media.codecs import EncodeOptions, encoders
from rtstyle.media.encode import VideoWriter
from rtstyle.media.fidelity import verify_video
from rtstyle.media.file import VideoFile, open_video
from rtstyle.media.image import check_image_output, read_image, write_image
from rtstyle.media.output import check_output
from rtstyle.media.sink import FrameSink
from rtstyle.media.source import FrameSource

__all__ = [
    "EncodeOptions",
    "FrameSink",
    "FrameSource",
    "VideoFile",
    "VideoWriter",
    "check_image_output",
    "check_output",
    "encoders",
    "open_video",
    "read_image",
    "verify_video",
    "write_clip",
    "write_image",
]
