"""Pixels in, pixels out: files and pictures, read and written. Knows no net and no style."""

from rtstyle.media.acceptance import Verdict, Written, check_conversion, stamp_of
from rtstyle.media.broadcast import Broadcast, check_address
from rtstyle.media.camera import CAPTURE_CLOCK, Camera, open_camera
from rtstyle.media.clip import write_clip
from rtstyle.media.codecs import (
    CODEC_NAMES,
    ENCODER_KINDS,
    BitDepth,
    EncodeOptions,
    encoders,
    software_versions,
)
from rtstyle.media.deep import to_bytes, to_deep
from rtstyle.media.deinterlace import DEINTERLACE
from rtstyle.media.devices import CameraDevice, CameraMode, list_cameras
from rtstyle.media.doors import check_target, is_pictures, open_sink, open_source, options_for
from rtstyle.media.encode import FrameClock, VideoWriter
from rtstyle.media.facts import Facts, pixels_in_srgb, profile_name
from rtstyle.media.fidelity import verify_video
from rtstyle.media.file import VideoFile, open_video
from rtstyle.media.film import FilmFile, tick_of
from rtstyle.media.folder import VIDEO_ENDINGS, ending_for, find_videos, other_files
from rtstyle.media.hardware import hardware_encoders
from rtstyle.media.hdr import HDR_MODES
from rtstyle.media.image import (
    check_image_output,
    open_picture,
    read_image,
    write_image,
    write_leaves,
)
from rtstyle.media.mark import Mark
from rtstyle.media.numbered import (
    PICTURE_ENDINGS,
    STAMPS_NAME,
    find_numbered,
    is_picture,
    numbered_name,
    only_sequence,
)
from rtstyle.media.output import (
    check_container,
    check_output,
    is_film_name,
    muxer_of,
    name_excess,
    too_long,
)
from rtstyle.media.part_file import PartFile
from rtstyle.media.payload import Mishaps
from rtstyle.media.picture_codec import Motion, can_write, kind_of
from rtstyle.media.picture_file import Leaf, PictureFile
from rtstyle.media.pictures import choose_encoder, stored_otherwise
from rtstyle.media.rehearsal import rehearse
from rtstyle.media.segment import SegmentJoiner, SegmentWriter
from rtstyle.media.segment_file import SegmentFacts, SegmentFile, find_pictures, is_whole
from rtstyle.media.sequence import SequenceFile, is_sequence
from rtstyle.media.sequence_writer import PictureOptions, SequenceWriter
from rtstyle.media.sink import FrameSink
from rtstyle.media.source import FrameSource
from rtstyle.media.stretch import Stretch
from rtstyle.media.under import extend_colours, on_white
from rtstyle.media.upright import letterbox
from rtstyle.media.weigh import Extent, Weight, ends_in_sound, measure_extent, weigh
from rtstyle.media.wire import WireFrame, frame_of, jpeg_of, pixels_of, pixels_of_jpeg

__all__ = [
    "CAPTURE_CLOCK",
    "CODEC_NAMES",
    "DEINTERLACE",
    "ENCODER_KINDS",
    "HDR_MODES",
    "PICTURE_ENDINGS",
    "STAMPS_NAME",
    "VIDEO_ENDINGS",
    "BitDepth",
    "Broadcast",
    "Camera",
    "CameraDevice",
    "CameraMode",
    "EncodeOptions",
    "Extent",
    "Facts",
    "FilmFile",
    "FrameClock",
    "FrameSink",
    "FrameSource",
    "Leaf",
    "Mark",
    "Mishaps",
    "Motion",
    "PartFile",
    "PictureFile",
    "PictureOptions",
    "SegmentFacts",
    "SegmentFile",
    "SegmentJoiner",
    "SegmentWriter",
    "SequenceFile",
    "SequenceWriter",
    "Stretch",
    "Verdict",
    "VideoFile",
    "VideoWriter",
    "Weight",
    "WireFrame",
    "Written",
    "can_write",
    "check_address",
    "check_container",
    "check_conversion",
    "check_image_output",
    "check_output",
    "check_target",
    "choose_encoder",
    "encoders",
    "ending_for",
    "ends_in_sound",
    "extend_colours",
    "find_numbered",
    "find_pictures",
    "find_videos",
    "frame_of",
    "hardware_encoders",
    "is_film_name",
    "is_picture",
    "is_pictures",
    "is_sequence",
    "is_whole",
    "jpeg_of",
    "kind_of",
    "letterbox",
    "list_cameras",
    "measure_extent",
    "muxer_of",
    "name_excess",
    "numbered_name",
    "on_white",
    "only_sequence",
    "open_camera",
    "open_picture",
    "open_sink",
    "open_source",
    "open_video",
    "options_for",
    "other_files",
    "pixels_in_srgb",
    "pixels_of",
    "pixels_of_jpeg",
    "profile_name",
    "read_image",
    "rehearse",
    "software_versions",
    "stamp_of",
    "stored_otherwise",
    "tick_of",
    "to_bytes",
    "to_deep",
    "too_long",
    "verify_video",
    "weigh",
    "write_clip",
    "write_image",
    "write_leaves",
]
