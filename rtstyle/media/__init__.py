"""Pixels in, pixels out: files and pictures, read and written. Knows no net and no style."""

from rtstyle.media.clip import write_clip
from rtstyle.media.codecs import EncodeOptions, encoders
from rtstyle.media.deinterlace import DEINTERLACE
from rtstyle.media.encode import VideoWriter
from rtstyle.media.fidelity import verify_video
from rtstyle.media.file import VideoFile, open_video
from rtstyle.media.folder import VIDEO_ENDINGS, ending_for, find_videos
from rtstyle.media.image import check_image_output, read_image, write_image
from rtstyle.media.output import check_container, check_output
from rtstyle.media.sink import FrameSink
from rtstyle.media.source import FrameSource
from rtstyle.media.weigh import Extent, Weight, ends_in_sound, measure_extent, weigh

__all__ = [
    "DEINTERLACE",
    "VIDEO_ENDINGS",
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
    "ends_in_sound",
    "find_videos",
    "measure_extent",
    "open_video",
    "read_image",
    "verify_video",
    "weigh",
    "write_clip",
    "write_image",
]
