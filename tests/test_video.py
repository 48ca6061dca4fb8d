"""Video: what counts as one; every frame of a file, or how many are missing; live streams, newest first."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from facereg import video
from facereg.errors import ImageError
from facereg.types import Image
from facereg.video import Video, is_video

av = pytest.importorskip("av")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", True),
        ("12", True),
        ("²", False),
        ("a.mp4", True),
        ("a.MOV", True),
        ("a.jpg", False),
        ("folder", False),
        ("4k.png", False),
        ("rtsp://camera/1", True),
        ("HTTPS://site/live", True),
        ("ftp://site/a.mp4", True),  # by its ending; opening says that it is no file
        ("file://a", False),
    ],
)
def test_a_video_is_told_by_its_name(source: str, expected: bool) -> None:
    assert is_video(source) is expected


def test_what_exists_is_no_camera_and_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("2024").mkdir()
    Path("7").write_bytes(b"a file")
    Path("trip.mp4").mkdir()
    assert not is_video("2024")
    assert not is_video("7")
    assert not is_video("trip.mp4")
    film("2023.avi", range(0, 200, 50))
    os.rename("2023.avi", "2023")
    assert len(list(Video("2023"))) == 4


def film(path: Path | str, reds: range, *, codec: str = "MJPG", rate: float = 20.0) -> None:
    """Write a film of 64 x 48 px, a frame for each level of red."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (64, 48))
    assert writer.isOpened()
    for level in reds:
        writer.write(np.full((48, 64, 3), (0, 0, level), np.uint8))  # BGR
    writer.release()


def levels(path: Path | str) -> tuple[list[int], Video]:
    """Return the red of each frame of a video, and the video with its counts."""
    read = Video(path)
    return [int(frame.image[24, 32, 0]) for frame in read], read


@pytest.mark.parametrize(("ending", "codec"), [("avi", "MJPG"), ("mp4", "mp4v"), ("mkv", "mp4v")])
def test_frames_come_in_order_with_their_times(tmp_path: Path, ending: str, codec: str) -> None:
    film(tmp_path / f"film.{ending}", range(0, 240, 60), codec=codec)
    frames = list(Video(tmp_path / f"film.{ending}"))
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15], abs=1e-3)
    assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 4
    reds = [int(frame.image[24, 32, 0]) for frame in frames]
    assert reds == pytest.approx([0, 60, 120, 180], abs=12)  # lossy codecs
    assert max(int(frame.image[24, 32, 2]) for frame in frames) < 20


def test_times_are_those_of_the_container_where_the_rate_varies(tmp_path: Path) -> None:
    times_ms = [0, 40, 80, 500, 540, 2000]
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for moment in times_ms:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), moment % 200, np.uint8), format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    read = Video(tmp_path / "film.mp4")
    assert [frame.time_s for frame in read] == pytest.approx([moment / 1000 for moment in times_ms], abs=1e-3)
    assert read.missing == 0


@pytest.mark.parametrize("ending", ["avi", "mkv", "mp4"])
def test_a_cut_file_gives_what_is_there_and_says_how_much_is_missing(tmp_path: Path, ending: str) -> None:
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    film(whole, range(60), codec="MJPG" if ending == "avi" else "mp4v")
    if ending == "mp4":  # its index goes to the front, as where films are made for the web
        whole.write_bytes(index_first(whole))
    content = whole.read_bytes()
    assert levels(whole)[1].missing == 0
    cut.write_bytes(content[: int(len(content) * 0.6)])
    found, read = levels(cut)
    assert 5 < len(found) < 55
    assert len(found) + read.missing == pytest.approx(60, abs=1)  # the frame that the cut goes through
    assert found == levels(whole)[0][: len(found)]


