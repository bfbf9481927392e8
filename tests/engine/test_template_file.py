"""A chat template in a file: what is refused, what prompts it writes, and what tells one run's from another's."""

from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.engine import factory, template_file
from llmbench.engine.cache.keys import Keys
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.engine.vllm.serve_command import serve_command
from llmbench.errors import ConfigError, ModelError
from llmbench.records import Message
from llmbench.results.reader import load_run
from llmbench.run import comparability
from llmbench.run.engine_pool import EnginePool
from llmbench.run.request_plan import RequestPlan
from tests.helpers.endpoints import overrides
from tests.helpers.settings import compose
from tests.helpers.stand_in_server import StandIn, serving

HEAD = "{% if add_generation_prompt %}<A>{% endif %}"
MINE = "{% for m in messages %}{% if m.role == 'assistant' %}<A>{% endif %}[{{ m.content }}]{% endfor %}"
WHOLE = MINE + HEAD
LIKE_MISTRAL = "{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + '</s>' }}{% endfor %}"
ALWAYS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
GENERATION = "{% for m in messages %}[{% generation %}{{ m.content }}{% endgeneration %}]{% endfor %}" + HEAD
FAKE = ("benchmark=arithmetic", "engine=fake", "limit=8", "report=false", "batch_size=2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jinja"
    path.write_text(WHOLE)
    return path


def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(str(folder), None, local=True, folder=str(folder))


def tokenizer(smollm2: Path, file: Path) -> HubTokenizer:
    found = factory.load_tokenizer(compose([f"model.chat_template={file}"]), checkpoint(smollm2))
    assert isinstance(found, HubTokenizer)
    return found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a Jinja template: No such file"),
        (b"\xff\xfe\x00", "is not a Jinja template: 'utf-8' codec"),
        (b"{% for m in messages %}\n{{ m.content }", "is not a Jinja template: line 2"),
        (b"{% if x %}", "is not a Jinja template: line 1"),
    ],
)
def test_a_file_that_is_no_template_is_refused_before_anything_is_loaded(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "mine.jinja"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"model\.chat_template={path} .*{words}"):
        factory.complete(compose([*FAKE, f"model.chat_template={path}"]))


def test_a_template_without_a_generation_prompt_is_refused(smollm2: Path, file: Path) -> None:
    file.write_text(MINE)
    with pytest.raises(ConfigError, match=r"has no generation prompt: before an answer it writes '<A>\['"):
        tokenizer(smollm2, file)


@pytest.mark.parametrize("content", [WHOLE, LIKE_MISTRAL, ALWAYS, GENERATION])
def test_templates_that_end_where_the_answer_begins_are_taken(
    smollm2: Path, file: Path, content: str
) -> None:
    file.write_text(content)
    assert "2 + 2?" in tokenizer(smollm2, file).chat([Message("user", "2 + 2?")], {})


def test_a_file_counts_and_not_the_models_own_template(smollm2: Path, file: Path) -> None:
    words = tokenizer(smollm2, file)
    assert (
        words.chat([Message("system", "Be brief."), Message("user", "2 + 2?")], {})
        == "[Be brief.][2 + 2?]<A>"
    )
    assert words.remarks({"enable_thought": True}) == [
        "model.chat_template_kwargs.enable_thought changes nothing: the model's chat template does not read it."
    ]
    file.write_text("nothing of it")
    with pytest.raises(ModelError, match="leaves out the question"):
        tokenizer(smollm2, file).chat([Message("user", "2 + 2?")], {})


def test_two_templates_at_once_are_refused(file: Path) -> None:
    typed = [f"model.chat_template={file}", "model.chat_template_kwargs.chat_template=rag"]
    with pytest.raises(ConfigError, match="both choose a template; leave one of them out"):
        template_file.read(compose(typed).model)


def test_jobs_with_different_templates_get_different_prompts_and_cached_answers(
    smollm2: Path, tmp_path: Path, file: Path
) -> None:
    other = tmp_path / "other.jinja"
    other.write_text(WHOLE.replace("[", "<"))
    settings = [compose(["limit=1", f"model.chat_template={path}"]) for path in (file, other, file)]
    with EnginePool() as pool:
        plans = [RequestPlan.read(c).write(pool.tokenizer(c, checkpoint(smollm2))) for c in settings]
    keys = [Keys(b"").of(plan.requests[0]) for plan in plans]
    assert keys[0] == keys[2] != keys[1]


def test_manifest_and_differences_name_the_file(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FAKE, "model.chat_template=mine.jinja", "hydra.run.dir=run"]) == 0
    row = load_run(Path("run")).manifest.chat_template or {}
    assert row["path"] == str(file)
    assert len(row["sha256"]) == 64
    model = compose([f"model.chat_template={file}"]).model
    assert comparability.added_files(model) == ["model.chat_template=mine.jinja"]


def test_a_run_goes_on_with_its_template_alone(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    broken = "engine.args={break_after: 4}"
    assert main([*FAKE, "model.chat_template=mine.jinja", broken, "hydra.run.dir=run"]) == 1
    capfd.readouterr()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    file.write_text(WHOLE + " ")
    assert main(["resume=../run"]) == 1
    said = " ".join(capfd.readouterr().err.split())
    assert f"model.chat_template={file} is refused" in said
    assert f"another chat template ({file} with other content)" in said
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["resume=../run", "model.chat_template=null"]) == 1
    assert "model.chat_template=null is refused" in capfd.readouterr().err
    file.write_text(WHOLE)
    file.rename(tmp_path / "moved.jinja")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["resume=../run", "model.chat_template=../moved.jinja"]) == 0  # from here
    assert len(load_run(tmp_path / "run").results) == 8


def test_a_server_that_gets_messages_refuses_it_and_one_that_gets_tokens_is_sent_its_prompts(
    smollm2: Path,
    tmp_path: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = tokenizer(smollm2, file)
    typed = (
        "limit=2",
        "report=false",
        f"model.chat_template={file}",
        "model=smollm2",
        "engine.served_model=org/tiny",
    )
    stand_in = StandIn(reply=lambda _: "17.", tokens=lambda word: words.encode(word, special=False))
    with serving(stand_in) as server:
        assert main(overrides(server, *typed, "engine.api=chat", "hydra.run.dir=chat")) == 1
        said = " ".join(capfd.readouterr().err.split())
        assert "is refused with engine.api=chat, where the server's own template writes the prompt" in said
        assert main(overrides(server, *typed, "engine.api=completions", "hydra.run.dir=run")) == 0
    texts = [words.decode(body["prompt"]) for body in server.asked]
    assert len(texts) >= 2
    assert all(text.startswith("[") and "]<A>" in text for text in texts)


def test_a_server_of_ones_own_gets_the_file(file: Path) -> None:
    made = serve_command(
        compose([f"model.chat_template={file}"]), Checkpoint("org/m", None, local=False), "h", 1
    )
    assert f"--chat-template={file}" in made.arguments
    plain = serve_command(compose([]), Checkpoint("org/m", None, local=False), "h", 1)
    assert not any(word.startswith("--chat-template=") for word in plain.arguments)


def test_prompts_are_shown_as_the_file_writes_them(
    tmp_path: Path, file: Path, smollm2: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    typed = ["benchmark=arithmetic", f"model.path={smollm2}", f"model.chat_template={file}", "show_prompts=1"]
    assert main([*typed, "system_prompt=Be brief.", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert "[Be brief.][" in capfd.readouterr().out
