"""Hypothesis strategies: names that trees really have, trees, and nights of changes."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.changes import (
    Append,
    Change,
    Chmod,
    Chown,
    Deepen,
    Link,
    Make,
    Overwrite,
    Remove,
    Rename,
    Retarget,
    Touch,
    Truncate,
    Turn,
    Unshare,
)

ODD_NAMES = (
    b"plain",
    b"with space",
    b" leading space",
    b"trailing space ",
    b"new\nline",
    b"\n",
    b"-rf",
    b"--delete",
    b"#comment",
    b"; comment",
    b"*",
    b"?[a-z]",
    b"back\\slash",
    b"\\#012",
    b"\\",
    b'quote"d',
    b"it's",
    b"`id`",
    b"$(id)",
    b"tab\there",
    b"\x7f\x01\x1b[31m",
    b"latin-1 \xe9\xff",
    b"\xff",
    "snow☃ and 𝄞".encode(),
    b"e\xcc\x81 decomposed",
    b".snapshot-data",
    b".snapshot",
    b".zfs",
    b".ckpt",
    b".efs-backup",
    b"daily.0",
    b"daily.1",
    b".hidden",
    b"..data",
    b"...",
    b".nfs-not",
    b"lost+found",
    b"x" * 255,
    b"\xf0" * 255,
    b"-" * 200,
    b":colon",
    b"host:path",
    b"%C:%l:%n",
    b"~",
    b"~root",
)
MODES = (0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1777, 0o6711, 0o000, 0o444, 0o7777)
OWNERS = (0, 1, 1000, 65534, 123456, 2**32 - 2)
TIMES = (0, 1, 999_999_999, 1_000_000_000, 1_600_000_000_123_456_789, 2**31 * 10**9 + 1, 4_000_000_000_999_999_999)

names = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.binary(min_size=1, max_size=20).map(lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"|")),
).filter(lambda name: name not in (b".", b"..", b".aside"))
positions = st.integers(0, 1000)
seeds = st.integers(0, 10**6)
sizes = st.one_of(st.just(0), st.integers(1, 300), st.integers(300, 40_000), st.sampled_from((4096, 8192, 65536)))
modes = st.one_of(st.sampled_from(MODES), st.integers(0, 0o7777))
owners = st.sampled_from(OWNERS)
times = st.one_of(st.sampled_from(TIMES), st.integers(1_500_000_000 * 10**9, 1_700_000_000 * 10**9), st.none())
kinds = st.sampled_from(("file", "file", "file", "directory", "directory", "symlink", "fifo", "sparse"))
makes = st.builds(
    Make,
    kind=kinds,
    parent=positions,
    name=names,
    seed=seeds,
    size=sizes,
    mode=modes,
    owner=st.tuples(owners, owners),
    mtime_ns=times,
)
links = st.builds(Link, positions, positions, names)
deepens = st.builds(Deepen, positions, names, st.integers(1, 25))

changes: st.SearchStrategy[Change] = st.one_of(
    makes,
    st.builds(Remove, positions),
    st.builds(Turn, positions, kinds, seeds),
    st.builds(Rename, positions, positions, names),
    st.builds(Chmod, positions, modes),
    st.builds(Chown, positions, owners, owners),
    st.builds(Touch, positions, st.sampled_from((1, -1, 999, 10**9, -(10**9)))),
    st.builds(Overwrite, positions, seeds),
    st.builds(Append, positions, seeds, st.integers(1, 3000)),
    st.builds(Truncate, positions, st.integers(0, 3000)),
    links,
    st.builds(Unshare, positions),
    st.builds(Retarget, positions, st.binary(min_size=1, max_size=50).map(lambda raw: raw.replace(b"\0", b"0"))),
    deepens,
)
trees: st.SearchStrategy[list[Change]] = st.lists(st.one_of(makes, makes, makes, links, deepens), max_size=30)
nights: st.SearchStrategy[list[Change]] = st.lists(changes, max_size=12)
