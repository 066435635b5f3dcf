import hashlib
import http.server
import io
import tarfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.data import cifar, datasets, download, idx, svhn
from bench.data.checksum import Checksum
from bench.data.datasets import MissingDataError

NAME = "cifar-10-python.tar.gz"
Member = tuple[str, bytes | None, dict[str, object]]  # name, content, other fields of the header


def write_tar(path: Path, members: list[Member]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content, fields in members:
            header = tarfile.TarInfo(name)
            header.size = len(content or b"")
            for field, value in fields.items():
                setattr(header, field, value)
            tar.addfile(header, io.BytesIO(content or b""))


@pytest.fixture
def members(tiny_source) -> list[Member]:
    """What a right archive holds: the named files, and others that nobody needs."""
    source, folder = tiny_source
    files: list[Member] = [(name, (folder / name).read_bytes(), {}) for name in source.archive.members]
    return [("cifar-10-batches-py", None, {"type": tarfile.DIRTYPE}), *files, ("cifar-10-batches-py/readme", b"x", {})]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "outer" / "target"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A server on this machine: its address, the folder it serves, and what it was asked for."""
    served, asked = tmp_path / "served", []
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(served))

        def log_message(self, format: str, *args: object) -> None:
            asked.append(f"{self.command} {self.path}")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", served, asked
        running.shutdown()
        thread.join()


@pytest.fixture
def publish(members, tiny_source, server, monkeypatch, torchvision) -> Callable[[str], str]:
    """Serve the right archive below a base path, expect its MD5, and return that base address."""
    address, served, _ = server
    # torchvision's own address must not be reached from a test.
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{address}/official/{NAME}")
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.delenv("LNBENCH_MIRROR", raising=False)

    def serve(base: str) -> str:
        (served / base).mkdir()
        write_tar(served / base / NAME, members)
        md5 = hashlib.md5((served / base / NAME).read_bytes()).hexdigest()
        source = cifar.SOURCES["cifar10"]
        monkeypatch.setitem(cifar.SOURCES, "cifar10", replace(source, archive=replace(source.archive, md5=md5)))
        return f"{address}/{base}/"

    return serve


def everything_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_a_mirror_is_asked_first_and_the_set_loads_afterwards(publish, server, target, monkeypatch) -> None:
    monkeypatch.setenv("LNBENCH_MIRROR", publish("mirror"))
    lines: list[str] = []
    download.fetch("cifar10", target, lines.append)
    assert len(datasets.load("cifar10", target).train_labels) == 20
    assert {request.split()[1] for request in server[2]} == {f"/mirror/{NAME}"}
    assert lines[0].startswith("downloading http://127.0.0.1")
    assert lines[-1] == f"cifar10 is ready in {target}"
    named = set(cifar.SOURCES["cifar10"].archive.members)
    assert everything_under(target) == named | {NAME, ".cifar10.lock"}


def test_a_dead_mirror_leads_to_the_address_that_torchvision_knows(publish, server, target, monkeypatch) -> None:
    publish("official")
    monkeypatch.setenv("LNBENCH_MIRROR", f"{server[0]}/gone")
    lines: list[str] = []
    download.fetch("cifar10", target, lines.append)
    assert lines[1].startswith("failed: HTTP Error 404")
    assert len(datasets.load("cifar10", target).train_labels) == 20


def test_when_no_address_serves_it_all_are_named(publish, server, target) -> None:
    with pytest.raises(MissingDataError) as error:
        download.fetch("cifar10", target, lambda line: None)
    assert f"{server[0]}/official/{NAME} (HTTP Error 404" in str(error.value)
    assert f"put {NAME} into {target} yourself" in str(error.value)
    assert everything_under(target) == {".cifar10.lock"}


def test_a_download_with_another_md5_is_never_unpacked(publish, server, target, monkeypatch) -> None:
    base = publish("mirror")
    (server[1] / "mirror" / NAME).write_bytes(b"something else")
    monkeypatch.setenv("LNBENCH_MIRROR", base)
    with pytest.raises(MissingDataError, match="File not found or corrupted"):
        download.fetch("cifar10", target, lambda line: None)
    assert everything_under(target) == {".cifar10.lock"}


@pytest.fixture
def offline(monkeypatch) -> None:
    def refuse() -> None:
        raise AssertionError("went to the network")

    monkeypatch.setattr(download, "torchvision", refuse)


def test_an_archive_that_lies_in_the_folder_is_taken_without_the_network(members, target, offline) -> None:
    write_tar(target / NAME, members)
    download.fetch("cifar10", target, lambda line: None)
    assert len(datasets.load("cifar10", target).train_labels) == 20


def test_a_complete_set_is_left_alone_and_a_damaged_file_is_replaced(members, target, offline) -> None:
    write_tar(target / NAME, members)
    download.fetch("cifar10", target, lambda line: None)
    files = [target / name for name in cifar.SOURCES["cifar10"].archive.members]
    before = [file.stat().st_ino for file in files]
    lines: list[str] = []
    download.fetch("cifar10", target, lines.append)
    assert lines == [f"cifar10 is complete in {target}"]
    assert [file.stat().st_ino for file in files] == before
    files[0].write_bytes(b"damaged")
    download.fetch("cifar10", target, lambda line: None)
    assert len(datasets.load("cifar10", target).train_labels) == 20


def test_a_set_that_ships_with_a_package_needs_no_download(target) -> None:
    lines: list[str] = []
    download.fetch("digits", target, lines.append)
    assert lines == ["digits needs no download"]
    assert everything_under(target) == set()


EVIL = {
    "parent": ("../canary", b"evil", {}),
    "absolute": ("{outer}/canary", b"evil", {}),
    "parent within": ("cifar-10-batches-py/../../canary", b"evil", {}),
    "symlink": ("cifar-10-batches-py/link", None, {"type": tarfile.SYMTYPE, "linkname": "../../canary"}),
    "symlinked folder": ("cifar-10-batches-py", None, {"type": tarfile.SYMTYPE, "linkname": "../.."}),
    "symlink for a file": ("{batch}", None, {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    "hardlink": ("cifar-10-batches-py/link", None, {"type": tarfile.LNKTYPE, "linkname": "../../canary"}),
    "device": ("cifar-10-batches-py/null", None, {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
    "pipe": ("cifar-10-batches-py/pipe", None, {"type": tarfile.FIFOTYPE}),
}


@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("kind", EVIL)
def test_an_archive_that_reaches_outside_is_refused_whole(members, target, offline, kind, place) -> None:
    name, content, fields = EVIL[kind]
    batch = cifar.CIFAR10.train[0]
    evil = (name.format(outer=target.parent, batch=batch), content, fields)
    members.insert(place if place == 0 else len(members), evil)
    write_tar(target / NAME, members)
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz: member '.*' (points outside|is a link).*refused"):
        download.fetch("cifar10", target, lambda line: None)
    assert everything_under(target.parent) == {f"target/{NAME}", "target/.cifar10.lock"}


def test_a_bomb_is_refused_before_it_unpacks(members, target, offline) -> None:
    with tarfile.open(target / NAME, "w:gz", compresslevel=1) as tar:
        header = tarfile.TarInfo("cifar-10-batches-py/readme")
        header.size = download.MEMBER_CAP + 1  # only the header claims it
        tar.fileobj.write(header.tobuf())
    with pytest.raises(ValueError, match=r"has 200000001 bytes, allowed are 200000000; refused"):
        download.fetch("cifar10", target, lambda line: None)


@pytest.mark.parametrize("fields", [{}, {"pax_headers": {"comment": "0" * 3_000_000}}], ids=["content", "header"])
def test_many_bytes_that_nobody_needs_are_refused_too(members, target, offline, monkeypatch, fields) -> None:
    monkeypatch.setattr(download, "TOTAL_CAP", 2_000_000)
    write_tar(target / NAME, [("a", bytes(0 if fields else 1_500_000), fields), ("b", bytes(1_500_000), {}), *members])
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz: unpacks to more than 2000000 bytes; refused"):
        download.fetch("cifar10", target, lambda line: None)
    assert everything_under(target) == {NAME, ".cifar10.lock"}


def test_another_content_under_the_right_name_is_refused(members, target, offline) -> None:
    name, content, fields = members[1]
    members[1] = (name, content + b"!", fields)
    write_tar(target / NAME, members)
    with pytest.raises(ValueError, match=rf"{name}: sha256 is [0-9a-f]{{64}}, expected [0-9a-f]{{64}}"):
        download.fetch("cifar10", target, lambda line: None)
    assert everything_under(target) == {NAME, ".cifar10.lock"}


def test_an_archive_without_one_of_the_files_is_refused(members, target, offline) -> None:
    write_tar(target / NAME, members[:1] + members[2:])
    with pytest.raises(ValueError, match=r"tar\.gz: no cifar-10-batches-py/data_batch_1 in it"):
        download.fetch("cifar10", target, lambda line: None)


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"no archive", lambda data: b""])
def test_what_is_no_whole_archive_is_refused(members, target, offline, spoil) -> None:
    write_tar(target / NAME, members)
    (target / NAME).write_bytes(spoil((target / NAME).read_bytes()))
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz: (not a whole tar\.gz archive|no cifar)"):
        download.fetch("cifar10", target, lambda line: None)
    assert everything_under(target) == {NAME, ".cifar10.lock"}


def test_a_second_fetch_waits_for_the_first(members, target, offline) -> None:
    write_tar(target / NAME, members)
    lines: list[str] = []
    second = threading.Thread(target=download.fetch, args=("cifar10", target, lines.append))
    with download._locked(target / ".cifar10.lock"):
        second.start()
        second.join(0.2)
        assert second.is_alive()
        assert lines == []
    second.join(20)
    assert lines[-1] == f"cifar10 is ready in {target}"


SETS = {"mnist": idx, "svhn": svhn}


@pytest.fixture(params=SETS)
def files(request, server, monkeypatch, torchvision) -> tuple[str, dict[str, bytes]]:
    """A set of single files: its name, and what they hold; torchvision's addresses lead to a folder on this server."""
    name, module = request.param, SETS[request.param]
    real = module.SOURCES[name]
    content = {file: f"content of {file}".encode() for file in real.archive.members}
    checksums = {file: Checksum(hashlib.md5(data).hexdigest()) for file, data in content.items()}
    monkeypatch.setitem(module.SOURCES, name, replace(real, archive=replace(real.archive, members=checksums)))
    known = getattr(torchvision.datasets, real.archive.torchvision_class)
    if name == "mnist":
        monkeypatch.setattr(known, "mirrors", [f"{server[0]}/gone/", f"{server[0]}/official/"])
    else:
        rows = {part: [f"{server[0]}/official/{row[1]}", *row[1:]] for part, row in known.split_list.items()}
        monkeypatch.setattr(known, "split_list", rows)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.delenv("LNBENCH_MIRROR", raising=False)
    return name, content


def put(folder: Path, content: dict[str, bytes], flat: bool = False) -> None:
    for file, data in content.items():
        path = folder / (Path(file).name if flat else file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def held(folder: Path, name: str) -> dict[str, bytes]:
    return {file: (folder / file).read_bytes() for file in everything_under(folder) - {f".{name}.lock"}}


def test_single_files_come_from_where_torchvision_finds_them(files, server, target) -> None:
    name, content = files
    put(server[1] / "official", content, flat=True)
    lines: list[str] = []
    download.fetch(name, target, lines.append)
    assert held(target, name) == content
    assert lines[-1] == f"{name} is ready in {target}"
    assert ("failed: HTTP Error 404" in "".join(lines)) == (name == "mnist")  # whose first mirror is dead
    asked = len(server[2])
    download.fetch(name, target, lines.append)
    assert lines[-1] == f"{name} is complete in {target}"
    assert len(server[2]) == asked


@pytest.mark.parametrize("flat", [False, True])
def test_a_mirror_holds_single_files_at_the_top_or_at_their_place(files, server, target, monkeypatch, flat) -> None:
    name, content = files
    put(server[1] / "mirror", content, flat)
    monkeypatch.setenv("LNBENCH_MIRROR", f"{server[0]}/mirror/")
    download.fetch(name, target, lambda line: None)
    assert held(target, name) == content
    assert {request.split()[1].split("/")[1] for request in server[2]} == {"mirror"}


@pytest.mark.parametrize("right", ["mirror", "official"])
def test_another_sets_file_of_the_same_name_on_a_mirror_does_no_harm(files, server, target, monkeypatch, right) -> None:
    name, content = files
    put(server[1] / right, content, flat=right == "official")
    put(
        server[1] / "mirror",
        {Path(file).name: b"of another set" for file in content if "/" in file or right != "mirror"},
    )
    monkeypatch.setenv("LNBENCH_MIRROR", f"{server[0]}/mirror")
    download.fetch(name, target, lambda line: None)
    assert held(target, name) == content


def test_of_single_files_only_what_is_absent_or_damaged_is_fetched(files, server, target) -> None:
    name, content = files
    put(server[1] / "official", content, flat=True)
    put(target, content)
    first, second, *others = [target / file for file in content]
    before = [path.stat().st_ino for path in others]
    first.unlink()
    second.write_bytes(b"damaged")
    lines: list[str] = []
    download.fetch(name, target, lines.append)
    assert held(target, name) == content
    assert f"{second} is damaged" in lines
    assert {request.split()[1].rpartition("/")[2] for request in server[2]} == {first.name, second.name}
    assert [path.stat().st_ino for path in others] == before


def test_a_single_file_that_nobody_serves_rightly_is_named_with_its_place(files, server, target) -> None:
    name, content = files
    wrong = {file: data + b"!" * (file == list(content)[1]) for file, data in content.items()}
    put(server[1] / "official", wrong, flat=True)
    with pytest.raises(MissingDataError) as error:
        download.fetch(name, target, lambda line: None)
    first, second = (target / file for file in list(content)[:2])
    assert f"official/{second.name} (File not found or corrupted.)" in str(error.value)
    assert str(error.value).endswith(f"put {second.name} into {second.parent} yourself")
    assert held(target, name) == {next(iter(content)): first.read_bytes()}
