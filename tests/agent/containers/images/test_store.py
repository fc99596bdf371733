"""What of layers is on disk, when they go while the disk is being synced."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.agent.containers.images.store import LayerRecord, Store

CHAIN_ID = "sha256:" + "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.load(0)
    return made


def add_layer(store: Store) -> LayerRecord:
    """A layer that was unpacked just now."""
    made = store.new_path()
    made.mkdir()
    record = LayerRecord(chain_id=CHAIN_ID, size_bytes=0, files=0, boot_id=store.boot_id)
    store.write_layer(made, record)
    store.layers[CHAIN_ID] = record
    return record


def known_anew(store: Store) -> LayerRecord | None:
    """What the next agent reads of the layer."""
    after = Store(store.directory)
    after.load(0)
    return after.layers.get(CHAIN_ID)


def test_synced_layer_is_safe_for_ever(store: Store) -> None:
    add_layer(store)
    unsynced = store.unsynced()
    store.sync()
    store.know_synced(unsynced)
    assert store.unsynced() == []
    after = known_anew(store)
    assert after is not None
    assert after.boot_id == ""


def test_layer_that_was_dropped_while_the_disk_synced_leaves_no_record(store: Store) -> None:
    add_layer(store)
    unsynced = store.unsynced()
    store.drop_layers(())
    store.know_synced(unsynced)
    assert list((store.directory / "records").iterdir()) == []
    assert store.layers == {}


def test_layer_that_was_made_anew_while_the_disk_synced_is_not_safe_yet(store: Store) -> None:
    add_layer(store)
    unsynced = store.unsynced()
    store.drop_layers(())
    anew = add_layer(store)
    store.know_synced(unsynced)
    assert store.unsynced() == [anew]
    assert known_anew(store) == anew
