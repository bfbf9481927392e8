"""Canaries in the environment and among the settings: none may be found in anything that a run writes or says."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmbench.cli.main import main
from llmbench.engine.fake import FakeEngine
from llmbench.errors import EngineError
from llmbench.records import Completion
from llmbench.system import redaction
from llmbench.system.log_capture import captured
from tests.fuzz.common import limited
from tests.helpers.reports import rows_of

pytestmark = pytest.mark.slow

IN_ENVIRONMENT = {
    "HF_TOKEN": "hf_EnvironmentCanary1",
    "OPENAI_API_KEY": "sk-EnvironmentCanary2/with+signs",
    "my_password": "EnvironmentCanary3",
    "AWS_SECRET_ACCESS_KEY": 'Environment"Canary4"',
    "GOOGLE_CREDENTIALS": "-----BEGIN KEY-----\nEnvironmentCanary5\n-----END KEY-----",
}
TYPED = "TypedCanaryOfASetting"
LOGIN = "AddressCanary"
MARKS = ("Canary",)
FAKE = ("engine=fake", "benchmark=arithmetic", "limit=3")
SETTINGS = (
    f"+model.chat_template_kwargs.hf_token={TYPED}",
    f"benchmarks.arithmetic.options={{levels: [sum1], per_level: 5}}",  # noqa: F541 - braces of Hydra's
    f"benchmarks.arithmetic.hub_config=https://me:{LOGIN}@example.invalid/x",
)


@pytest.fixture(autouse=True)
def canaries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(redaction, "_typed", set())
    monkeypatch.setattr(redaction, "_addressed", set())
    monkeypatch.chdir(tmp_path)


def found_in(folder: Path) -> list[str]:
    """Files with a canary, plain or packed."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes().decode("utf-8", "replace")
            if 'id="samples-data"' in content:
                content += json.dumps(rows_of(content))
            if any(mark in content for mark in MARKS):
                found.append(str(path.relative_to(folder)))
    return found


def run_of(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def test_a_run_keeps_them_to_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prompts = [f"benchmarks.arithmetic.system_prompt={IN_ENVIRONMENT['HF_TOKEN']} and {TYPED}"]
    assert main([*FAKE, *SETTINGS, *prompts]) == 0
    said = capfd.readouterr()
    assert "Canary" not in said.out + said.err
    run = run_of(tmp_path)
    assert found_in(tmp_path) == []
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["model"]["chat_template_kwargs"] == {"hf_token": "***"}
    assert settings["benchmarks"]["arithmetic"]["hub_config"] == "https://***@example.invalid/x"
    typed = json.loads((run / "manifest.json").read_text())["overrides"]
    assert "+model.chat_template_kwargs.hf_token=***" in typed
    assert "*** and ***" in (run / "samples.jsonl").read_text()


def test_a_run_that_fails_keeps_them_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = " ".join([*IN_ENVIRONMENT.values(), TYPED])

    def fail(self: FakeEngine, *_: object) -> None:
        logging.getLogger("of_an_engine").warning("non-default args: %s", {"hf_token": TYPED, "all": secrets})
        subprocess.run([sys.executable, "-c", f"print({secrets!r}); print('://me:{LOGIN}@host')"], check=True)
        raise EngineError(f"{type(self).__name__} refused {secrets} at https://me:{LOGIN}@host.")

    monkeypatch.setattr(FakeEngine, "load", fail)
    assert main([*FAKE, *SETTINGS]) == 1
    said = capfd.readouterr()
    assert "Canary" not in said.out + said.err
    assert "refused" in said.err
    run = run_of(tmp_path)
    assert "non-default args" in (run / "llmbench.log").read_text()
    assert "Traceback" in (run / "llmbench.log").read_text()
    assert "refused ***" in json.loads((run / "summary.json").read_text())["error"]
    assert found_in(tmp_path) == []


def test_a_request_that_is_refused_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FakeEngine) -> list[Completion]:
        refused = [
            Completion.aborted(request, f"denied for {IN_ENVIRONMENT['HF_TOKEN']}")
            for request in self._queued
        ]
        self._queued.clear()
        return refused

    monkeypatch.setattr(FakeEngine, "_admit", refuse)
    assert main([*FAKE]) == 1
    assert "denied for ***" in (run_of(tmp_path) / "samples.jsonl").read_text()
    assert found_in(tmp_path) == []


def test_a_sweep_and_its_page_keep_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *FAKE, f"model.chat_template_kwargs.api_key={TYPED}", "batch_size=1,0"]) == 1
    said = capfd.readouterr()
    assert "Canary" not in said.out + said.err
    assert found_in(tmp_path) == []
    (written,) = (tmp_path / "runs" / "multi").glob("*/summary.json")
    assert "model.chat_template_kwargs.api_key=***" in written.read_text()


