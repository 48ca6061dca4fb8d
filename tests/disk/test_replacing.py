"""Files and folders that appear whole: their rights, links, what is no file, what a failure leaves."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from facereg.disk.replacing import file_sha256, locked, whole_file, whole_folder, write_atomically


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_what_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "a", b"1")
    assert mode(tmp_path / "a") == 0o666 & ~umask
    write_atomically(tmp_path / "b", b"1", private=True)
    assert mode(tmp_path / "b") == 0o600
    with whole_folder(tmp_path / "c"):
        pass
    assert mode(tmp_path / "c") == 0o777 & ~umask


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("rights", [0o640, 0o604, 0o400, 0o755])
def test_a_file_that_is_replaced_keeps_its_rights(tmp_path: Path, rights: int, private: bool) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    file.chmod(rights)
    write_atomically(file, b"new", private=private)
    assert (file.read_bytes(), mode(file)) == (b"new", rights)
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with whole_folder(folder) as inside:
        (inside / "x").write_bytes(b"1")
    assert mode(folder) == 0o700


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to("there/file")
    write_atomically(tmp_path / "first", b"new")  # leads to nothing yet
    write_atomically(tmp_path / "first", b"newer")
    assert (tmp_path / "there/file").read_bytes() == b"newer"
    assert not (tmp_path / "there/file").is_symlink()
    assert os.readlink(tmp_path / "first") == "second"
    (tmp_path / "to-folder").symlink_to("there/empty")
    (tmp_path / "there/empty").mkdir()
    with whole_folder(tmp_path / "to-folder") as inside:
        (inside / "x").write_bytes(b"1")
    assert (tmp_path / "to-folder").is_symlink()
    assert sorted(os.listdir(tmp_path / "there")) == ["empty", "file"]
    assert os.listdir(tmp_path / "there/empty") == ["x"]


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(pipe.read_bytes)
        write_atomically(pipe, b"through")
        assert reader.result(10) == b"through"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_atomically(Path("/dev/null"), b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, b"a folder")


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt(), ValueError("words")], ids=repr)
def test_a_failure_leaves_what_was_there_and_nothing_beside(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def fail_halfway() -> None:
        with whole_file(tmp_path / "a") as stream:
            stream.write(b"half")
            raise error

    def fail_in_folder() -> None:
        with whole_folder(tmp_path / "b") as inside:
            (inside / "x").write_bytes(b"1")
            raise error

    for fail in (fail_halfway, fail_in_folder):
        with pytest.raises(type(error)):
            fail()
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/old").write_bytes(b"1")
    for name in ("a", "a/old"):
        with pytest.raises(FileExistsError, match="new or empty folder"), whole_folder(tmp_path / name):
            raise AssertionError("nothing is filled")
    assert os.listdir(tmp_path / "a") == ["old"]


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")

    def add(_: int) -> None:
        with locked(tmp_path / "lock"):
            count.write_text(str(int(count.read_text()) + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(200)))
    assert count.read_text() == "200"


def test_a_checksum_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, B.1
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_galleries_import_no_opencv_and_no_pillow() -> None:
    words = "import sys, facereg.gallery; print([m for m in ('cv2', 'PIL', 'onnxruntime') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
