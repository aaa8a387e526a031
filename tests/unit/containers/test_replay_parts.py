"""The parts of tests/image that need neither root nor a mirror: reading, copying, looking."""

import pytest

from tests.image import layers
from tests.image.context import copy, gather, ignoring
from tests.image.dockerfile import DockerfileError, argument, command, expand, needed, pairs, stages

TEXT = """# syntax=docker/dockerfile:1.7
ARG PYTHON=python:3.11-slim-bookworm
FROM ${PYTHON} AS wheel
RUN one \\
    # between lines
    && two
FROM scratch AS other
COPY --from=wheel /a /b
FROM ${PYTHON} AS last
ARG PYTHON
ARG REVISION=unknown
ENV A=1 B="two words" PATH=/x:$PATH
COPY --from=wheel /dist/*.whl /tmp/
CMD ["run", "it"]
"""


def test_stages_are_read_with_their_bases_and_joined_lines():
    wheel, _, last = stages(TEXT, {"PYTHON": "python:3.12-slim-trixie"})
    assert (wheel.name, wheel.base) == ("wheel", "python:3.12-slim-trixie")
    (run,) = wheel.instructions
    assert run.rest.split() == ["one", "&&", "two"] and run.line == 4
    assert [one.word for one in last.instructions] == ["ARG", "ARG", "ENV", "COPY", "CMD"]
    assert last.instructions[3].flags == {"from": "wheel"}
    assert command(last.instructions[4].rest) == ["run", "it"]


def test_only_the_stages_of_a_target_are_built():
    assert [stage.name for stage in needed(stages(TEXT), "last")] == ["wheel", "last"]
    assert [stage.name for stage in needed(stages(TEXT), "other")] == ["wheel", "other"]
    with pytest.raises(DockerfileError, match="no stage gpu"):
        needed(stages(TEXT), "gpu")


def test_arguments_come_from_the_command_line_then_the_default_then_before_from():
    last = stages(TEXT)[-1]
    python, revision = last.instructions[:2]
    assert argument(python, {}, {}, last.given) == {"PYTHON": "python:3.11-slim-bookworm"}
    assert argument(revision, {}, {}, last.given) == {"REVISION": "unknown"}
    assert argument(revision, {}, {"REVISION": "abc"}, last.given) == {"REVISION": "abc"}


def test_values_are_expanded_from_before_their_line():
    assert pairs('A=1 B="two $A words" PATH=/x:$PATH', {"A": "0", "PATH": "/bin"}) == {
        "A": "1",
        "B": "two 0 words",
        "PATH": "/x:/bin",
    }
    assert expand("$NONE-${NONE}", {}) == "-"


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS b\nADD x y",
        "FROM a AS b\nRUN --mount=type=secret,id=x true",
        "FROM a AS b\nCOPY --chown=1 x y",
        "FROM a AS b\nRUN <<EOF",
        "FROM a AS b\nRUN one \\",
        "FROM a",
        "RUN one",
        "FROM --platform=arm64 a AS b",
        "# escape=`\nFROM a AS b",
        "FROM ${A:-b} AS c",
    ],
)
def test_what_a_replay_does_not_know_is_an_error(text):
    with pytest.raises(DockerfileError):
        stages(text)


# From the table of github.com/moby/patternmatcher: pattern, path, whether it is left out.
@pytest.mark.parametrize(
    ("pattern", "path", "out"),
    [
        ("**", "dir/file", True),
        ("**/", "file", True),
        ("dir/**", "dir/dir2/file", True),
        ("**/dir", "dir/file", True),
        ("**/dir2/*", "dir/dir2/file", True),
        ("**file", "dir/dir/file", True),
        ("**/**/*.txt2", "dir/dir/file.txt", False),
        ("**/*.txt", "file.txt", True),
        ("a**/*.txt", "a/dir/dir/file.txt", True),
        ("a/*.txt", "a/dir/file.txt", False),
        ("a[b-d]e", "ae", False),
        ("a[b-d]e", "ace", True),
        ("a[^b-d]e", "aze", True),
        (".*", "foo", False),
        ("abc.def", "abcZdef", False),
        ("abc?def", "abcZdef", True),
        ("**/foo/bar", "dir/dir2/foo/bar", True),
        ("abc/**", "abc", False),
        ("**/.foo", "bar.foo", False),
        ("a(b)c/def", "a(b)c/def", True),
        ("a*/b", "a/c/b", False),
        ("a*", "ab/c", True),
        ("a\\*b", "ab", False),
        ("a\\*b", "a*b", True),
        ("**\n!util/docker/web", "util/docker/web/foo", False),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", True),
        ("docs/\n!docs/README.md", "docs/README.md", False),
        ("!fileutils.go\n*.go", "fileutils.go", True),
    ],
)
def test_patterns_leave_out_what_an_engine_leaves_out(pattern, path, out):
    assert ignoring(pattern)(path) is out


def test_a_context_has_what_is_let_in_alone(tmp_path):
    for name in ("a/b/c.py", "a/b/c.pyc", "a/.env", "d/e", "f"):
        (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / name).write_text(name)
    count = gather(tmp_path / "from", tmp_path / "to", "*\n!a\n!f\n**/*.pyc\n**/.env\n")
    found = {str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*")}
    assert count == 2 and found == {"a", "a/b", "a/b/c.py", "f"}


def test_copy_takes_the_content_of_folders_and_files_by_pattern(tmp_path):
    origin, root = tmp_path / "origin", tmp_path / "root"
    (origin / "d" / "e").mkdir(parents=True)
    (origin / "d" / "e" / "one").write_text("1")
    (origin / "x.whl").write_text("2")
    root.mkdir()
    copy(["d"], origin, "/in", root)
    copy(["/*.whl"], origin, "/tmp/", root)
    copy(["x.whl"], origin, "/named", root)
    copy(["."], origin, "/all/", root)
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert found == {"in/e/one", "tmp/x.whl", "named", "all/d/e/one", "all/x.whl"}


def test_copy_never_leaves_its_root(tmp_path):
    origin, root = tmp_path / "origin", tmp_path / "root"
    origin.mkdir()
    root.mkdir()
    (origin / "a").write_text("")
    (root / "var").symlink_to(tmp_path / "elsewhere")
    (origin / "host").symlink_to("/etc/hostname")
    for sources, to in ((["a"], "/var/x"), (["host"], "/y"), (["../origin/../root"], "/z")):
        with pytest.raises(ValueError, match="leads out of"):
            copy(sources, origin, to, root)
    with pytest.raises(ValueError, match="not found"):
        copy(["absent"], origin, "/x", root)
    assert not (tmp_path / "elsewhere").exists()


def test_a_layer_has_what_is_new_and_what_is_changed(tmp_path):
    for name in ("same", "other"):
        (tmp_path / name).write_text("old")
    before = layers.snapshot(tmp_path)
    (tmp_path / "other").write_text("newer")
    (tmp_path / "more").write_text("123")
    added, size = layers.changed(before, layers.snapshot(tmp_path))
    assert (added, size) == (["more", "other"], 8)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("etc/pip.conf", "", "by its name"),
        ("home/.netrc", "", "by its name"),
        ("src/.git", "", "by its name"),
        ("a.pem", "-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("a.pem", "-----BEGIN CERTIFICATE-----", ""),
        ("a.py", "x = 'hunter2'", "holds what was kept outside"),
        ("a.environment", "", ""),
    ],
)
def test_secrets_are_found_by_name_and_by_content(tmp_path, name, content, said):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)
    found = layers.findings(tmp_path, [name], [b"hunter2"])
    assert found == ([f"{name}: {said}"] if said else [])
