"""A secret in the environment, used in a spec in right and wrong places, is found nowhere afterwards."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import plugged
import pytest

from ftspec import api, hosted, items
from ftspec.cli import crash, guard
from ftspec.common.errors import FtspecError
from ftspec.common.references import Mask, mask, resolve
from ftspec.contracts.components import Component
from ftspec.files.fetching import public
from ftspec.registry import Loaded, Registry
from ftspec.spec import Item

VALUE = "sk-live-Zq81LmPv0aTq"

SPEC = """\
version: 1
name: secretive
sources:
  - examples: {rows: [{prompt: one, completion: "1"}, {prompt: two, completion: "2"}]}
format: {prompt_completion: {}}
provider: {simulated: {seconds_per_step: 0.0, idle: 5}}
model: some-model
eval:
  prompts:
    - examples: {rows: [{prompt: three, completion: "3"}]}
  graders:
    - exact: {text: "${secret:API_KEY}"}
    - contains: {any: ["${secret:API_KEY}", "3"]}
gates:
  - accuracy: {min: 0.5, evidence: estimate}
"""

WRONG = [
    "name=${secret:API_KEY}",
    "model=${secret:API_KEY}",
    "hyperparameters.epochs=${secret:API_KEY}",
    "provider.simulated.outcome=${secret:API_KEY}",
    "gates[0].accuracy.min=${secret:API_KEY}",
    "sources[0].examples.rows[0].prompt=${secret:API_KEY}",
    "format.prompt_completion.system=${secret:API_KEY}",
    f"hyperparameters.epochs={VALUE}",
    f"provider.simulated.outcome={VALUE}",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def ftspec(folder: Path, *arguments: str, **environment: str) -> str:
    """Standard output and error of a command, with the secret set."""
    done = subprocess.run(
        [sys.executable, "-m", "ftspec", *arguments],
        cwd=folder,
        env=os.environ | {"API_KEY": VALUE, "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def found_in(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and VALUE.encode() in path.read_bytes()]


def test_a_secret_in_its_place_is_found_nowhere(folder: Path) -> None:
    said = "".join(
        ftspec(folder, *command.split())
        for command in (
            "validate spec.yaml",
            "validate spec.yaml --format json",
            "plan spec.yaml",
            "plan spec.yaml --format json",
            "run spec.yaml",
            "run spec.yaml --format json",
            "status spec.yaml",
            "logs spec.yaml",
            "model show spec.yaml",
            "report spec.yaml",
            "runs",
        )
    )
    assert "accuracy" in said, said
    assert VALUE not in said
    assert list(folder.glob(".ftspec/runs/*/report/report.html"))
    assert found_in(folder) == []


KEY = "sk-proj-Zq81LmPv0aTqXw37RbYn52Hc"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"Incorrect API key provided: {KEY}. See", "Incorrect API key provided: ***. See"),
        (f"key {KEY[:20]} is revoked", "key *** is revoked"),
        (f"key {KEY[-14:]} is revoked", "key *** is revoked"),
        (f"key ({KEY[3:19]}), {KEY[3:19]}", "key (***), ***"),
        ("Incorrect API key provided: sk-proj-********52Hc.", "Incorrect API key provided: ***."),
        ("key sk-pr...52Hc is revoked", "key *** is revoked"),
        ("key=sk-proj-Zq…", "key=***"),
        ("waiting... for sk-other-*** and so on", "waiting... for sk-other-*** and so on"),
        ("sk-proj is the beginning of every key", "sk-proj is the beginning of every key"),
    ],
)
def test_parts_of_a_key_are_masked_as_well(monkeypatch: pytest.MonkeyPatch, said: str, shown: str) -> None:
    monkeypatch.setenv("PARTS", KEY)
    assert Mask(["PARTS"])(said) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("headers={'Authorization': 'Bearer ya29.a0AfB_byC1-x/yz=='}", "headers={'Authorization': 'Bearer ***'}"),
        ("authorization: bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "authorization: bearer ***"),
        ("b'x-amz-security-token', b'IQoJb3JpZ2luX2VjEJr//wEa'", "b'x-amz-security-token', b'***'"),
        ("Basic authentication is what the realm wants", "Basic authentication is what the realm wants"),
        ("the bearer of internationalization-standards", "the bearer of internationalization-standards"),
        ("Basic internationalization-standards", "Basic internationalization-standards"),
    ],
)
def test_what_a_request_was_let_in_by_is_masked_though_nobody_knows_it(said: str, shown: str) -> None:
    """A token that a library got for itself, in an error that repeats the headers."""
    assert mask(said) == shown


@pytest.mark.parametrize("value", [" abc12345678", "abc1234\n", "\t sk-live-998877665544 "])
def test_a_key_is_masked_as_a_header_carries_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PARTS", value)
    assert Mask(["PARTS"])(f'{{"key": "{hosted.key("${secret:PARTS}")}"}}') == '{"key": "***"}'


ODD = 'live/Zq81+Lm"Pv0\\aTqWx93Rb'
"""A key with what other formats escape."""


@pytest.mark.parametrize(
    "written",
    [
        json.dumps({"authorization": f"Bearer {ODD}"}),
        json.dumps(["é", ODD], ensure_ascii=False),
        repr({"key": ODD}),
        json.dumps({"body": json.dumps({"key": ODD})}),
        json.dumps(ODD).replace("/", r"\/"),
        f"<p>{html.escape(ODD)}</p>",
        f"<p>{html.escape(ODD, quote=False)}</p>",
        re.sub("%..", lambda match: match[0].lower(), f"/v1?key={quote(ODD, safe='')}"),
        f"/v1?next={quote('/v1?key=' + quote(ODD, safe=''), safe='')}",
        ODD.encode().hex(),
        f"/v1?key={quote(ODD, safe='')}",
        f"/v1?key={quote(ODD)}",
        *(f"Basic {base64.b64encode(f'{user}:{ODD}'.encode()).decode()}" for user in ("me", "you", "them")),
        base64.urlsafe_b64encode(ODD.encode()).decode()[:-6],
    ],
)
def test_a_key_is_masked_as_other_formats_write_it(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("PARTS", ODD)
    shown = Mask(["PARTS"])(written)
    assert "***" in shown
    for form in (ODD, "Zq81", "aTqWx93Rb", *(base64.b64encode(ODD[at:].encode()).decode()[4:12] for at in range(3))):
        assert form not in shown


@pytest.mark.parametrize("written", [ascii, str.encode, lambda value: json.dumps(value).encode()])
def test_a_password_that_is_not_ascii_is_masked_as_python_spells_it(
    monkeypatch: pytest.MonkeyPatch, written: Callable[[str], object]
) -> None:
    monkeypatch.setenv("PARTS", "pässwört-für-x")
    assert Mask(["PARTS"])(f"it said {written('pässwört-für-x')!s}").replace('"', "'") in (
        "it said '***'",
        "it said b'***'",
        "it said b''***''",
    )


def test_a_short_password_is_masked_in_a_header_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTS", "hunter2")
    assert Mask(["PARTS"])(f"{base64.b64encode(b'me:hunter2').decode()} hunter2").startswith("bWU6***")


@pytest.mark.parametrize("value", ["a", "x1", "none", "EMPTY", "2024", "test\n"])
def test_what_could_be_any_word_is_not_masked_but_warned_of(
    value: str, validated: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"a": null, "x1": "none, EMPTY", "year": 2024, "side": "test"}'
    monkeypatch.setenv("PARTS", value)
    assert Mask(["PARTS"])(text) == text
    said = validated("--set", "provider.openai.api_key=${secret:PARTS}")
    assert ": warning: the value of PARTS is short enough to be any word" in said


@pytest.mark.parametrize("value", ["s3cr", "kitten", "271828", "two w"])
def test_what_is_short_and_could_be_none_is_masked(
    value: str, validated: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTS", value)
    assert Mask(["PARTS"])(f"it is {value}!") == "it is ***!"
    assert "short enough" not in validated("--set", "provider.openai.api_key=${secret:PARTS}")


def test_of_an_address_that_is_a_secret_its_password_is_masked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PARTS", "postgresql://reader:s3cr%40t-one@db/shop?sslmode=verify-full&sslpassword=another-s3cret"
    )
    masked = Mask(["PARTS"])
    assert masked("no reader s3cr@t-one, s3cr%40t-one at db") == "no reader ***, *** at db"
    assert masked("verify-full another-s3cret") == "verify-full ***"


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Expires=300&X-Amz-Security-Token={}&X-Amz-Signature={}",
        "GoogleAccessId=me&Expires=1&Signature={}",
        "X-Goog-Signature={}",
        "sv=2024-11-04&sp=r&sig={}",
    ],
)
def test_a_signed_address_is_shown_without_its_signature(query: str) -> None:
    signature = "3f9c0a1b7d5e%2Bq8"
    shown = mask(f'cannot PUT <a href="https://bucket/a.jsonl?{query.format(*[signature] * 2)}">: 403')
    assert signature not in shown
    assert shown.startswith('cannot PUT <a href="https://bucket/a.jsonl?')
    assert shown.endswith('=***">: 403')


RAW = "p@ss/w#rd?%41[x] y"
"""A password as somebody chose it: in an address most of it would be a host, a path and a query."""


@pytest.mark.parametrize(
    ("written", "value", "filled"),
    [
        ("https://me:${secret:PW}@host/a", RAW, f"https://me:{quote(RAW, safe='')}@host/a"),
        ("postgresql+psycopg://${secret:PW}:x${secret:PW}@host/a", "a/b", "postgresql+psycopg://a%2Fb:xa%2Fb@host/a"),
        ("https://me:${secret:PW}@host/a", "wr%40itten+so", "https://me:wr%40itten+so@host/a"),
        ("https://host/@v1?sig=${secret:PW}", "a/b#c", "https://host/@v1?sig=a/b#c"),
        ("${secret:PW}", "https://me:p@ss@host", "https://me:p@ss@host"),
        ("Basic ${secret:PW}", RAW, f"Basic {RAW}"),
    ],
)
def test_a_password_is_filled_into_an_address_as_addresses_have_it(written: str, value: str, filled: str) -> None:
    assert resolve(written, {"PW": value}, sent=False) == filled
    assert not ("me:${secret:PW}@host" in written and "ss" in public(filled))


def test_secrets_are_filled_in_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "names", set())
    monkeypatch.setattr(mask, "servers", set())
    set_here = {"ONE": "first-1", "TWO": "second-2", "EMPTY": ""}
    value = {"a": ["${secret:ONE}", ("x-${secret:TWO}", 5)], "${secret:KEY}": {"b": "${secret:ONE}${secret:TWO}"}}
    filled = {"a": ["first-1", ["x-second-2", 5]], "${secret:KEY}": {"b": "first-1second-2"}}
    assert resolve(value, set_here, sent=False) == filled
    assert (mask.names, mask.servers) == ({"ONE", "TWO"}, set())
    resolve("${secret:ONE}", set_here)
    assert mask.servers == {"ONE"}
    for lacking, message, hint in (
        (
            ["${secret:NONE_B}", ("${secret:ONE}", {"c": "${secret:NONE_A}"})],
            "s not set: NONE_A, NONE_B",
            "set the env",
        ),
        ("${secret:NONE_A}", " not set: NONE_A", "set the env"),
        ("${secret:EMPTY}${secret:NONE_A}", "s not set: EMPTY, NONE_A", "the environment variable of that name is em"),
    ):
        with pytest.raises(FtspecError) as told:
            resolve(lacking, set_here)
        assert told.value.message == f"secret{message}"
        assert told.value.hint.startswith(hint)


def test_a_process_that_needs_no_secret_is_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "names", {"NAMED"})
    kept = {"PATH": "/bin", "HOME": "/root", "PROXY": "http://proxy:3128"}
    given = {**kept, "NAMED": VALUE, "HF_TOKEN": "x", "DATABASE_URL": "postgresql://me:secret@db/shop"}
    assert api.without_secrets(given) == kept
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert given.keys() & api.without_secrets().keys() == kept.keys()


def test_of_what_a_model_answers_keys_of_servers_alone_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What graders look for stays: words, beginnings of keys, and secrets that no server was sent."""
    asked = Mask(["UNSENT"])
    asked.servers = {"SENT", "WORD", "LEAST"}
    values = {"UNSENT": "an-unsent-secret", "SENT": f" {VALUE}\n", "WORD": "a-password1", "LEAST": "a-password12"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    said = f"{VALUE}, a-password12: a-password1 an-unsent-secret sk-live..."
    assert asked.answers()(said) == "***, ***: a-password1 an-unsent-secret sk-live..."


def test_what_libraries_read_of_the_environment_is_masked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("")
    told = {"HF_TOKEN": "hf-Zq81LmPv0aTq", "AWS_SECRET_ACCESS_KEY": "/Zq81LmPv0/Tq93kX", "PROXIED_TOKEN": str(file)}
    for name, value in {
        **told,
        "PGPASSWORD": "Zq81-LmPv0aTq",
        "DATABASE_URL": "postgresql://me:data%2Dbase-pass@db/shop",
        "DEVELOPING": "postgresql://me:password@db/shop",
        "HTTPS_PROXY": "http://me:pr0xy-pass@proxy:3128",
        "MY_KEYBOARD": "qwertzuiopasdf",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json"),
    }.items():
        monkeypatch.setenv(name, value)
    assert Mask()("Zq81-LmPv0aTq, data-base-pass, data%2Dbase-pass, a password") == "***, ***, ***, a password"
    said = Mask()(f"{' '.join(told.values())} http://me:pr0xy-pass@proxy:3128 qwertzuiopasdf")
    assert said == f"*** *** {file} http://me:***@proxy:3128 qwertzuiopasdf"
    assert Mask()(f"no file {tmp_path}/none.json") == f"no file {tmp_path}/none.json"


def test_masking_a_long_text_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTS", KEY)
    text = "A" * 300_000
    began = time.process_time()
    assert Mask(["PARTS"])(text) == text
    assert time.process_time() - began < 5


@pytest.mark.parametrize("override", WRONG)
@pytest.mark.parametrize("format_", ["text", "json", "github"])
def test_a_secret_in_a_wrong_place_is_shown_nowhere(folder: Path, override: str, format_: str) -> None:
    said = ftspec(folder, "validate", "spec.yaml", "--format", format_, "--set", override)
    assert VALUE not in said
    assert "***" in said or "${secret:API_KEY}" in said
    assert found_in(folder) == []


def test_a_secret_in_a_wrong_place_of_the_file_is_shown_nowhere(folder: Path) -> None:
    spec = folder / "spec.yaml"
    spec.write_text(
        SPEC.replace("name: secretive", "name: ${secret:API_KEY}").replace("min: 0.5", "min: '${secret:API_KEY}'")
    )
    for command in ("validate", "plan", "run"):
        said = ftspec(folder, command, "spec.yaml")
        assert "spec.yaml:2:" in said, said
        assert VALUE not in said
    assert found_in(folder) == []


def with_plugin(folder: Path, code: str, *arguments: str) -> str:
    """What a command says where this code is installed as a plugin, as site/leaky.py."""
    plugged.install(folder / "site", "leaky", "leaky", "leaky", code)
    return ftspec(folder, *arguments, PYTHONPATH=str(folder / "site"))


def test_what_a_plugin_prints_in_another_process_is_masked(folder: Path) -> None:
    """As a whole and in pieces."""
    code = (
        "import sys\n"
        "from ftspec import api\n"
        "@api.row_step\n"
        "def leaky(*, key: api.Secret = ''):\n"
        "    '''Prints its key.'''\n"
        "    def of_row(row):\n"
        "        print('printed', key, flush=True)\n"
        "        for piece in ('in pieces ', *key, '\\n'):\n"
        "            sys.stderr.write(piece)\n"
        "        return row\n"
        "    return of_row\n"
        "@api.hookimpl\n"
        "def ftspec_cleaners():\n"
        "    return {'leaky': leaky}\n"
    )
    steps = "cleaning:\n  - leaky: {key: '${secret:API_KEY}'}\nengine: {threads: {processes: always, workers: 2}}\n"
    (folder / "spec.yaml").write_text(SPEC.replace("format:", f"{steps}format:"))
    said = with_plugin(folder, code, "run", "spec.yaml", "--until", "data")
    assert "printed ***" in said and "in pieces ***" in said
    assert VALUE not in said


def test_what_a_plugin_finds_fault_with_is_kept_without_its_secret(folder: Path) -> None:
    """Warnings are kept with the data, and reasons of rows that were set aside in a file."""
    code = (
        "from ftspec import api, rows\n"
        "@api.source\n"
        "def leaky(*, key: str = ''):\n"
        "    '''Tells its key.'''\n"
        "    def read():\n"
        "        for line in range(1, 9):\n"
        "            yield api.Finding(message=f'no row by {key}', hint=f'take {key}', file='kept.jsonl', line=line)\n"
        "        yield api.Chunk(rows.from_dicts([{'prompt': 'one', 'completion': '1'}] * 8), 'kept.jsonl', [9] * 8)\n"
        "    return api.Source(read)\n"
        "@api.hookimpl\n"
        "def ftspec_sources():\n"
        "    return {'leaky': leaky}\n"
    )
    source = "  - leaky: {key: '${secret:API_KEY}'}\n    on_error: skip\n"
    (folder / "spec.yaml").write_text(SPEC.replace("sources:\n", f"sources:\n{source}"))
    said = with_plugin(folder, code, "run", "spec.yaml", "--until", "data")
    assert "warnings about the data" in said, said
    shown = ftspec(folder, "data", "show", "spec.yaml", PYTHONPATH=str(folder / "site"))
    assert "no row by ***; take ***" in shown and "no row by *** (in 3 more rows)" in shown
    assert any(b"no row by ***" in path.read_bytes() for path in folder.glob(".ftspec/blobs/*"))
    assert found_in(folder) == []


def test_a_bug_report_hides_the_secret(folder: Path) -> None:
    """A plugin that raises with the secret in its message, and prints, warns of and logs it before: neither the log
    nor the screen shows it."""
    code = (
        "import logging, sys, threading, warnings\n"
        "from ftspec import api\n"
        "def leaky(*, key: str = '') -> api.Source:\n"
        "    '''Fails with its key in the message.'''\n"
        "    def fail(where):\n"
        "        raise RuntimeError(f'{where} with {key}')\n"
        "    def read():\n"
        "        print('printed', key)\n"
        "        sys.stderr.writelines(['written ', key])\n"
        "        warnings.warn('warned of ' + key)\n"
        "        logging.getLogger('leaky').warning('logged %s', key)\n"
        "        thread = threading.Thread(target=fail, args=['ended a thread'])\n"
        "        thread.start()\n"
        "        thread.join()\n"
        "        fail('cannot log in')\n"
        "    return api.Source(read)\n"
        "@api.hookimpl\n"
        "def ftspec_sources():\n"
        "    return {'leaky': api.source(leaky)}\n"
    )
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.replace("sources:\n", "sources:\n  - leaky: {key: '${secret:API_KEY}'}\n"))
    said = with_plugin(folder, code, "run", "spec.yaml")
    for how in ("printed", "written", "warned of", "logged", "ended a thread with", "cannot log in with"):
        assert f"{how} ***" in said, said
    assert VALUE not in said
    assert found_in(folder) == []


