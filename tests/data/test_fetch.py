"""Downloads from a server that breaks off, changes its file and lies about it; archives that try to break out."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from facereg.data.fetch import Source, check_source, fetch, read_sources
from facereg.data.unpack import unpack
from facereg.errors import DatasetError
from tests.data.breaking import CONTENT, DIGEST, HALF, Behaviour


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_brought_and_nothing_lies_beside_it(tmp_path: Path, server: Behaviour) -> None:
    shown: list[tuple[int, int | None]] = []
    path = tmp_path / "sets" / "faces.bin"
    fetched = fetch(Source((server.address,), DIGEST), path, progress=lambda done, total: shown.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert (fetched.size, fetched.sha256, fetched.resumed) == (len(CONTENT), DIGEST, 0)
    assert names(path.parent) == ["faces.bin"]
    assert (shown[0], shown[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))


def test_a_broken_connection_is_gone_on_from(tmp_path: Path, server: Behaviour) -> None:
    server.break_after = [HALF, 1000]
    fetched = fetch(Source((server.address,), DIGEST), tmp_path / "faces.bin", pause_s=0)
    assert (tmp_path / "faces.bin").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert fetched.resumed == HALF + 1000


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(tmp_path: Path, server: Behaviour) -> None:
    server.break_after = [HALF]
    with pytest.raises(DatasetError, match=f"broke after {HALF:,} of {len(CONTENT):,}"):
        fetch(Source((server.address,), DIGEST), tmp_path / "faces.bin", attempts=1)
    assert not (tmp_path / "faces.bin").exists()
    assert fetch(Source((server.address,), DIGEST), tmp_path / "faces.bin").resumed == HALF
    assert names(tmp_path) == ["faces.bin"]


def test_a_file_that_changed_in_between_comes_whole(tmp_path: Path, server: Behaviour) -> None:
    server.break_after = [HALF]
    changed = Source((server.address,), hashlib.sha256(CONTENT[::-1]).hexdigest())
    with pytest.raises(DatasetError):
        fetch(changed, tmp_path / "faces.bin", attempts=1)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert fetch(changed, tmp_path / "faces.bin").resumed == 0
    assert (tmp_path / "faces.bin").read_bytes() == CONTENT[::-1]


def test_without_a_mark_of_the_version_nothing_is_gone_on_from(tmp_path: Path, server: Behaviour) -> None:
    server.etag, server.break_after = None, [HALF]
    fetch(Source((server.address,), DIGEST), tmp_path / "faces.bin", pause_s=0)
    assert server.ranges == [None, None]


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, server: Behaviour) -> None:
    with pytest.raises(DatasetError, match=f"expected {'0' * 64} but got {DIGEST}"):
        fetch(Source((server.address,), "0" * 64), tmp_path / "faces.bin")
    assert names(tmp_path) == []


def test_the_next_address_is_tried(tmp_path: Path, server: Behaviour) -> None:
    source = Source(("http://127.0.0.1:1/nobody-listens", server.address), DIGEST)
    assert fetch(source, tmp_path / "faces.bin", attempts=1).sha256 == DIGEST


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (503, 3)], ids=["gone", "busy"])
def test_only_what_may_pass_is_asked_again(status: int, asked: int, tmp_path: Path, server: Behaviour) -> None:
    server.status = status
    with pytest.raises(DatasetError, match=f"HTTP {status}"):
        fetch(Source((server.address,), DIGEST), tmp_path / "faces.bin", attempts=3, pause_s=0)
    assert len(server.ranges) == asked


def test_a_file_in_place_is_kept_where_its_sum_is_right_and_never_overwritten(
    tmp_path: Path, server: Behaviour
) -> None:
    path = tmp_path / "faces.bin"
    path.write_bytes(CONTENT)
    assert fetch(Source((server.address,), DIGEST), path).size == len(CONTENT)
    for address, sha256 in (("https://localhost/faces.bin", None), (server.address, "0" * 64)):
        with pytest.raises(DatasetError, match="is there already"):
            fetch(Source((address,), sha256), path)
    assert server.ranges == []
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "ftp://a.org/b", "faces.zip", "https://", "data:text/plain,x", "https://a.org/\x1b[2J"],
)
def test_other_addresses_are_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="http://"):
        check_source(Source((address,), DIGEST), given="given")
    with pytest.raises(DatasetError, match="http://"):
        fetch(Source((address,), DIGEST), tmp_path / "x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("address", ["http://[::1", "http://a.org:x/y", "http://a.org:99999/y"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(DatasetError, match="expected an address"):
        check_source(Source((address,), DIGEST), given="given")


def test_an_address_without_tls_wants_a_checksum() -> None:
    with pytest.raises(DatasetError, match="expected https://, or a sha256"):
        check_source(Source(("http://a.org/x",)), given="given")


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    address = "https://eva:hunter2@a.org/x"
    with pytest.raises(DatasetError) as refused:
        check_source(Source((address,), DIGEST), given=address)
    assert "hunter2" not in str(refused.value)


def test_a_table_names_addresses(tmp_path: Path) -> None:
    table = tmp_path / "sources.toml"
    table.write_text(
        f'[one]\naddress = "https://a.org/x.zip"\nsha256 = "{DIGEST.upper()}"\nunpack = true\n'
        '[two]\naddress = ["https://a.org/y", "https://b.org/y"]\n'
    )
    assert read_sources(table) == {
        "one": Source(("https://a.org/x.zip",), DIGEST, True),
        "two": Source(("https://a.org/y", "https://b.org/y")),
    }


@pytest.mark.parametrize(
    "text",
    [
        "[a]\n",
        "[a]\naddress = 3\n",
        '[a]\naddress = "x"\n',
        '[a]\naddress = "http://b.org"\nsha256 = "12"\n',
        "a = 1",
        "[",
    ],
    ids=["none", "number", "no-scheme", "sum", "no-table", "no-toml"],
)
def test_a_wrong_table_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(DatasetError, match=r"sources\.toml"):
        read_sources(tmp_path / "sources.toml")


def zipped(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_zip_and_tar_are_unpacked(tmp_path: Path) -> None:
    assert unpack(zipped(tmp_path / "a.zip", **{"images/a.txt": "A", "b.txt": "B"}), tmp_path / "zip") == 2
    assert (tmp_path / "zip" / "images" / "a.txt").read_text() == "A"
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "zip" / "b.txt", "c/b.txt")
    assert unpack(tmp_path / "a.tar.xz", tmp_path / "tar") == 1
    assert (tmp_path / "tar" / "c" / "b.txt").read_text() == "B"


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "..\\out.txt"])
def test_a_zip_member_outside_the_folder_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", **{"good.txt": "", name: ""})
    with pytest.raises(DatasetError, match="outside"):
        unpack(archive, tmp_path / "inside" / "folder")
    assert names(tmp_path) == ["a.zip", "inside"]
    assert names(tmp_path / "inside") == []


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [("../out.txt", tarfile.REGTYPE, ""), ("link", tarfile.SYMTYPE, "../../out"), ("node", tarfile.CHRTYPE, "")],
    ids=["path", "link", "device"],
)
def test_a_tar_member_that_leads_out_is_refused(name: str, kind: bytes, target: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member, io.BytesIO())
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "folder")
    assert names(tmp_path) == ["a.tar"]


def test_a_zip_link_a_damaged_archive_and_no_archive_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(DatasetError, match="is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "folder")
    damaged = bytearray(zipped(tmp_path / "b.zip", a="A" * 100).read_bytes())
    damaged[40] ^= 255
    (tmp_path / "b.zip").write_bytes(damaged)
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        unpack(tmp_path / "b.zip", tmp_path / "folder")
    (tmp_path / "c.zip").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match="expected a zip or tar"):
        unpack(tmp_path / "c.zip", tmp_path / "folder")
    assert names(tmp_path) == ["a.zip", "b.zip", "c.zip"]
