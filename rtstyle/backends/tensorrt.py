"""TensorRT on an NVIDIA GPU: the quickest, after an engine was compiled for the size."""

from __future__ import annotations

import hashlib
import logging

from rtstyle.backends.base import BackendStatus, BaseStylizer, reason_of
from rtstyle.backends.byte_ends import byte_ends
from rtstyle.backends.cuda import DEVICE, CudaError, Gpu, gpu_facts
from rtstyle.backends.engine_cache import EngineCache, EngineKey
from rtstyle.backends.half import to_half
from rtstyle.backends.tensorrt_engine import (
    FIX,
    FULL,
    Engine,
    EngineError,
    Profile,
    Shape,
    build_engine,
    check_graph,
    choose_package,
    installed,
)
from rtstyle.errors import BackendError, BackendOutOfMemory, BackendUnavailable, ModelError
from rtstyle.memory import says_out_of_memory
from rtstyle.styles.admission import brief
from rtstyle.styles.registry import read_model
from rtstyle.styles.spec import SizeRule, StyleSpec
from rtstyle.types import BackendInfo, Pixels, Size

NAME = "tensorrt"
TITLE = "TensorRT"
PRECISIONS = ("fp16", "fp32")
LEAST_PSNR_DB = 40.0
"""Of a style in fp16 against fp32, as its export measured it: below, auto takes fp32."""

_SMALL = Size(256, 256)
"""Every engine takes sizes up to this: it costs next to no memory."""
_log = logging.getLogger(__name__)


class TensorRtStylizer(BaseStylizer):
    """A style compiled by TensorRT, or TensorRT for RTX, for the first NVIDIA GPU.

    The engine is compiled at the first picture, or at ``warm_up``, for that size and all smaller
    ones; a larger picture has it compiled anew, which the log says. Engines are kept in ``cache``.
    """

    def __init__(
        self,
        spec: StyleSpec,
        *,
        precision: str = "auto",
        threads: int | None = None,
        requested: str = "tensorrt/auto",
        reason: str = "",
        cache: EngineCache | None = None,
    ) -> None:
        taken, why = choose_precision(precision, spec)
        facts = gpu_facts()
        package = choose_package(facts)
        data = read_model(spec)
        super().__init__(
            spec,
            BackendInfo(
                name=package.name,
                device=DEVICE,
                precision=taken,
                requested=requested,
                reason="; ".join(filter(None, (reason, str(facts), why))),
            ),
        )
        self._facts, self._package, self._threads = facts, package, threads
        self._model_sha256 = hashlib.sha256(data).hexdigest()
        self._graph = typed_graph(data, name=brief(spec.file.name), precision=taken)
        self._check_graph()
        self._cache = EngineCache() if cache is None else cache
        self._engine: Engine | None = None
        self._key: EngineKey | None = None
        self._kept_kernels: bytes | None = None
        self._profile: Profile | None = None
        try:
            self._gpu = Gpu()
        except CudaError as error:
            if says_out_of_memory(error):
                raise BackendOutOfMemory(
                    f"{facts} has no memory left for style {spec.name}; close other programs"
                ) from error
            raise BackendUnavailable(
                f"{facts} cannot be used ({error}); check the driver"
            ) from error

    def _check_graph(self) -> None:
        try:
            check_graph(self._package, self._graph)
        except EngineError as error:
            raise ModelError(
                f"{TITLE} cannot run {brief(self._spec.file.name)}: {reason_of(error)}; "
                "export it again or take another --backend"
            ) from error

    def _run(self, batch: Pixels) -> Pixels:
        shape = (batch.shape[0], batch.shape[1], batch.shape[2])
        if self._engine is None or self._profile is None or not self._profile.holds(shape):
            self._engine = self._prepare(shape)
        result = self._engine.run(batch)
        if isinstance(result, tuple):
            raise self._wrong_shape(batch.shape, f"uint8 {result}")
        return result

    def _prepare(self, shape: Shape) -> Engine:
        """An engine that takes ``shape``, from the cache or compiled."""
        old = self._profile
        self._drop_engine()
        profile = profile_for(shape, self._spec.size_rule, grown_from=old)
        if old is not None:
            _log.warning(
                "style %s: %s is beyond the %s its engine was compiled for; taking another",
                *(self._spec.name, _said(shape), _said(old.greatest)),
            )
        key = self._key_of(profile)
        engine = self._kept(key)
        if engine is None:
            _log.info("compiling style %s for %s, once", self._spec.name, _said(shape))
            data = build_engine(
                self._package,
                self._graph,
                profile,
                architecture=self._facts.architecture,
                threads=self._threads,
            )
            engine = Engine(self._package, data, self._gpu, kernels=None)
            self._cache.store(key, data)
        self._key, self._profile = key, profile
        return engine

    def _kept(self, key: EngineKey) -> Engine | None:
        data = self._cache.load(key)
        if data is None:
            return None
        self._kept_kernels = self._cache.load(_kernels_of(key))
        try:
            return Engine(self._package, data, self._gpu, kernels=self._kept_kernels)
        except EngineError as error:
            if says_out_of_memory(error):
                raise
            _log.warning("the kept engine of style %s is compiled anew: %s", self._spec.name, error)
            return None

    def _key_of(self, profile: Profile) -> EngineKey:
        return EngineKey(
            model_sha256=self._model_sha256,
            graph_sha256=hashlib.sha256(self._graph).hexdigest(),
            precision=self._info.precision,
            profile=str(profile),
            package=self._package.name,
            package_version=self._package.version,
            device=str(self._facts),
        )

    def _drop_engine(self) -> None:
        engine, self._engine, self._profile = self._engine, None, None
        if engine is None or self._key is None:
            return
        try:
            kernels = engine.kernels()
        except RuntimeError as error:
            _log.info("kernels of style %s are not kept: %s", self._spec.name, reason_of(error))
            kernels = None
        if kernels is not None and kernels != self._kept_kernels:
            self._cache.store(_kernels_of(self._key), kernels)
        self._kept_kernels = None
        engine.close()

    def _release(self) -> None:
        try:
            self._drop_engine()
        finally:
            self._gpu.close()


