"""Styles of others that can be fetched: where from, under which licence, and with which hash.

An entry is listed only where its hash is known from elsewhere than the address it is fetched from,
so that whoever holds the address cannot choose the file. The comments say where each hash stands.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtstyle.errors import UnknownStyle
from rtstyle.styles.admission import brief
from rtstyle.styles.spec import NAME_PATTERN

_BLOCK = 2**20
_LENGTHS = {"sha256": (64, 64), "sha256-prefix": (8, 63), "git-blob": (40, 40)}


@dataclass(frozen=True, slots=True)
class Digest:
    """What a fetched file must hash to."""

    kind: Literal["sha256", "sha256-prefix", "git-blob"]
    """``sha256`` of the file, as in a Git LFS pointer; ``sha256-prefix``, the beginning of it, as
    torch hub writes into file names (``vgg16-397923af.pth``); ``git-blob``, the SHA-1 of
    ``blob <length>``, a zero byte and the file, which is git's name for it."""
    value: str
    """Hexadecimal digits in lower case."""

    def __post_init__(self) -> None:
        shortest, longest = _LENGTHS[self.kind]
        fits = shortest <= len(self.value) <= longest
        if not fits or set(self.value) - set("0123456789abcdef"):
            raise ValueError(f"{self.value!r} is no {self.kind}")

    def matches(self, file: Path) -> bool:
        """True where ``file`` has this digest; raises OSError where it cannot be read."""
        with file.open("rb") as stream:
            if self.kind == "git-blob":
                state = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
            else:
                state = hashlib.sha256()
            while block := stream.read(_BLOCK):
                state.update(block)
        return state.hexdigest().startswith(self.value)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A style that can be fetched."""

    name: str
    """Matches NAME_PATTERN; what it is called once it is imported."""
    title: str
    file: str
    """The file's own name, whose suffix says what it is."""
    bytes: int
    """Its exact length; more is never read."""
    digest: Digest
    addresses: tuple[str, ...]
    """``https`` addresses of this very file, the best first."""
    redirects: tuple[str, ...]
    """Hosts an address may pass on to besides its own; ``*.hf.co`` stands for all below hf.co."""
    licence: str
    """SPDX identifier, or the words of whoever made it."""
    non_commercial: bool
    """True where the licence asks for more than naming its authors: it is to be accepted first."""
    source: str
    """Who made it, and from what."""


_HUGGING_FACE = ("*.hf.co", "cdn-lfs.huggingface.co", "cdn-lfs-us-1.huggingface.co")
_MODEL_ZOO = "the ONNX Model Zoo's export of pytorch/examples fast_neural_style (Johnson et al.)"


def _zoo(name: str, title: str, stem: str, commit: str, sha256: str) -> CatalogueEntry:
    # All five hashes: "model_sha" in ONNX_HUB_MANIFEST.json of github.com/onnx/models at commit
    # 06189933463e51adb5ac34a5ead67cf6a3f51e2d, which is where onnx.hub takes them from too. The
    # Git LFS pointers of the same repository say the same: pointilism-9 and rain-princess-9 at
    # 13fcb614fdedcc09864c0691c080ccf82ca3b85b in vision/style_transfer/fast_neural_style/model,
    # udnie-9 at 2a67a85e670e61bf9819e9df6dae3771974552ff in validated/ of that path.
    # The zoo's files moved to huggingface.co/onnxmodelzoo when its LFS store was closed.
    # The licence is the one at the end of that folder's README.md.
    return CatalogueEntry(
        name=name,
        title=title,
        file=f"{stem}.onnx",
        bytes=6_728_029,
        digest=Digest("sha256", sha256),
        addresses=(
            f"https://huggingface.co/onnxmodelzoo/{stem}/resolve/{commit}/{stem}.onnx",
            f"https://huggingface.co/onnxmodelzoo/{stem}/resolve/main/{stem}.onnx",
            "https://media.githubusercontent.com/media/onnx/models/main/validated/vision/"
            f"style_transfer/fast_neural_style/model/{stem}.onnx",
        ),
        redirects=_HUGGING_FACE,
        licence="BSD-3-Clause",
        non_commercial=False,
        source=_MODEL_ZOO,
    )