def test_a_bug_report_hides_what_was_typed_for_an_option_that_is_called_like_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["run", "spec.yaml", "--set", "provider.openai.api_key=hunter2", "--set=model=gpt", "--set=a.token=hunter2"]
    said = crash.write_log(RuntimeError("no"), typed).read_text()
    assert "--set provider.openai.api_key=*** --set=model=gpt --set=a.token=***" in said


def test_what_outlives_a_run_was_given_no_secret(folder: Path) -> None:
    """The simulated tuner's process goes on for a while; its environment can be read as long."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("reads the environment of processes under /proc")
    said = ftspec(folder, "run", "spec.yaml", HTTPS_PROXY="http://me:pr0xy-pass@127.0.0.1:9", PLAIN_NAME="kept")
    assert "accuracy" in said, said
    [process] = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in unread(path)]
    given = unread(process / "environ")
    assert b"PLAIN_NAME=kept" in given
    assert VALUE.encode() not in given
    assert b"pr0xy-pass" not in given


def unread(path: Path) -> bytes:
    """What is in it; nothing where it has gone, or is somebody else's."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_provider_gets_the_reference_and_resolves_it_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Written or by default: a plan needs no secret, and a resolved one is masked from then on."""

    class Hosted:
        """A tuner far away."""

        def __init__(self, *, key: str = "${secret:DEFAULT_KEY}", other: str = "") -> None:
            self.options = key, other

    registry = Registry()
    registry.components["provider"]["hosted"] = Loaded(Component("provider", Hosted), "suite", "0", "suite")
    item = Item(kind="provider", name="hosted", options={"other": "${secret:OTHER_KEY}"})
    monkeypatch.delenv("DEFAULT_KEY", raising=False)
    monkeypatch.delenv("OTHER_KEY", raising=False)
    assert items.build(item, registry, tmp_path).options == ("${secret:DEFAULT_KEY}", "${secret:OTHER_KEY}")
    with pytest.raises(api.FtspecError, match="DEFAULT_KEY"):
        api.resolve("${secret:DEFAULT_KEY}")
    monkeypatch.setenv("DEFAULT_KEY", VALUE)
    assert api.resolve("Bearer ${secret:DEFAULT_KEY}") == f"Bearer {VALUE}"
    assert mask(f"it said {VALUE}") == "it said ***"