@pytest.mark.parametrize(
    "refused",
    [
        f"engine.argz={{hf_token: {TYPED}}}",
        f"engine.args={{hf_token: {TYPED}",
        f"engine.args={{hf_token: {TYPED}}}",
        f"model.password={TYPED}",
        f"tracker_api_key='{TYPED}'",
        f"model.path=https://me:{LOGIN}@host/x",
    ],
)
def test_settings_that_are_refused_are_not_repeated(
    refused: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*FAKE[1:], "engine=fake", refused]) in (0, 1)
    said = capfd.readouterr()
    assert "Canary" not in said.out + said.err
    assert found_in(tmp_path) == []


def test_what_is_written_past_python_is_overwritten_in_place(tmp_path: Path) -> None:
    secret = IN_ENVIRONMENT["HF_TOKEN"]
    path = tmp_path / "llmbench.log"
    with captured(path, "INFO"):
        os.write(1, f"a {secret}{secret} b\n".encode())
        os.write(2, b"http://me:AddressCanary@h c\n")
    stars = "*" * len(secret)
    assert path.read_text() == f"a {stars}{stars} b\nhttp://{'*' * 16}@h c\n"


def test_what_is_logged_holds_no_secret_before_the_log_is_closed_either(tmp_path: Path) -> None:
    secret = IN_ENVIRONMENT["HF_TOKEN"]
    path = tmp_path / "llmbench.log"
    with captured(path, "INFO"):
        logging.getLogger("llmbench").info("a %s b", secret)
        assert path.read_text().endswith("a *** b\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("engine.args={hf_token: abcdefgh1, x: 2}", "engine.args={hf_token: ***, x: 2}"),
        ("++engine.args.api_key='a b'", "++engine.args.api_key=***"),
        ('{"password": "pw", "n": 1}', '{"password": ***, "n": 1}'),
        ("Authorization: Bearer abcdefgh1", "Authorization: Bearer ***"),
        ("https://host/x?token=abcdefgh1&n=1", "https://host/x?token=***&n=1"),
        ("git+ssh://git@host/x", "git+ssh://***@host/x"),
        ("hf_token=***", "hf_token=***"),
    ],
)
def test_settings_inside_sentences(text: str, shown: str) -> None:
    assert redaction.without_secrets(text) == shown
    assert redaction.without_secrets(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "benchmarks.aime.max_tokens=128",
        "profile.tokens=documented",
        "engine.api_key_env=OPENAI_API_KEY",
        "{api_key_env: OPENAI_API_KEY}",
        "benchmarks.aime.cue_tokens: 12345678",
        "tokenizer: /some/folder/of/a/model",
        "the stop token is <|im_end|>, its key: value",
        "eos_token: <|im_end|>",
        "an e-mail to me@example.invalid, at 12:30",
        "aime: the answer of row 3, '1000', is not an integer; fix the row.",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redaction.without_secrets(text) == text


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("HF_TOKEN", "abcdefgh", "***"),
        ("HF_TOKEN", "true", "true"),
        ("TOKENIZERS_PARALLELISM", "disabled-here", "disabled-here"),
        ("WANDB_IDENTITY_TOKEN_FILE", "/home/me/token", "/home/me/token"),
        ("SSH_KEY", "abcdefghi", "***"),
        ("MONKEY", "abcdefghi", "abcdefghi"),
        ("KEYBOARD", "abcdefghi", "abcdefghi"),
    ],
)
def test_which_variables_hold_secrets(
    name: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert redaction.without_secrets(value) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/x", "https://***@host/x"),
        ("https://ghp_token@host/x", "https://***@host/x"),
        ("redis://:pw@host:6379/0", "redis://***@host:6379/0"),
        ("https://me:1234@host/x", "https://***@host/x"),
        ("http://me:pw@[::1]:80/x", "http://***@[::1]:80/x"),
        ("https://me:p@ss@word@host:1/x", "https://***@host:1/x"),
        ("https://me:pa/ss@host/x", "https://***@host/x"),
        ("https://me:p@ss/word@host/x", "https://***@host/x"),
        ('https://me:p"ss@host/x', "https://***@host/x"),
        ("https://me:p?s#s@host/x", "https://***@host/x"),
        ("https:/me:pw@host/x", "https:/***@host/x"),
        ("s3:/me:p@s/s@bucket/x", "s3:/***@bucket/x"),
        ("/a/folder/https:/me:pw@host/x", "/a/folder/https:/***@host/x"),
        ("https:/ghp_token@host/x", "https:/***@host/x"),
        ("[https://me:pw@a/x,https://you:p/w@b/x]", "[https://***@a/x,https://***@b/x]"),
        ("'https://me:pw@a' and me@b", "'https://***@a' and me@b"),
        ('{"a":"https://me:p/w@a","b":"me@b"}', '{"a":"https://***@a","b":"me@b"}'),
        ("https://me:pw@host/a@b", "https://***@b"),  # too much rather than half a password
    ],
)
def test_logins_in_addresses(text: str, shown: str, tmp_path: Path) -> None:
    assert redaction.without_secrets(text) == shown
    assert redaction.without_secrets(shown) == shown
    (tmp_path / "log").write_text(text)
    redaction.scrub(tmp_path / "log")
    assert re.sub(r"\*+", "***", (tmp_path / "log").read_text()) == shown


