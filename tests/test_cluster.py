"""The workers of a cluster process the tracks, and the result is the same."""

import logging
import os
import signal
from unittest.mock import Mock

import joblib
import numpy as np
import soundfile
from distributed import Client, LocalCluster

from gtzan_mfcc import audio, augmentation, dataset, extraction


def test_workers_of_a_cluster_make_the_same_bytes_even_if_one_dies(
    tmp_path, monkeypatch
):
    # Enough tracks that some are still waiting when the first is done.
    (tmp_path / "corpus" / "noise").mkdir(parents=True)
    for k in range(16):
        y = np.random.default_rng(k).uniform(-0.1, 0.1, (k % 3 + 1) * 66_150)
        soundfile.write(tmp_path / "corpus" / "noise" / f"noise.{k:05d}.wav", y, 22_050)
    (tmp_path / "corpus" / "noise" / "noise.00007.wav").write_text("la la la")
    tracks = dataset.load_tracks(tmp_path / "corpus")

    def extract(name, n_jobs):
        cache = tmp_path / name
        extraction.extract_mfcc(
            tracks, augmentations=augmentation.STUDY, n_jobs=n_jobs, cache=cache
        )
        return {path.name: path.read_bytes() for path in cache.rglob("*.npy")}

    expected = extract("local", 1)

    # The workers have their own copies of the modules.
    forbidden = Mock(side_effect=RuntimeError("worked here"))
    monkeypatch.setattr(audio, "blocks", forbidden)
    save = np.save
    killed = []

    def save_and_kill(*args):
        save(*args)
        # Once, as soon as a worker is busy.
        busy = [worker for worker, keys in client.processing().items() if keys]
        if busy and not killed:
            killed.append(pids[busy[0]])
            os.kill(killed[0], signal.SIGKILL)

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        assert extract("cluster", -1) == expected
        pids = client.run(os.getpid)
        monkeypatch.setattr(np, "save", save_and_kill)
        assert extract("killed", -1) == expected
    assert killed