def key(*parts: str) -> str:
    """Put together here, so that nobody's scanner finds a key in this file."""
    return "".join(parts)


PLAIN = {
    "of OpenAI": ("provider.openai.api_key=", key("sk-", "proj-", "Zq81LmPv0aTq93kX7dWm2Rt5"), "write ${secret:NAME}"),
    "of another vendor": ("provider.openai.suffix=", key("gs", "k_", "Zq81LmPv0aTq" * 4), "write ${secret:NAME}"),
    "behind a name": ("provider.openai.api_key=", "0f3c9b81d2e64a57a9c0", "write ${secret:NAME}"),
    "in a prompt": ("format.prompt_completion.system=Use ", key("AK", "IA", "QYLPMN5HHHFPZAM2"), "take it out"),
    "of an address": ("provider.openai.base_url=https://me:", "Zq81-LmPv0aTq", "take it out"),
    "that signs": (
        "sources[0].jsonl=https://host/a.jsonl?X-Amz-Signature=",
        "0f3c9b81d2e64a57%2Bc0",
        "write ${secret:NAME}",
    ),
    "of a source": ("sources[0].jsonl=https://me:", "Zq81-LmPv0aTq", "write ${secret:NAME}"),
}


@pytest.fixture
def validated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What `ftspec validate` says of a spec for openai with overrides and options."""
    monkeypatch.setattr(mask, "literals", set())

    def said(*arguments: str, more: str = "") -> str:
        spec = MISSING.replace("simulated: {seconds_per_step: 0.0, idle: 5}", "openai: {suffix: a}")
        (tmp_path / "spec.yaml").write_text(spec + more)
        guard.run(["validate", str(tmp_path / "spec.yaml"), *arguments])
        return "".join(capsys.readouterr())

    return said


@pytest.mark.parametrize(("place", "secret", "hint"), PLAIN.values(), ids=list(PLAIN))
def test_a_secret_in_plain_is_told_and_not_shown(
    validated: Callable[..., str], place: str, secret: str, hint: str
) -> None:
    path, _, before = place.partition("=")
    override = f"{path}={before}{secret}" + ("@host/v1" if before.endswith(":") else "")
    for format_ in ("text", "json", "github"):
        said = validated("--format", format_, "--set", override)
        assert "this looks like a secret" in said
        assert hint in said
        assert secret not in said
        if format_ != "json":
            assert bool(re.search("warning.*this looks", said)) == path.startswith("format.")
    twice = validated("--set", override, more=f"name: {secret}\n")  # an error shows the line
    assert "'name' is given twice" in twice
    assert secret not in twice


def test_a_secret_typed_with_set_reaches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mask, "literals", set())
    secret = key("sk-", "proj-", "Zq81LmPv0aTq93kX7dWm2Rt5")
    spec = tmp_path / "spec.yaml"
    spec.write_text(MISSING.replace("simulated: {seconds_per_step: 0.0, idle: 5}", "openai: {}"))
    override = ("--set", f"provider.openai.api_key={secret}")
    assert guard.run(["run", str(spec), "--until", "data", *override]) == 1
    said = "".join(capsys.readouterr())
    assert "write ${secret:NAME} in its place" in said
    assert secret not in said
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_text(errors="replace")]


def test_a_store_with_credentials_in_its_address_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(MISSING)
    for address in ("s3://me:hunter2@bucket/x", "gs://bucket/x?token=hunter2"):
        for command in ("run", "plan", "status"):
            assert guard.run([command, str(spec), "--store", address]) == 1
            said = "".join(capsys.readouterr())
            assert "an address of a store holds no credentials" in said
            assert "hunter2" not in said


def test_a_short_password_in_an_address_is_only_warned_of(validated: Callable[..., str]) -> None:
    said = validated("--set", "provider.openai.base_url=http://me:pa55word@127.0.0.1:8080/v1")
    assert ": warning: this looks like a secret" in said


def test_a_secret_by_an_environment_reference_is_refused_by_the_variables_name(
    validated: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would enter digests and records, whatever it looks like."""
    monkeypatch.setenv("GATEWAY_PASSWORD", "correct-horse-battery")
    monkeypatch.setenv("GATEWAY_USER", "correct-horse-reader")
    for override in (
        "provider.openai.api_key=${env:GATEWAY_PASSWORD}",
        "provider.openai.api_key=x${env:GATEWAY_PASSWORD}",
    ):
        said = validated("--set", override)
        assert "write ${secret:NAME} in its place" in said
        assert "warning" not in said
        assert "correct-horse" not in said
    assert "looks like" not in validated("--set", "provider.openai.organization=${env:GATEWAY_USER}")


