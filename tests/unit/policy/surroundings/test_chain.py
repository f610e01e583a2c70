# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _chain


def filled(path: Path, count: int = 5) -> list[str]:
    return [_chain.append(str(path), {"what": f"decision {number}"}) for number in range(count)]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_append_chains_records_and_verify_follows_them(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    digests = filled(log)
    found = _chain.verify(str(log))
    assert found.problems == [] and found.notes == []
    assert found.records == 5 and found.last == digests[-1]
    records = list(_chain.records(str(log)))
    assert [one["sequence"] for one in records] == [1, 2, 3, 4, 5]
    assert [one["previous"] for one in records] == [_chain.START, *digests[:-1]]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_an_empty_log_is_well(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    assert _chain.verify(str(log)) == _chain.Verification()


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_changed_record_is_found(tmp_path: Path, index: int) -> None:
    log = tmp_path / "log"
    filled(log)
    changed = lines(log)
    changed[index] = changed[index].replace(b"decision", b"DECISION")
    log.write_bytes(b"".join(changed))
    problems = _chain.verify(str(log)).problems
    assert any(f"log:{index + 1}: its content does not fit its digest" in problem for problem in problems)


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_changed_record_with_a_new_digest_is_found_by_its_successor_or_by_a_kept_digest(
    tmp_path: Path, index: int
) -> None:
    log = tmp_path / "log"
    digests = filled(log)
    changed = lines(log)
    record = json.loads(changed[index])
    record["what"] = "another"
    del record["digest"]
    record["digest"] = _chain.digest_of(record)
    changed[index] = json.dumps(record).encode() + b"\n"
    log.write_bytes(b"".join(changed))
    assert _chain.verify(str(log), expect=digests[-1]).problems


@pytest.mark.parametrize("index", [0, 2])
def test_a_record_taken_out_is_found(tmp_path: Path, index: int) -> None:
    log = tmp_path / "log"
    filled(log)
    left = lines(log)
    del left[index]
    log.write_bytes(b"".join(left))
    problems = _chain.verify(str(log)).problems
    assert len(problems) == 1 and "does not follow the record before it" in problems[0]


def test_records_in_another_order_are_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    filled(log)
    moved = lines(log)
    moved[1], moved[2] = moved[2], moved[1]
    log.write_bytes(b"".join(moved))
    assert _chain.verify(str(log)).problems


def test_records_cut_off_at_the_end_are_found_by_a_digest_kept_elsewhere(tmp_path: Path) -> None:
    log = tmp_path / "log"
    digests = filled(log)
    log.write_bytes(b"".join(lines(log)[:3]))
    assert _chain.verify(str(log)).problems == []
    assert "cut off at the end" in _chain.verify(str(log), expect=digests[4]).problems[0]
    assert _chain.verify(str(log), expect=digests[2][:20]).problems == []


def test_any_cut_of_the_last_line_is_found_and_mends_with_a_trace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    filled(log, 2)
    whole = log.read_bytes()
    start = whole.index(b"\n") + 1
    for length in range(start + 1, len(whole) - 1):
        log.write_bytes(whole[:length])
        assert "no whole record" in _chain.verify(str(log)).problems[0], length
        _chain.append(str(log), {"what": "after the crash"})
        after = _chain.verify(str(log))
        assert after.problems == [] and len(after.notes) == 1, length
        assert after.records == 2
        assert log.read_bytes().startswith(whole[:length]), "nothing is overwritten"


def test_a_record_without_its_newline_counts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    filled(log, 2)
    log.write_bytes(log.read_bytes()[:-1])
    assert _chain.verify(str(log)).records == 2
    _chain.append(str(log), {"what": "next"})
    after = _chain.verify(str(log))
    assert after.problems == [] and after.notes == [] and after.records == 3


def test_a_crash_while_the_half_line_is_closed_mends_as_well(tmp_path: Path) -> None:
    log = tmp_path / "log"
    filled(log, 2)
    whole = log.read_bytes()
    for rest in (b'{"half', b'{"half\n', b'{"half\n{"again', b'{"half\n{"again\n{'):
        log.write_bytes(whole + rest)
        _chain.append(str(log), {"what": "after"})
        after = _chain.verify(str(log))
        assert after.problems == [] and len(after.notes) == 1 and after.records == 3, rest


def test_a_first_write_that_was_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b'{"what": "deci')
    _chain.append(str(log), {"what": "first"})
    after = _chain.verify(str(log))
    assert after.problems == [] and after.records == 1 and len(after.notes) == 1


def test_nothing_is_appended_to_a_changed_last_record(tmp_path: Path) -> None:
    log = tmp_path / "log"
    filled(log)
    log.write_bytes(log.read_bytes().replace(b"decision 4", b"decision 9"))
    with pytest.raises(_chain.LogError, match="its last record was changed"):
        _chain.append(str(log), {"what": "next"})


def test_foreign_lines_are_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    filled(log)
    kept = lines(log)
    log.write_bytes(b"".join([*kept[:2], b"a line of somebody\n", *kept[2:]]))
    assert "no record of this log" in _chain.verify(str(log)).problems[0]


def test_a_long_record_is_found_again_from_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    _chain.append(str(log), {"what": "x" * 300_000})
    _chain.append(str(log), {"what": "y"})
    assert _chain.verify(str(log)).problems == []


def test_a_record_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(_chain.LogError, match="record fewer findings"):
        _chain.append(str(tmp_path / "log"), {"what": "x" * (_chain.MAX_RECORD + 1)})


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(_chain.LogError, match="cannot be opened"):
        _chain.append(str(tmp_path / "log"), {"what": "x"})


def test_a_record_may_not_set_the_chain(tmp_path: Path) -> None:
    with pytest.raises(_chain.LogError, match="may not set digest"):
        _chain.append(str(tmp_path / "log"), {"digest": "x"})


def _append_many(path: str, who: int) -> None:
    for number in range(20):
        _chain.append(path, {"who": who, "number": number})


def test_appends_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    workers = [multiprocessing.Process(target=_append_many, args=(log, who)) for who in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    found = _chain.verify(log)
    assert found.problems == [] and found.records == 80
    for who in range(4):
        assert [one["number"] for one in _chain.records(log) if one["who"] == who] == list(range(20))


def test_find_by_number_digest_and_head(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    digests = [_chain.append(log, {"request": {"head": head * 40}}) for head in "aab"]
    assert _chain.find(log, "1")["sequence"] == 1
    assert _chain.find(log, digests[1])["sequence"] == 2
    assert _chain.find(log, digests[1].removeprefix("sha256:")[:10])["sequence"] == 2
    assert _chain.find(log, "a" * 12)["sequence"] == 2, "the last word on a head"
    with pytest.raises(_chain.LogError, match="no record"):
        _chain.find(log, "bbb")


def test_the_record_is_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_mode)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    _chain.append(str(tmp_path / "log"), {"what": "x"})
    assert [stat.S_ISDIR(mode) for mode in synced] == [False, True]
