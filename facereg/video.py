"""Frames of video files, network streams and cameras, each with its time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from facereg.errors import ImageError, MissingExtraError, words_of
from facereg.names import masked
from facereg.types import Image

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv"})
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp", "srt")
FORMATS = "mov,mp4,avi,matroska,webm,mpeg,mpegts,flv,ogg,asf,3gp"  # of files: none that opens other files
STREAM_FORMATS = f"{FORMATS},rtsp,rtp,sdp,hls,mpjpeg,h264,hevc"
STREAM_PROTOCOLS = "rtsp,rtsps,rtmp,rtmps,rtp,srtp,http,https,tcp,udp,tls,srt,crypto"  # a playlist opens no file here
MAX_PIXELS = 40_000_000  # of a frame: 8K has 33 million
SILENCE_S = 10.0  # a stream that says nothing for so long is connected again
RECONNECTS = 10  # tries in a row, 1, 2, 4 ... 30 s apart, before a stream counts as gone
LONGEST_PAUSE_S = 30.0
DEMUX_FAILURES = 100  # in a row: then the rest of the file cannot be read
_DURATION = re.compile(r"([0-9]{1,4}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?)", re.ASCII)
CUT_S = 0.2  # a file that ends so much, and two frames, before the end that its header states was cut


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame: its number from 0 (missing frames counted), seconds since the first, its pixels."""

    number: int
    time_s: float
    image: Image


def is_video(source: str | Path) -> bool:
    """Tell a video file (by its ending), a stream (by its scheme) or a camera (a number) from a picture or folder.

    A file or folder that exists is never a camera, whatever its name.
    """
    text = str(source)
    if Path(text).exists():
        return Path(text).is_file() and Path(text).suffix.lower() in SUFFIXES
    return (text.isdecimal() and text.isascii()) or _is_address(text) or Path(text).suffix.lower() in SUFFIXES