def test_a_made_up_key_that_no_model_should_say_is_only_warned_of(validated: Callable[..., str]) -> None:
    made_up = key("AK", "IA", "QYLPMN5HHHFPZAM2")
    said = validated("--set", f"eval.graders[0].contains.any=[{made_up}]")
    assert ": warning: this looks like a secret" in said
    judged = f"eval.graders[0]={{llm_judge: {{provider: {{openai: {{api_key: {made_up}}}}}, model: m, rubric: good}}}}"
    said = validated("--set", judged)
    assert "this looks like a secret" in said
    assert "warning: this looks" not in said


def test_a_long_secret_of_the_environment_that_begins_as_a_path_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's session tokens are base64, and longer than a file's name may be."""
    token = "/" + "Zq81LmPv0aTq93kX" * 40
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    assert mask(f"sent {token}") == "sent ***"


def test_a_gateways_header_takes_a_reference_and_an_address_none(validated: Callable[..., str]) -> None:
    override = "provider={openai-compatible: {base_url: '%s', headers: {X-Key: '${secret:SOME_KEY}'}}}"
    assert "cannot hold" not in validated("--set", override % "https://h/v1")
    said = validated("--set", override % "https://me:${secret:SOME_KEY}@h/v1")
    assert "option 'base_url' of provider 'openai-compatible' cannot hold a secret" in said


NO_SECRETS = [
    "provider.openai.token_column=message_2026_tokens_AB12",
    "provider.openai.api_key=none",
    "provider.openai.api_key=${secret:OPENAI_API_KEY_2026}",
    "model=meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
    "provider.openai.base_url=http://me:${secret:PASSWORD_1}@host:8080/v1",
    "format.prompt_completion.system=The api_key is what you got on 2026-11-22 under /keys/of/Tenant-0123456789.",
]


@pytest.mark.parametrize("override", NO_SECRETS)
def test_what_is_no_secret_is_not_warned_of(validated: Callable[..., str], override: str) -> None:
    assert "looks like" not in validated("--set", override)


MISSING = """\
version: 1
name: secretive
sources:
  - examples: {rows: [{prompt: one, completion: "1"}]}
