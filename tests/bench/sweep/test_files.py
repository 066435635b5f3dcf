"""Records are whole or absent, whatever interrupts the writer; their JSON has one spelling."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bench import files
from bench.files import canonical, check_name, is_canonical, make_folder, parse, publish, read_regular, sha256

ROOT = Path(files.__file__).resolve().parents[1]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a fresh single-threaded interpreter, in which forking is safe."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def run(code: str, *arguments: object) -> str:
    with start(code, *arguments) as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return output


def test_canonical_json_has_one_spelling():
    assert (
        canonical({"b": 1, "a": [1.5, None, True, "é\n"], "B": {}})
        == b'{"B":{},"a":[1.5,null,true,"\\u00e9\\n"],"b":1}'
    )
    assert canonical((1, 2)) == b"[1,2]"


@pytest.mark.parametrize("obj", [{1: 2}, {"a": [{None: 1}]}, {"a": {1, 2}}, {"a": ({2.5: 1},)}, b"bytes"])
def test_canonical_refuses_what_would_not_read_back_as_written(obj):
    with pytest.raises(TypeError):
        canonical(obj)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_canonical_refuses_what_is_no_number(number):
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": number})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":1,"b":2,"a":1}', "repeats the key 'a'"),
        (b'{"x":{"a":1,"a":2}}', "repeats the key 'a'"),
        (b"[NaN]", "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b"", "Expecting value"),
        (b'{"a":1}x', "Extra data"),
        (b'{"a":"\xff"}', "utf-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_parse_refuses_ambiguous_and_broken_json(data, reason):
    with pytest.raises(ValueError, match=reason):
        parse(data)


@pytest.mark.parametrize(
    "data", [b'{"a": 1}', b'{"b":1,"a":1}', b'{"a":0.10}', b'{"a":1e999}', b'{"a":1}\n', b'"\xc3\xa9"']
)
def test_another_spelling_of_an_object_is_not_canonical(data):
    assert not is_canonical(data, parse(data))


def test_what_canonical_writes_is_canonical():
    data = canonical({"a": 0.1, "b": "\ud800 é \x00", "c": [1e-300, -0.0, 2**70]})
    assert is_canonical(data, parse(data))


def test_sha256_of_abc():
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", ".", ".hidden", "a\0b", "x" * 65, "a\u202eb", "a b", "name\n", "-rf", "é"]
)
def test_f72_names_that_could_leave_their_folder_are_refused(name):
    with pytest.raises(ValueError, match=r"suite name .* must be 1 to 64 letters"):
        check_name("suite", name)


def test_ordinary_names_pass():
    assert [check_name("suite", name) for name in ("a", "CIFAR-10_sym.0.4", "9" * 64)] == [
        "a",
        "CIFAR-10_sym.0.4",
        "9" * 64,
    ]


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "file") == b"abc"
    for name in ("link", "pipe", ""):
        with pytest.raises(ValueError, match="must be a regular file"):
            read_regular(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "absent")


def test_a_folder_is_not_made_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="links are not followed"):
        make_folder(tmp_path / "link")


def test_publish_replaces_or_leaves(tmp_path):
    path = tmp_path / "record"
    assert publish(path, b"one", replace=False)
    assert not publish(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    assert publish(path, b"two", replace=True)
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["record"]


def test_of_eight_processes_one_publishes_and_all_see_its_bytes(tmp_path):
    code = """
        import os, sys, time
        from pathlib import Path
        from bench.files import publish, read_regular
        path, who = Path(sys.argv[1]), sys.argv[2]
        print("ready", flush=True)
        while not (path.parent / "go").exists():
            pass
        won = publish(path, (who * 100_000).encode(), replace=False)
        print(int(won), read_regular(path)[:1].decode(), len(set(read_regular(path))))
    """
    processes = [start(code, tmp_path / "record", who) for who in "abcdefgh"]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    reports = [process.communicate(timeout=30)[0].split() for process in processes]
    winner = (tmp_path / "record").read_text()[0]
    assert [who for who, report in zip("abcdefgh", reports, strict=True) if report[0] == "1"] == [winner]
    assert {tuple(report[1:]) for report in reports} == {(winner, "1")}
    assert sorted(os.listdir(tmp_path)) == ["go", "record"]


def test_a_swept_temporary_file_is_written_again_up_to_three_times(tmp_path, monkeypatch):
    sweeps = 2

    def sweep(tag):
        nonlocal sweeps
        if tag == "synced" and sweeps > 0:
            sweeps -= 1
            for name in filter(files.TEMPORARY_PATTERN.match, os.listdir(tmp_path)):
                (tmp_path / name).unlink()

    monkeypatch.setattr(files, "hook", sweep)
    for replace in (False, True):
        sweeps = 2
        assert publish(tmp_path / f"record{replace}", b"data", replace)
        sweeps = 3
        with pytest.raises(FileNotFoundError):
            publish(tmp_path / f"lost{replace}", b"data", replace)
    assert sorted(os.listdir(tmp_path)) == ["recordFalse", "recordTrue"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_the_first_writer_still_wins(tmp_path, monkeypatch, number):
    def refuse(source, target):
        raise OSError(number, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert publish(tmp_path / "record", b"one", replace=False)
    assert not publish(tmp_path / "record", b"two", replace=False)
    assert (tmp_path / "record").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["record"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    publish(tmp_path / "record", b"0123456789", replace=True)
    assert (tmp_path / "record").read_bytes() == b"0123456789"


def test_f22_a_full_disk_leaves_the_previous_file_and_nothing_else(tmp_path):
    publish(tmp_path / "record", b"old", replace=True)
    code = """
        import errno, resource, signal, sys
        from pathlib import Path
        from bench.files import publish
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for name, replace in (("record", True), ("other", False)):
            try:
                publish(Path(sys.argv[1]) / name, b"x" * 5000, replace)
            except OSError as error:
                print(errno.errorcode[error.errno])
    """
    assert run(code, tmp_path).split() == ["EFBIG", "EFBIG"]
    assert (tmp_path / "record").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["record"]


@pytest.mark.parametrize("replace", [False, True])
def test_an_error_at_any_step_leaves_the_old_or_the_new_and_nothing_else(tmp_path, monkeypatch, replace):
    tags = []
    monkeypatch.setattr(files, "hook", tags.append)
    publish(tmp_path / "rehearsal", b"", replace)
    (tmp_path / "rehearsal").unlink()
    assert len(tags) >= 7
    for failing in range(len(tags)):
        passed = []

        def fail(tag, passed=passed, failing=failing):
            passed.append(tag)
            if len(passed) == failing + 1:
                raise OSError(errno.EIO, "input/output error")

        monkeypatch.setattr(files, "hook", fail)
        path = tmp_path / "record"
        if replace:
            path.write_bytes(b"old")
        with pytest.raises(OSError, match="input/output error"):
            publish(path, b"new" * 1000, replace)
        allowed = {b"new" * 1000, b"old" if replace else None}
        assert (path.read_bytes() if path.exists() else None) in allowed
        assert set(os.listdir(tmp_path)) <= {"record"}
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("replace", [False, True])
def test_f2_a_kill_at_any_step_leaves_the_old_or_the_new(tmp_path, replace):
    code = """
        import os, sys
        from pathlib import Path
        from bench import files
        folder, replace = Path(sys.argv[1]), sys.argv[2] == "True"
        old, new = b"old", b"new" * 10_000
        crash, seen = 0, set()
        while True:
            crash += 1
            path = folder / str(crash)
            if replace:
                path.write_bytes(old)
            pid = os.fork()
            if pid == 0:
                steps = 0
                def hook(tag):
                    global steps
                    steps += 1
                    if steps == crash:
                        os._exit(137)
                files.hook = hook
                files.publish(path, new, replace)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            found = path.read_bytes() if path.exists() else None
            assert found in (new, old if replace else None), (crash, found)
            seen.add(found == new)
            assert files.publish(path, new, replace) is (replace or found is None)  # the next writer is not held up
            assert path.read_bytes() == new
            if code == 0:
                break
            assert code == 137
        print(crash, len(seen))
    """
    crashes, outcomes = map(int, run(code, tmp_path, replace).split())
    assert crashes >= 8
    assert outcomes == 2
