"""The soak's sampler and its verdict: what is flat is called flat, and a leak is found."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.soak import Load, Sample, judge, sample
from tests.support.service import make_artifact

LEAKS = {
    "rss_mib": "kept.append(b'x' * 2**20)",
    "threads": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "descriptors": "kept.append(open('/dev/null'))",
    "nothing": "len(b'x' * 2**20)",
}


def growing(measure: str) -> list[str]:
    """The measures that grow in a process with one leak, by sixteen samples between its steps."""
    program = (
        "import sys, threading, time\nkept = []\nfor line in sys.stdin:\n"
        f"    {LEAKS[measure]}\n    print('done', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin
        assert process.stdout
        samples = []
        for step in range(16):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            samples.append(sample(process.pid, float(step)))
        process.kill()
    return [verdict.measure for verdict in judge(samples) if not verdict.flat]


@pytest.mark.parametrize("measure", ["rss_mib", "threads", "descriptors"])
def test_a_leak_is_found(measure: str) -> None:
    assert measure in growing(measure)


def test_a_process_that_keeps_nothing_is_flat() -> None:
    assert growing("nothing") == []


def test_what_a_start_takes_is_no_leak() -> None:
    samples = [Sample(float(n), 100 + min(n, 10) * 30, 5 + (n > 3), 10 + n % 2) for n in range(40)]
    assert [(one.measure, one.flat) for one in judge(samples)] == [
        ("rss_mib", True),
        ("threads", True),
        ("descriptors", True),
    ]


def test_a_slow_leak_shows_through_noise() -> None:
    samples = [Sample(float(n), 400 + n * 0.1 + 5 * (n % 3), 5, 10) for n in range(400)]
    (rss, *_) = judge(samples)
    assert not rss.flat
    assert rss.growth == pytest.approx(20, abs=2)


def test_too_few_samples_give_no_verdict() -> None:
    with pytest.raises(ValueError, match="7 samples"):
        judge([Sample(float(n), 1, 1, 1) for n in range(7)])


def test_a_sample_says_what_the_system_says() -> None:
    before = sample(os.getpid(), 0.0)
    with open("/dev/null", "rb"):
        assert sample(os.getpid(), 1.0).descriptors == before.descriptors + 1
    assert before.rss_mib > 10


def test_a_short_soak_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    notes = tmp_path / "samples.csv"
    arguments = [
        "--artifacts",
        str(tmp_path / "a"),
        "--seconds",
        "4",
        "--rate",
        "20",
        "--every",
        "0.2",
        "--settle",
        "50",
    ]
    code = soak.main([*arguments, "--csv", str(notes)])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["unexpected"] == 0
    assert figures["requests"] >= 40
    assert len(notes.read_text().splitlines()) == figures["samples"] >= 8
    # Whether four seconds are flat says nothing; that the exit code follows the verdict does.
    assert code == int(not figures["flat"])


def test_a_request_without_an_answer_is_unexpected() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(10)
        finally:
            writer.close()

    async def run() -> Load:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        load = Load(server.sockets[0].getsockname()[1], ["a", "b"], rate=100)
        await load.run(0.5)
        server.close()
        return load

    load = asyncio.run(run())
    assert any(": Unanswered " in odd for odd in load.odd)
    # Nothing is lost sight of: what was left half way is no request that could be answered.
    assert set(load.done) <= {"half a request", "no waiting"}