cleaning:
  - redact: {placeholders: dataset, key: "${secret:REDACT_KEY}"}
format: {prompt_completion: {}}
provider: {simulated: {seconds_per_step: 0.0, idle: 5}}
model: some-model
eval:
  prompts:
    - examples: {rows: [{prompt: three, completion: "3"}]}
  graders:
    - contains: {any: ["3", "x${secret:FIRST_KEY}${secret:SECOND_KEY}"]}
"""


def test_secrets_that_are_not_set_are_told_at_their_places(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(MISSING)
    said = ftspec(tmp_path, "run", "spec.yaml", REDACT_KEY="")
    assert "spec.yaml:6:42: secret not set: REDACT_KEY; the environment variable of that name is empty" in said
    assert "spec.yaml:14:29: secret not set: FIRST_KEY; set the environment variable" in said
    assert "spec.yaml:14:29: secret not set: SECOND_KEY; set the environment variable" in said
    assert not (tmp_path / ".ftspec").exists()


JUDGE = 'llm_judge: {provider: openai, model: m, rubric: "It is 3."}'
"""Its key is the option's default, which nobody has set."""
JUDGED = f"""\
version: 1
name: judged
sources:
  - examples: {{rows: [{{prompt: one, completion: "1"}}]}}
format: {{prompt_completion: {{}}}}
provider: {{simulated: {{seconds_per_step: 0.0, idle: 5}}}}
model: some-model
hyperparameters: {{epochs: 1}}
eval:
  prompts:
    - examples: {{rows: [{{prompt: three, completion: "3", checks: [{{{JUDGE}}}]}}]}}
  graders:
    - exact
"""


@pytest.mark.parametrize(
    ("graders", "said"),
    [
        (f"    - exact\n    - {JUDGE}\n", "spec.yaml:14:19: secret not set: OPENAI_API_KEY"),
        ("    - exact\n  asserts: checks\n", "a judge that prompts bring along in 'checks' needs OPENAI_API_KEY"),
    ],
    ids=["the spec's", "a prompt's"],
)
def test_a_judges_key_is_missed_before_the_tuning_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graders: str, said: str
) -> None:
    """The data are known already, so nothing but the judge is looked at."""
    pytest.importorskip("ftspec_openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    file = tmp_path / "spec.yaml"
    file.write_text(JUDGED)
    assert "submitted job" in ftspec(tmp_path, "run", "spec.yaml")
    file.write_text(JUDGED.replace("    - exact\n", graders).replace("epochs: 1", "epochs: 2"))
    shown = ftspec(tmp_path, "run", "spec.yaml")
    assert said in shown
    assert "submitted job" not in shown