@pytest.mark.parametrize(
    "text",
    [
        "an e-mail to me@example.invalid, see https://example.invalid/me",
        "http://host/a@b",
        "http://host/a:b@c",
        "http://host:8080/a@b",
        "http://host:8080/@scope/name@1.0",
        "http://[::1]:8080/a@b",
        "https:/host/a@b",
        "file:///folder/a:b@c",
        "/folder/a:b@c",
        "C:/me:you@host",
        "server:/export@today",
        "either:/me@host",
        "https://host and me:you@host",
        "https://host/x\nme:you@host",
        "12:30/me:you@host",
    ],
)
def test_addresses_without_a_login_stay(text: str, tmp_path: Path) -> None:
    assert redaction.without_secrets(text) == text
    (tmp_path / "log").write_text(text)
    redaction.scrub(tmp_path / "log")
    assert (tmp_path / "log").read_text() == text


@pytest.mark.parametrize(
    "piece", ["://", "a:/b", "ab://c:", "ab:/c:", "a@b", ":", "ab://c:d/", "https:/", '"', "@"]
)
def test_looking_for_logins_takes_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    with limited(60):  # what grows with the square would take hours
        redaction.without_secrets(text)


def test_passwords_of_addresses_are_known_where_others_show_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SERVER", "http://me:ty/tail5ecret@127.0.0.1:9")
    redaction.learn({"data_files": ["https://me:se%40cr3ts@host/x"]})
    said = "Max retries exceeded with url: /tail5ecret@127.0.0.1:9, and se@cr3ts was refused"
    assert redaction.without_secrets(said) == (
        "Max retries exceeded with url: /***@127.0.0.1:9, and *** was refused"
    )
    assert redaction.clean([said]) == [redaction.without_secrets(said)]
    assert redaction.without_values(said) == said  # prompts keep what may be plain words


@pytest.mark.parametrize(
    "setting",
    [
        "benchmarks.arithmetic.data_files='https://me:AddressCanary@host.invalid/x.jsonl'",
        "benchmarks.arithmetic.data_files='s3://me:ty/AddressCanary@bucket/x.jsonl'",
        "benchmarks.arithmetic.data_files=['https://me:ty@AddressCanary@host.invalid/x.jsonl']",
        "model.path=https://me:AddressCanary@host.invalid/m",
        "model.path='https://me:ty/AddressCanary@host.invalid/m'",
    ],
)
@pytest.mark.parametrize("engine", ["fake", "transformers"])
def test_addresses_for_files_keep_their_logins(
    setting: str, engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([f"engine={engine}", *FAKE[1:], setting]) in (0, 1)
    said = capfd.readouterr()
    assert "Canary" not in said.out + said.err
    assert found_in(tmp_path) == []


def test_questions_and_answers_with_addresses_stay(tmp_path: Path) -> None:
    question = "What is 1+1? Ask https://me:AddressOnly@host/a@b or https:/me:you@host."
    rows = json.dumps({"id": "1", "question": question, "answer": "2"})
    (tmp_path / "rows.jsonl").write_text(rows)
    assert main(["engine=fake", "benchmark=gsm8k", "benchmarks.gsm8k.data_files=rows.jsonl"]) == 0
    (line,) = (run_of(tmp_path) / "samples.jsonl").read_text().splitlines()
    assert question in json.loads(line)["prompt"]


def test_data_of_any_shape_keeps_its_shape() -> None:
    data: Any = {
        "tokens": "documented",
        "hf_token": TYPED,
        "a": [1, None, 2.5, True, {"api_key": "short"}, ("x", IN_ENVIRONMENT["HF_TOKEN"])],
        7: "https://me:pw@h",
    }
    assert redaction.clean(data) == {
        "tokens": "documented",
        "hf_token": "***",
        "a": [1, None, 2.5, True, {"api_key": "***"}, ["x", "***"]],
        7: "https://***@h",
    }


def test_the_name_of_a_variable_with_a_secret_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PROVIDER", "sesame-sesame")
    told = [
        "engine.api_key_env=MY_PROVIDER",
        "engine.headers_env={Authorization: MY_PROVIDER, X-Api-Key: 'MY_PROVIDER'}",
    ]
    assert [redaction.without_secrets(text) for text in told] == told
    data = {
        "headers_env": {"Authorization": "MY_PROVIDER", "X-Api-Key": "NOT_SET_HERE"},
        "api_key_env": "NOT_SET_HERE",
    }
    redaction.learn(data)
    assert redaction.clean(data) == data
    assert redaction.without_secrets("NOT_SET_HERE") == "NOT_SET_HERE"
    assert (
        redaction.without_secrets("engine.api_key_env=ANOTHER_ONE is refused")
        == "engine.api_key_env=ANOTHER_ONE is refused"
    )
    assert redaction.without_secrets("api_key=sesame-sesame") == "api_key=***"
    assert redaction.without_secrets("api_key=ANOTHER_ONE") == "api_key=***"
