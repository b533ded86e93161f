"""What a file is that was given for a net and is none, told from its bytes, and what to do then.

Nothing is unpickled or unpacked: archives are listed, and the words of a pickle are read as text.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator

_LFS = b"version https://git-lfs"
_MOST_PICKLE = 16 * 2**20
_MOST_WORDS = 200_000
_MOST_DIRECTORY = 4 * 2**20
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PLAIN = ("torch", "torch._utils", "torch.serialization", "collections", "torch.nn.parameter")
"""Modules that a file of plain tensors names."""
_SAFE_BUILTINS = ("dict", "list", "set", "tuple", "int", "float", "bool", "str")
_ONNX_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"
_ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
}
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF")
_PUT_WEIGHTS = (
    "where its code is, load it and save the weights alone, torch.save(net.state_dict(), "
    "'weights.pth'), or export it with torch.onnx.export"
)
_TO_ONNX = "convert it to ONNX with tf2onnx (python -m tf2onnx.convert) and import that"


def other_kind(data: bytes, *, onnx: bool) -> str | None:
    """What ``data`` is and what to do, as "it is ...; ..."; None where it may be a net.

    ``onnx``: whether an ONNX file is expected, a file of weights otherwise.
    """
    if not data:
        return "the file is empty; export or download it again"
    return _text(data) or _container(data, onnx) or _pickle(data, onnx) or _protobuf(data, onnx)


def _text(data: bytes) -> str | None:
    head = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(_LFS):
        return (
            "it is a Git LFS pointer, a note of where the file lies; fetch the file itself with "
            "git lfs pull, or download it from the page of the project"
        )
    if head.startswith((b"<!doctype html", b"<html")) or b"<head" in head[:512]:
        return (
            "it is a web page, as servers send in place of a file; open the address in a browser "
            "and download the file itself"
        )
    if head.startswith((b"{", b"[")) and _is_words(data[:512]):
        return "it is JSON text, not a net; export or download the net itself"
    if head.startswith((b"<?xml", b"<net")):
        return (
            "it is XML, as OpenVINO's descriptions of nets are; import the ONNX file that it was "
            "made of"
        )
    return None


def _container(data: bytes, onnx: bool) -> str | None:
    for magic, kind in _ARCHIVES.items():
        if data.startswith(magic):
            return f"it is {kind}; unpack it, and import the file of weights or ONNX in it"
    if data[257:262] == b"ustar" and not _names_torch(data):
        return "it is a tar archive; unpack it, and import the file of weights or ONNX in it"
    if data.startswith(_PICTURES):
        return "it is a picture or a document, not a net; give the file of the net"
    if data.startswith(b"\x89HDF"):
        return f"it is a Keras file (HDF5); {_TO_ONNX}"
    if data[4:8] == b"TFL3":
        return f"it is a TensorFlow Lite file; {_TO_ONNX}"
    if data.startswith(b"GGUF"):
        return "it is a GGUF file of a language model; style nets are ONNX or PyTorch weights"
    if data.startswith((b"\x04\0\0\0\x01\0\0\0", b"4\n1\n")) and b"V 1" in data[:64]:
        return (
            "it is a .t7 file of Lua Torch, which PyTorch no longer reads; take the project's "
            "PyTorch or ONNX version, or convert it with torchfile and export it to ONNX"
        )
    if onnx and is_safetensors(data):
        return "it is a file of weights (safetensors), not ONNX; import it by a .safetensors name"
    if not data.startswith(b"PK\3\4"):
        return None
    return _zip(data, onnx)


def is_safetensors(data: bytes) -> bool:
    """Whether ``data`` begins as a safetensors file does."""
    return data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < len(data)


def _zip(data: bytes, onnx: bool) -> str | None:
    # The directory is read whole, and an object made of each entry.
    end = data.rfind(b"PK\5\6")
    if end >= 0 and int.from_bytes(data[end + 12 : end + 16], "little") > _MOST_DIRECTORY:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            pickles = [e for e in entries if e.filename.endswith("data.pkl")]
            if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
                return (
                    "it is TorchScript, a program and not weights; save the weights alone, "
                    "torch.save(torch.jit.load(file).state_dict(), 'weights.pth'), or export the "
                    "net with torch.onnx.export"
                )
            if any(name.endswith("saved_model.pb") for name in names):
                return f"it is an archive of a TensorFlow SavedModel; {_TO_ONNX}"
            if any(name.endswith((".mlmodel", "coremldata.bin")) for name in names):
                return "it is a Core ML net; import the ONNX or PyTorch file that it was made of"
            if pickles:
                if onnx or pickles[0].file_size > _MOST_PICKLE:
                    return None
                return _of_words(_words(archive.read(pickles[0])))
            if names and all(name.endswith(".npy") for name in names):
                return None
            inside = next((n for n in names if n.endswith((".onnx", ".pth", ".pt"))), "")
            held = f" ({inside[:60]})" if inside.isprintable() and inside else ""
            return f"it is a zip archive; unpack it, and import the file of the net in it{held}"
    except Exception:  # of many kinds: a damaged archive, which its reader will name
        return "it is a damaged archive; download it again"


def _pickle(data: bytes, onnx: bool) -> str | None:
    if onnx or data[:1] != b"\x80" or data[1:2] not in b"\2\3\4\5":
        return None
    return _of_words(_words(data))


def _protobuf(data: bytes, onnx: bool) -> str | None:
    graph = data[:1] == b"\x08" and 1 <= data[1] <= 64 and data[2:3] in _ONNX_FIELDS
    if not onnx and graph and len(data) > 16:
        return "it is an ONNX file; give it a name that ends in .onnx"
    head = data[:4096]
    if data[:1] in b"\x08\x0a" and (b"Placeholder" in head or b"tensorflow" in head.lower()):
        return f"it is a graph of TensorFlow (.pb); {_TO_ONNX}"
    return None


def _of_words(words: list[tuple[str, str]]) -> str | None:
    """What a pickle would build, told by the first name in it that no tensor needs."""
    strange = [(m, n) for m, n in words if not _plain(m, n)]
    if not strange:
        return None
    nets = [(m, n) for m, n in strange if m.startswith("torch.nn") or m == "__main__"]
    module, name = (nets or strange)[0]
    shown = "".join(c if c.isprintable() else "?" for c in f"{module}.{name}")[:80]
    if nets or not module.startswith(("numpy", "argparse", "omegaconf", "builtins", "pathlib")):
        return (
            f"it is a whole pickled module or object ({shown}), code and not weights; "
            f"{_PUT_WEIGHTS}"
        )
    return (
        f"it holds other things beside its tensors ({shown}); if you trust it, save the weights "
        "alone: torch.save(torch.load(file, weights_only=False)['state_dict'], 'weights.pth')"
    )


def _plain(module: str, name: str) -> bool:
    if module in ("builtins", "__builtin__"):
        return name in _SAFE_BUILTINS
    return module in _PLAIN


def _words(data: bytes) -> list[tuple[str, str]]:
    """Module and name of all that the first pickles in ``data`` refer to, as far as can be read."""
    stream = io.BytesIO(data)
    found: list[tuple[str, str]] = []
    # The older format of PyTorch has three small ones in front.
    for _ in range(4 if data.startswith(_LEGACY_TORCH) else 1):
        try:
            found += _globals(stream)
        except Exception:  # of many kinds: cut short, or no pickle after all
            break
    return found


def _globals(stream: io.BytesIO) -> Iterator[tuple[str, str]]:
    texts: list[str] = []
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number > _MOST_WORDS:
            return
        if opcode.name == "GLOBAL" and isinstance(argument, str):
            module, _, name = argument.partition(" ")
            yield module, name
        elif opcode.name == "STACK_GLOBAL" and len(texts) >= 2:
            yield texts[-2], texts[-1]
        elif isinstance(argument, str):
            texts = [*texts[-3:], argument]


def _names_torch(data: bytes) -> bool:
    """PyTorch's oldest files were tar archives too, which it still reads."""
    return data[:100].split(b"\0")[0] in (b"sys_info", b"pickle", b"storages", b"tensors")


def _is_words(data: bytes) -> bool:
    return all(c >= 9 and c != 127 for c in data)
