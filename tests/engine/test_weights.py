"""A run goes on only with the checkpoint that gave its results."""

import json
import os
import shutil
import signal
import struct
from dataclasses import asdict
from pathlib import Path

import pytest

from llmbench.config.schema import Config
from llmbench.engine import checkpoint_record, fingerprint
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint, locate
from llmbench.engine.fake import FakeEngine, WordTokenizer, nonsense
from llmbench.errors import ConfigError, Interrupted
from llmbench.records import Request
from llmbench.results.manifest import JOURNAL, MANIFEST, SUMMARY
from llmbench.results.reader import load_run
from llmbench.results.summary import Summary
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool, Engines
from llmbench.run.options import Beginning, RunOptions
from llmbench.system.signals import Stop
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

FAKE = ["benchmark=arithmetic", "engine=fake", "limit=12", "batch_size=3", "report=false"]
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checkpoint(folder: Path, content: bytes = b"a" * 100) -> Path:
    """A folder that looks like one; its weights were written long ago."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.bin").write_bytes(content)
    (folder / "README.md").write_text("Hello.")
    return folder


class Hub:
    """Finds local folders as a real run does, and a hub id at the commit that the hub has now."""

    def __init__(self) -> None:
        self.commit = FIRST
        self.opened: list[Checkpoint | None] = []

    def find(self, config: Config) -> Checkpoint:
        if config.model.path is not None:
            return locate(config.model)
        revision = config.model.revision or self.commit
        folder = Path("snapshots", revision)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("{}")
        return Checkpoint("org/name", revision, local=False, folder=str(folder))

    def run(self, *settings: str, goes_on: bool, after: int = 100) -> Summary:
        """A run that is asked to end when so many were asked for."""
        stop, asked = Stop(), list[str]()

        def reply(request: Request) -> str:
            asked.append(request.id)
            if len(asked) > after:
                stop.signal_number = signal.SIGINT
            return nonsense(request)

        def open_engine(_: object, found: Checkpoint | None) -> ModelEngine:
            self.opened.append(found)
            return FakeEngine(None, reply)

        engines = Engines(
            find_checkpoint=self.find, open_engine=open_engine, load_tokenizer=lambda *_: WordTokenizer()
        )
        config = compose([*FAKE, *settings])
        with EnginePool(engines) as pool:
            return pipeline.run(
                config,
                Path("run"),
                RunOptions(stop=stop, pool=pool, beginning=Beginning.RESUMED if goes_on else Beginning.NEW),
            )

    def partly(self, *settings: str, after: int = 5) -> None:
        with pytest.raises(Interrupted):
            self.run(*settings, goes_on=False, after=after)


def test_weights_that_were_overwritten_are_refused() -> None:
    hub, folder = Hub(), checkpoint(Path("ck"))
    hub.partly("model.path=ck")
    kept = len(load_run("run").results)
    assert 0 < kept < 12
    before = {name: Path("run", name).read_bytes() for name in (MANIFEST, SUMMARY, JOURNAL, "config.yaml")}
    (folder / "model.bin").write_bytes(b"b" * 100)
    with pytest.raises(ConfigError, match=r"ck is not the one that gave the results in run"):
        hub.run("model.path=ck", goes_on=True)
    assert len(hub.opened) == 1  # nothing was loaded for it
    assert before == {name: Path("run", name).read_bytes() for name in before}
    (folder / "model.bin").write_bytes(b"a" * 100)
    (folder / "README.md").write_text("Goodbye.")
    found = hub.run("model.path=ck", goes_on=True)
    assert (found.status, found.notes) == ("finished", [])


def test_a_checkpoint_may_move_but_not_become_another() -> None:
    hub, folder = Hub(), checkpoint(Path("ck"))
    hub.partly("model.path=ck")
    checkpoint(Path("other"), b"c" * 100)
    with pytest.raises(ConfigError, match="other is not the one"):
        hub.run("model.path=other", goes_on=True)
    shutil.copytree(folder, "copy", copy_function=shutil.copyfile)
    shutil.rmtree(folder)
    found = hub.run("model.path=copy", goes_on=True)
    assert (found.status, found.notes) == ("finished", [])


def test_without_results_any_checkpoint_may_come() -> None:
    hub, folder = Hub(), checkpoint(Path("ck"))
    hub.partly("model.path=ck", after=0)
    Path("run", JOURNAL).write_bytes(b"")
    (folder / "model.bin").write_bytes(b"b" * 100)
    assert hub.run("model.path=ck", goes_on=True).status == "finished"


def test_runs_of_before_there_was_a_mark_continue_with_a_note(tmp_path: Path) -> None:
    hub = Hub()
    checkpoint(tmp_path / "ck")
    hub.partly("model.path=ck")
    manifest = Path("run", MANIFEST)
    told = load_run("run").manifest["checkpoint"]
    manifest.write_text(manifest.read_text().replace(told["content"], "").replace('"content"', '"former"'))
    found = hub.run("model.path=ck", goes_on=True)
    assert found.status == "finished"
    assert [note for note in found.notes if "does not tell which weights" in note] == found.notes
    assert len(found.notes) == 1
    assert load_run("run").manifest["checkpoint"]["content"] == told["content"]


def test_a_commit_of_the_hub_is_kept() -> None:
    hub = Hub()
    hub.partly()
    hub.commit = SECOND
    assert hub.run(goes_on=True).status == "finished"
    assert [found.revision for found in hub.opened if found is not None] == [FIRST, FIRST]
    assert load_run("run").manifest["checkpoint"]["revision"] == FIRST


def test_a_checkpoint_of_another_kind_is_refused() -> None:
    hub = Hub()
    checkpoint(Path("ck"))
    hub.partly("model.path=ck")
    with pytest.raises(ConfigError, match="is not the one that gave"):
        hub.run(goes_on=True)
    with pytest.raises(ConfigError, match="cannot change within a run"):
        hub.run("model.path=ck", "model.dtype=float32", goes_on=True)


def test_an_engine_serves_one_checkpoint_only() -> None:
    hub = Hub()
    engines = Engines(open_engine=lambda *_: FakeEngine(None, nonsense))
    config = compose(FAKE)
    with EnginePool(engines) as pool:
        first = pool.prepare(config, hub.find(config))
        assert pool.prepare(config, hub.find(config)) is first
        hub.commit = SECOND
        assert pool.prepare(config, hub.find(config)) is not first


def test_large_files_are_looked_at_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "LARGEST_WHOLE", 1000)
    folder = checkpoint(tmp_path / "ck", bytes(2 << 20))
    here = Checkpoint(str(folder), None, local=True, folder=str(folder))
    told = checkpoint_record.row(here)
    assert told == asdict(here) | {"content": told["content"], "times": told["times"]}
    os.utime(folder / "model.bin", (1000.0, 1000.0))
    said = checkpoint_record.compare(told, checkpoint_record.row(here), tmp_path)
    assert said is not None
    assert "written anew" in said
    with (folder / "model.bin").open("r+b") as file:
        file.seek((2 << 20) - 1)
        file.write(b"x")
    with pytest.raises(ConfigError, match="is not the one"):
        checkpoint_record.compare(told, checkpoint_record.row(here), tmp_path)


def test_no_tensor_of_a_large_file_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "LARGEST_WHOLE", 1000)
    monkeypatch.setattr(fingerprint, "BLOCKS", 2)
    tensors, size = 4, 64 << 10
    entries = {
        f"layer.{n}": {"dtype": "U8", "shape": [size], "data_offsets": [n * size, (n + 1) * size]}
        for n in range(tensors)
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    folder = checkpoint(tmp_path / "ck")
    (folder / "model.bin").unlink()
    file = folder / "model.safetensors"
    here = Checkpoint(str(folder), None, local=True, folder=str(folder))

    def content(changed: int | None) -> object:
        data = b"".join((b"b" if n == changed else b"a") * size for n in range(tensors))
        file.write_bytes(struct.pack("<Q", len(header)) + header + data)
        return checkpoint_record.row(here)["content"]

    assert len({content(changed) for changed in (None, 0, 1, 2, 3)}) == 5


@pytest.mark.parametrize(
    "header",
    [b"[]", b"{", b'{"a": 7}', b'{"a": {"data_offsets": [1]}}', b'{"a": {"data_offsets": ["x", null]}}'],
)
def test_a_header_that_says_nothing_leaves_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: bytes
) -> None:
    monkeypatch.setattr(fingerprint, "LARGEST_WHOLE", 1000)
    folder = checkpoint(tmp_path / "ck")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64 << 10))
    assert checkpoint_record.known(
        checkpoint_record.row(Checkpoint(str(folder), None, local=True, folder=str(folder)))
    )


def test_what_changed_while_it_was_loaded_has_no_mark(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "ck")
    here = Checkpoint(str(folder), None, local=True, folder=str(folder))
    assert checkpoint_record.row(here, since=1000.0)["content"] is None
    shutil.rmtree(folder)
    assert not checkpoint_record.known(checkpoint_record.row(here))