class Video:
    """The frames of a video file, of a stream (`rtsp://`, `http://` ...) or of a camera (its number); iterate once.

    A file, also one behind an address, gives every frame that can be decoded: damaged ones are passed over and
    counted, and so are those that the header promises and a cut file lacks. A live stream or a camera gives the newest
    frame when it is asked for one, so that what is shown is at most a frame late, however slow the work is; it is
    connected again when it breaks off.

    Attributes:
        name: what to call it: the source without password and query.
        given, missing, dropped: frames so far: given out; damaged or cut off; passed over by a newer one of a stream.

    Args:
        source: path, address or number.
        notice: called with a line when a stream is connected again.
    Raises:
        MissingExtraError: on iterating, if PyAV is not installed.
        ImageError: on iterating, if the source cannot be opened, holds no frame, or a stream is gone for good.
    """

    def __init__(self, source: str | Path, *, notice: Callable[[str], None] = lambda line: None) -> None:
        self._source, self._notice = str(source), notice
        self._closed = threading.Event()
        self._live = True  # until a length is known
        self.name = _shown(self._source)
        self.given = self.missing = self.dropped = 0

    def __iter__(self) -> Iterator[Frame]:
        exists = Path(self._source).exists()
        if not exists and self._source.isdecimal():
            frames = self._newest(self._camera)
        elif not exists and _is_address(self._source):
            frames = self._newest(self._stream)
        else:
            frames = self._file()
        with closing(frames):
            for frame in frames:
                self.given += 1
                yield frame
        if self.given == 0:
            raise self._error("expected a video, got one without frames; check that a player shows it")

    def _error(self, reason: str) -> ImageError:
        return ImageError(self.name, reason)

    def _file(self) -> Generator[Frame, None, None]:
        path = Path(self._source)
        if path.exists() and not path.is_file():
            raise self._error("expected a video file, got a folder or device; name the file")
        try:
            stream = path.open("rb")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self._error(f"expected a video, cannot be read ({reason}); check the path") from error
        with stream:
            if not stream.peek(1):
                raise self._error("expected a video, got a file of 0 bytes; copy it again")
            yield from self._decoded(stream, options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})

    def _stream(self) -> Generator[Frame, None, None]:
        yield from self._decoded(
            self._source,
            options={
                "format_whitelist": STREAM_FORMATS,
                "protocol_whitelist": STREAM_PROTOCOLS,
                "rtsp_transport": "tcp",  # whole frames, at the price of a little delay
            },
        )

    def _camera(self) -> Generator[Frame, None, None]:
        import cv2

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is said once, below
        capture = cv2.VideoCapture(int(self._source))
        try:
            if not capture.isOpened():
                raise self._error("expected a camera with this number, found none that opens; check that it is free")
            begun = time.monotonic()
            while True:
                good, frame = capture.read()
                if not good:
                    return
                pixels = np.ascontiguousarray(frame[..., ::-1], np.uint8)
                yield Frame(self.given, time.monotonic() - begun, pixels)
        finally:
            capture.release()

    def _decoded(self, source: str | BinaryIO, *, options: dict[str, str]) -> Generator[Frame, None, None]:
        """Yield the frames of one opening of a file or stream, and count what is missing."""
        av = _pyav()
        try:
            container = av.open(
                source, container_options=options, timeout=SILENCE_S, buffer_size=1 << 20, metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._error(f"expected a video, cannot be opened ({_why(error)}); check it with a player") from error
        with container:
            video = next(iter(container.streams.video), None)
            if video is None:
                raise self._error("expected a video, got a file without pictures; check that a player shows it")
            if (
                getattr(video, "codec_context", None) is None
            ):  # PyAV's where it has no decoder, which its types leave out
                raise self._error("expected a video, got one in an unknown code; check that a player shows it")
            video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            if video.codec_context.width * video.codec_context.height > MAX_PIXELS:
                size = f"{video.codec_context.width} x {video.codec_context.height}"
                raise self._error(f"expected frames of at most {MAX_PIXELS:,} pixels, got {size}; make it smaller")
            self._live = isinstance(source, str) and not container.duration
            yield from self._frames(container, video, failures_allowed=0 if isinstance(source, str) else DEMUX_FAILURES)

    def _frames(
        self, container: InputContainer, video: VideoStream, *, failures_allowed: int
    ) -> Generator[Frame, None, None]:
        """Yield the frames of an open container; damaged parts are passed over where the source can be read on."""
        av = _pyav()
        rate = float(video.average_rate or video.guessed_rate or 25)
        base = video.time_base or 0
        start = None if video.start_time is None else float(video.start_time * base)
        packets, ends, failures, reached = 0, 0.0, 0, False
        own_length = _stated_length(video)
        while not reached and failures <= failures_allowed:
            try:
                for packet in container.demux():
                    failures = 0
                    counts = own_length is None or packet.stream is video  # sound may go on after the pictures
                    if counts and packet.pts is not None and packet.time_base is not None:
                        ends = max(ends, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                    if packet.stream is not video:
                        continue
                    packets += packet.size > 0
                    try:
                        frames = cast("list[VideoFrame]", packet.decode())
                    except av.error.FFmpegError:
                        self.missing += packet.size > 0
                        continue
                    for frame in frames:
                        if frame.is_corrupt:
                            self.missing += 1
                            continue
                        moment = frame.time
                        start = moment if start is None else start
                        number = self.given + self.missing
                        since = number / rate if moment is None or start is None else moment - start
                        yield Frame(number, max(since, 0.0), _upright(frame))
                reached = True
            except av.error.FFmpegError as error:
                failures += 1
                if self._live:
                    raise self._error(_why(error)) from error
        begins, lasts = ((moment or 0) / av.time_base for moment in (container.start_time, container.duration))
        lasts = lasts if own_length is None else own_length
        if 0 < packets < video.frames:
            self.missing += video.frames - packets
        elif packets and lasts - (ends - begins) > max(CUT_S, 2 / rate):
            self.missing += round((lasts - (ends - begins)) * rate)

    def _newest(self, open_source: Callable[[], Generator[Frame, None, None]]) -> Generator[Frame, None, None]:
        """Yield the newest frame of a source that a thread reads, connecting it again when it breaks off."""
        slot = _Slot()
        thread = threading.Thread(target=self._follow, args=(open_source, slot), daemon=True, name="facereg-video")
        thread.start()
        try:
            while (frame := slot.take()) is not None:
                self.dropped = slot.passed
                yield frame
        finally:
            self._closed.set()
            slot.leave()
        if slot.error is not None:
            raise slot.error

    def _follow(self, open_source: Callable[[], Generator[Frame, None, None]], slot: _Slot) -> None:
        """Put the frames of a source into the slot until it is gone for good or nobody asks any more."""
        failures = number = 0
        begun = time.monotonic()
        while not self._closed.is_set():
            reason = "it ended"
            try:
                with closing(open_source()) as frames:
                    for frame in frames:
                        failures = 0
                        if self._live:
                            frame = Frame(number, time.monotonic() - begun, frame.image)
                        slot.put(frame, wait=not self._live)
                        number += 1
                        if self._closed.is_set():
                            return
                if not self._live:
                    slot.end(None)
                    return
            except ImageError as error:
                reason = error.reason
            except Exception as error:  # whatever a driver or a library raises ends the source, not the program
                reason = f"{type(error).__name__}: {_why(error)}"
            failures += 1
            if number == 0 or failures > RECONNECTS:
                slot.end(self._error(reason if number == 0 else f"{reason}; tried {RECONNECTS} times to connect again"))
                return
            pause = min(2.0 ** (failures - 1), LONGEST_PAUSE_S)
            self._notice(f"{self.name}: {reason}; connecting again in {pause:g} s")
            self._closed.wait(pause)


class _Slot:
    """Hands the newest frame from the thread that reads to the one that works."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._ended = self._left = False
        self.passed = 0
        self.error: ImageError | None = None

    def put(self, frame: Frame, *, wait: bool) -> None:
        """Leave a frame in the place of the one that is there, or wait until that one is taken."""
        with self._changed:
            while wait and self._frame is not None and not self._left:
                self._changed.wait()
            self.passed += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def leave(self) -> None:
        """Say that nobody takes frames any more."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def end(self, error: ImageError | None) -> None:
        """Say that no frame will come, and why."""
        with self._changed:
            self._ended, self.error = True, error
            self._changed.notify_all()

    def take(self) -> Frame | None:
        """Return the newest frame, waiting for one; None at the end."""
        with self._changed:
            while self._frame is None and not self._ended:
                self._changed.wait()
            frame, self._frame = self._frame, None
            self._changed.notify_all()
            return frame


def _stated_length(video: VideoStream) -> float | None:
    """Return the seconds that Matroska says its pictures take; other containers count frames, or say nothing of it."""
    found = _DURATION.fullmatch(video.metadata.get("DURATION", ""))
    return None if found is None else float(found[1]) * 3600 + float(found[2]) * 60 + float(found[3])


def _upright(frame: VideoFrame) -> Image:
    """Return the pixels turned and mirrored as the file says that they are to be shown."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    # shown x = a x + c y, shown y = b x + d y: ISO/IEC 14496-12, section 6.2.2; PyAV's `rotation` leaves out mirroring
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(cast("memoryview", matrix)), np.int32).reshape(3, 3).tolist()
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _is_address(text: str) -> bool:
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def _shown(source: str) -> str:
    """Return a source as it may be printed: an address without user, password and query."""
    return masked(source).replace("***@", "", 1).partition("?")[0] if _is_address(source) else source


def _why(error: Exception) -> str:
    """Return a library's reason on one line, without the address, which may hold a password."""
    if type(error).__name__ == "ExitError":  # PyAV's name for a timeout
        return f"silent for {SILENCE_S:g} s"
    return getattr(error, "strerror", None) or words_of(error)


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("video needs PyAV; pip install 'facereg-core[app]'") from error
    av.logging.set_level(av.logging.PANIC)  # its errors come back as exceptions
    return av