CATALOGUE: tuple[CatalogueEntry, ...] = (
    _zoo(
        "mosaic",
        "Mosaic",
        "mosaic-9",
        "9a267ba8540fba8fb12bc78f3770e0fd9c923c56",
        "fa646dedade881243f8d5a2ceb7de2b93675b21fc24f7482894ac4851a9a0a47",
    ),
    _zoo(
        "candy",
        "Candy",
        "candy-9",
        "f24fcf558bd4564360f41cf3b5321975a33f962f",
        "9d11a3529d1e547da6ae07201d93484dbab2ec0a3614535752c8f40f0fe2968a",
    ),
    _zoo(
        "rain-princess",
        "Rain Princess",
        "rain-princess-9",
        "205625e4c00565b6c0946814de6165116b271e58",
        "4162912e6f75fedef6f810ae989b9e10d3d5d43308dab34b027c850cf255e152",
    ),
    _zoo(
        "udnie",
        "Udnie",
        "udnie-9",
        "ab74109f694dc8117f5e39a8571ac53bf83618f6",
        "8656b6ce7dec8f22ee13c2d557d6b67bd6f550dde88d0f2e7c9972aeb765cc0d",
    ),
    _zoo(
        "pointilism",
        "Pointilism",
        "pointilism-9",
        "d9c3c80c36d238db4155f3029f996ce62b3c101f",
        "5ee2b8d4d6bc60a777f54e0fe96a1b717360a004b79d56c67390d4a975b14d98",
    ),
    CatalogueEntry(
        name="face-portrait-v2",
        title="Face Portrait v2",
        file="face_paint_512_v2_0.onnx",
        bytes=8_594_990,
        # github.com/sap-tutorials/tutorials-ims, scripts/vendor-animegan.mjs at
        # b5c4eb8d1d8049aa8c2c23717a85a06b03a81663, pins this hash for this file and says how it
        # stands with the licence. Another project pins the same, with the length and this commit.
        digest=Digest("sha256", "1381b17ed988e14a1f3cf8954d88073c0884ff4b70128ebe599f0d6021bca63e"),
        addresses=(
            "https://huggingface.co/akhaliq/AnimeGANv2-ONNX/resolve/"
            "980ee341c8a3b45ae59bb10072a4f0383d96811a/face_paint_512_v2_0.onnx",
        ),
        redirects=_HUGGING_FACE,
        # bryandlee/animegan2-pytorch, LICENSE at 36ab04edd0fd752cb5881037dc47969b63ed8897, says
        # MIT of the weights; AnimeGANv2 itself, which it ports, allows non-commercial use only.
        licence="MIT by bryandlee/animegan2-pytorch; AnimeGANv2, which it ports, is non-commercial",
        non_commercial=True,
        source="bryandlee/animegan2-pytorch face_paint_512_v2, exported to ONNX by akhaliq",
    ),
    CatalogueEntry(
        name="animeganv3-tiny-cute",
        title="AnimeGANv3 Tiny Cute",
        file="AnimeGANv3_tiny_Cute.onnx",
        bytes=2_452_590,
        # Taken from a copy of resources/AnimeGANv3_tiny_Cute.onnx of that repository, whose
        # git blob is 0ec480c2bc598240bc41102008b11036d661f1e8.
        digest=Digest("sha256", "3ef02d6b2939a0e81621abc5beb0e741bb58654570033cd0e97f6b6ef37c1171"),
        addresses=(
            "https://raw.githubusercontent.com/tuanmjnh/AnimeGANv3_Video/"
            "9d1e5e9e3a2f54a3d6781880a4df1d996e842a7b/resources/AnimeGANv3_tiny_Cute.onnx",
            "https://raw.githubusercontent.com/tuanmjnh/AnimeGANv3_Video/"
            "HEAD/resources/AnimeGANv3_tiny_Cute.onnx",
        ),
        redirects=(),
        # TachibanaYoshino/AnimeGANv3, README.md at 039816120b0e28d108dc8609cd62521ad9609dee.
        licence="AnimeGANv3: non-commercial purposes such as research, teaching and publications",
        non_commercial=True,
        source="TachibanaYoshino/AnimeGANv3, from the copy in tuanmjnh/AnimeGANv3_Video",
    ),
)
"""In the order of the list that is shown."""


def find_entry(name: str) -> CatalogueEntry:
    """The entry called ``name``; raises UnknownStyle, with names that are near."""
    if NAME_PATTERN.fullmatch(name):
        for entry in CATALOGUE:
            if entry.name == name:
                return entry
    known = [entry.name for entry in CATALOGUE]
    near = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "see rtstyle styles pull --list"
    raise UnknownStyle(f"no style named {brief(name)} can be fetched; {hint}")