def typed_graph(data: bytes, *, name: str, precision: str) -> bytes:
    """The style's graph as TensorRT takes it: bytes at the ends only, in ``precision`` between.

    Raises ModelError where it cannot be rewritten.
    """
    graph = byte_ends(data, name=name)
    return to_half(graph, name=name) if precision == "fp16" else graph


def profile_for(shape: Shape, rule: SizeRule, *, grown_from: Profile | None = None) -> Profile:
    """Quickest at ``shape``; up to it, and to whatever ``grown_from`` took.

    Not beyond, as an engine holds memory for its greatest shape.
    """
    smallest, small = rule.fit(Size(1, 1)), rule.fit(_SMALL)
    least = (1, smallest.height, smallest.width)
    greatest = tuple(map(max, shape, (1, small.height, small.width)))
    if grown_from is not None:
        greatest = tuple(map(max, greatest, grown_from.greatest))
    return Profile(least, shape, (greatest[0], greatest[1], greatest[2]))


def choose_precision(asked: str, spec: StyleSpec) -> tuple[str, str]:
    """The precision to take, and why, as a clause; BackendUnavailable for one there is not."""
    if asked == "auto":
        measured = spec.measured.get("psnr_fp16_db")
        if measured is None:
            return "fp32", "what fp16 costs this style was never measured"
        if measured < LEAST_PSNR_DB:
            return "fp32", f"fp16 costs this style too much ({measured:.1f} dB)"
        return "fp16", f"fp16 has {measured:.1f} dB against fp32"
    if asked not in PRECISIONS:
        raise BackendUnavailable(
            f"{TITLE} does not compute in {asked} here; take --precision {' or '.join(PRECISIONS)}"
        )
    return asked, f"{asked} was asked for"


def is_installed() -> bool:
    """Whether either TensorRT is installed, whatever the machine."""
    return bool(installed())


def status() -> BackendStatus:
    """What TensorRT is and can do here."""
    found = installed()
    if not found:
        fix = f"where there is an NVIDIA GPU: {FIX}"
        return BackendStatus(NAME, None, problem=f"{TITLE} is not installed", fix=fix)
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    try:
        package = choose_package(gpu_facts())
    except BackendError as error:
        problem, _, fix = str(error).rpartition("; ")
        return BackendStatus(NAME, listed, problem=problem, fix=fix)
    version = package.version if package.name == FULL else str(package)
    return BackendStatus(NAME, version, (DEVICE,), PRECISIONS)


def _kernels_of(key: EngineKey) -> EngineKey:
    fields = {name: getattr(key, name) for name in EngineKey.__slots__}
    return EngineKey(**{**fields, "kind": "kernels"})


def _said(shape: Shape) -> str:
    count, height, width = shape
    return f"{width}x{height}" if count == 1 else f"{count} pictures of {width}x{height}"
