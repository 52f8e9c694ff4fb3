import logging
import os
import signal
import time

import joblib
import numpy as np
import pytest
import soundfile
from distributed import Client, LocalCluster

from gtzan_mfcc import audio, augmentation, dataset, extraction
from gtzan_mfcc._disk import Rows


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Sixteen tracks, so many that some are still to be handed out when the first is done."""
    folder = tmp_path_factory.mktemp("cluster") / "corpus" / "noise"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(16):
        y = rng.uniform(-0.1, 0.1, (k % 3 + 1) * 66_150)
        soundfile.write(folder / f"noise.{k:05d}.wav", y, 22_050)
    (folder / "noise.00007.wav").write_text("la la la")
    return dataset.load_tracks(folder.parent)


def extract(tracks, cache):
    """Give the bytes of all files that an extraction with all augmentations makes."""
    extraction.extract_mfcc(
        tracks, augmentations=augmentation.AUGMENTATIONS, n_jobs=-1, cache=cache, progress=False
    )
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def expected(tracks, tmp_path_factory):
    """What processes of this computer make."""
    return extract(tracks, tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module", params=[1, 2], ids=["1 thread", "2 threads"])
def client(request):
    """Three workers, each a process, with so many threads."""
    settings = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=3, threads_per_worker=request.param, **settings) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def no_work_here(client, expected, monkeypatch):
    """Let all computations in this process fail; the workers have modules of their own."""

    def work(*_, **__):
        raise RuntimeError("worked here")

    monkeypatch.setattr(audio, "segments", work)


def pids(client) -> dict[str, int]:
    return client.run(os.getpid, on_error="ignore")


def test_workers_of_a_cluster_make_the_same_bytes(client, tracks, expected, tmp_path):
    with joblib.parallel_config(backend="dask"):
        assert extract(tracks, tmp_path) == expected


def test_a_worker_that_dies_changes_no_byte(client, tracks, expected, tmp_path, monkeypatch):
    before, killed = pids(client), []
    append = Rows.append

    def append_and_kill(rows, *args):
        append(rows, *args)
        # Once, as soon as there is a worker that has something to do.
        busy = [worker for worker, keys in client.processing().items() if keys]
        if busy and not killed:
            killed.append(before[busy[0]])
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(Rows, "append", append_and_kill)
    with joblib.parallel_config(backend="dask"):
        assert extract(tracks, tmp_path) == expected
    assert killed
    deadline = time.monotonic() + 30
    while len(after := set(pids(client).values())) < 3 or killed[0] in after:
        assert time.monotonic() < deadline, "nobody has taken the dead worker's place"
        time.sleep(0.1)
    assert len(after & set(before.values())) == 2