def test_a_cut_file_whose_sound_goes_on_is_missing_no_more_frames_than_it_had(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "whole.mkv"), "w") as container:
        pictures, sound = container.add_stream("mpeg4", rate=20), container.add_stream("pcm_s16le", rate=8000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for tenth in range(60):  # 3 s of pictures, 6 s of sound
            for level in range(2 * tenth, 2 * tenth + 2) if tenth < 30 else ():
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
                container.mux(pictures.encode(frame))
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            heard.rate, heard.pts = 8000, 800 * tenth
            container.mux(sound.encode(heard))
        container.mux(pictures.encode())
    assert levels(tmp_path / "whole.mkv")[1].missing == 0
    content = (tmp_path / "whole.mkv").read_bytes()
    for share in (0.3, 0.45, 0.9):
        (tmp_path / "cut.mkv").write_bytes(content[: int(len(content) * share)])
        found, read = levels(tmp_path / "cut.mkv")
        assert len(found) + read.missing == pytest.approx(60, abs=2), share


def index_first(path: Path) -> bytes:
    with (
        av.open(str(path)) as source,
        av.open(str(path.with_suffix(".web.mp4")), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path.with_suffix(".web.mp4").read_bytes()


def test_reading_goes_on_after_damage_in_the_middle(tmp_path: Path, rng: np.random.Generator) -> None:
    film(tmp_path / "film.avi", range(200))
    content = bytearray((tmp_path / "film.avi").read_bytes())
    begin = len(content) // 3
    content[begin : begin + 6000] = rng.integers(0, 256, 6000, dtype=np.uint8).tobytes()
    (tmp_path / "film.avi").write_bytes(content)
    found, read = levels(tmp_path / "film.avi")
    assert found[-1] == pytest.approx(199, abs=4)  # to the end
    assert read.missing >= 3  # a frame has some 900 bytes
    assert len(found) + read.missing == pytest.approx(200, abs=1)


@pytest.mark.parametrize(
    ("matrix", "red"),
    [
        ((1, 0, 0, 1), ("top", "left")),
        ((0, 1, -1, 0), ("top", "right")),  # a quarter clockwise
        ((-1, 0, 0, -1), ("bottom", "right")),
        ((0, -1, 1, 0), ("bottom", "left")),
        ((-1, 0, 0, 1), ("top", "right")),  # mirrored, as some front cameras have it
        ((1, 0, 0, -1), ("bottom", "left")),
        ((0, 1, 1, 0), ("top", "left")),
        ((0, -1, -1, 0), ("bottom", "right")),
    ],
)
def test_a_film_of_a_telephone_is_turned_and_mirrored_as_it_is_shown(
    matrix: tuple[int, int, int, int], red: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (64, 48))
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32] = (0, 0, 255)  # red at the top left
    for _ in range(3):
        writer.write(frame)
    writer.release()
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # flags, times and number, reserved, layer to volume
    a, b, c, d = (value << 16 for value in matrix)  # ISO 14496-12, 8.3.2
    content[place : place + 36] = b"".join(
        value.to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    )
    path.write_bytes(content)
    [image, *_] = (frame.image for frame in Video(path))
    height, width = (64, 48) if matrix[0] == 0 else (48, 64)
    assert image.shape == (height, width, 3)
    for row, vertical in ((10, "top"), (height - 10, "bottom")):
        for column, horizontal in ((10, "left"), (width - 10, "right")):
            assert (image[row, column, 0] > 200) == ((vertical, horizontal) == red)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "expected a video, cannot be read (No such file or directory); check the path"),
        (Path.touch, "expected a video, got a file of 0 bytes; copy it again"),
        (Path.mkdir, "expected a video file, got a folder or device; name the file"),
        (os.mkfifo, "expected a video file, got a folder or device; name the file"),
        (lambda path: path.write_text("ffconcat version 1.0\nfile '/etc/passwd'\n"), "cannot be opened"),
        (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"), "cannot be opened"),
    ],
    ids=["missing", "empty", "folder", "pipe", "list of files", "playlist"],
)
def test_what_is_no_video_file_is_named_at_once(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "film.mp4")
    with pytest.raises(ImageError) as raised:
        list(Video(tmp_path / "film.mp4"))
    assert str(raised.value).startswith(f"{tmp_path}/film.mp4: ")
    assert words in str(raised.value)


def test_frames_of_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "film.avi", range(3))
    monkeypatch.setattr(video, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="expected frames of at most 1,000 pixels, got 64 x 48; make it smaller"):
        list(Video(tmp_path / "film.avi"))


def test_an_address_is_shown_without_its_secrets() -> None:
    read = Video("rtsp://user:secret@127.0.0.1:9/1?token=secret")
    with pytest.raises(ImageError) as raised:
        list(read)
    assert str(raised.value).startswith("rtsp://127.0.0.1:9/1: expected a video, cannot be opened (")
    assert "secret" not in str(raised.value)


class Camera:
    """A network camera: sends JPEG pictures for ever, breaks off where it is told to."""

    def __init__(self, *, break_after: int = 0) -> None:
        self.break_after, self.connections, self.sent = break_after, 0, 0

    def __enter__(self) -> str:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                count = camera.break_after if camera.connections == 1 and camera.break_after else 10**6
                try:
                    for number in range(count):
                        level = (number * 5) % 250
                        jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()
                        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        self.wfile.write(head.encode() + jpeg + b"\r\n")
                        camera.sent += 1
                        time.sleep(0.01)
                except OSError:
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/live"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def taken(frames: Iterator[video.Frame], count: int) -> list[video.Frame]:
    return list(itertools.islice(frames, count))


def test_a_stream_that_breaks_off_is_connected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[str] = []
    camera = Camera(break_after=40)
    with camera as address:
        read = Video(f"{address}?password=secret", notice=notices.append)
        frames = iter(read)
        got: list[video.Frame] = []
        while camera.connections < 2 or len(got) < 10:
            got += taken(frames, 1)
        got += taken(frames, 3)
        frames.close()  # type: ignore[attr-defined]
    assert camera.connections == 2
    assert [frame.number for frame in got] == sorted({frame.number for frame in got})
    assert len(notices) == 1
    assert notices[0].startswith(f"{address}: ")
    assert notices[0].endswith("; connecting again in 1 s")


def test_a_slow_reader_of_a_stream_is_given_the_newest_frame() -> None:
    camera = Camera()
    with camera as address:
        read = Video(address)
        frames = iter(read)
        taken(frames, 2)
        time.sleep(1.0)  # slow work: some 90 frames go by
        before = camera.sent
        [first, second] = taken(frames, 2)
        frames.close()  # type: ignore[attr-defined]
    assert read.dropped > 20
    assert second.number > first.number
    assert second.number > before - 40  # not the frames of a second ago, but for what lies in buffers


def test_a_stream_that_is_gone_for_good_ends_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "RECONNECTS", 2)
    monkeypatch.setattr(video, "LONGEST_PAUSE_S", 0.05)
    camera = Camera(break_after=40)
    with camera as address:
        read = Video(address)
        frames = iter(read)
        taken(frames, 1)
        camera._server.shutdown()
        camera._server.server_close()
        with pytest.raises(ImageError, match="tried 2 times to connect again"):
            taken(frames, 10**6)


def test_a_file_behind_an_address_gives_every_frame(tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    film(tmp_path / "film.avi", range(0, 250, 5))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        read = Video(f"http://127.0.0.1:{server.server_port}/film.avi")
        seen: list[Image] = []
        for frame in read:
            time.sleep(0.005)  # slower than the file comes
            seen.append(frame.image)
    finally:
        server.shutdown()
        server.server_close()
    assert len(seen) == 50
    assert (read.dropped, read.missing) == (0, 0)
