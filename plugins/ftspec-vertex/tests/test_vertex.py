"""The life of a job on Vertex AI, over real HTTP, against a server held to Google's own discovery document."""

import base64
from functools import partial

import msgspec
import pytest
from ftspec_vertex import chat, contents, vertex
from ftspec_vertex.google import calling
from google.auth.exceptions import RefreshError, TransportError
from google.genai import types
from servers import orders
from servers.orders import JOB_KEY, PNG, asked, said
from servers.proxy import Fault, Operation
from vertex_server import PARENT, TOKEN, Vertex, faults_of, schema

from ftspec import api, hosted
from ftspec.testing import ProviderSuite

OPERATIONS = (
    Operation("upload", "POST", "/upload/storage/.*"),
    Operation("create", "POST", "(/v1beta1)?.*/tuningJobs"),
    Operation("find", "GET", "(/v1beta1)?.*/tuningJobs"),
    Operation("poll", "GET", "(/v1beta1)?.*/tuningJobs/[^/:]+"),
    Operation("cancel", "POST", "(/v1beta1)?.*/tuningJobs/[^/]+:cancel"),
    Operation("chat", "POST", ".*:generateContent"),
)
MODEL = "gemini-2.5-flash"


def options(url, **more):
    where = {"base_url": url, "storage_url": url, "gcs": "gs://team/tuning", "project": "proj"}
    return {**where, "access_token": "${secret:FTSPEC_TEST_TOKEN}", "timeout": 2.0, **more}


class TestVertex(ProviderSuite):
    component = vertex
    model = MODEL
    hyperparameters = {"epochs": 2, "lora": {"rank": 8}, "learning_rate_multiplier": 0.5}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def project(cls):
        with Vertex() as own, pytest.MonkeyPatch.context() as patch:
            patch.setenv("FTSPEC_TEST_TOKEN", TOKEN)
            cls.options = options(own.url, timeout=20.0)
            yield
            assert own.problems == []

    def test_the_job_told_its_loss(self, world):
        pytest.skip("Vertex AI shows losses in its own console only")


class TestPreferencePairs(TestVertex):
    method = "dpo"
    hyperparameters = {"epochs": 1}


@pytest.fixture
def provider(server):
    yield vertex.build(options(server.url))
    assert server.problems == []


request_ = partial(orders.request, vertex, MODEL)


def uploaded(provider, tmp_path, request=None):
    return orders.uploaded(provider, tmp_path, request or request_())


def test_rows():
    brief = api.Example(messages=[said("system", "short"), said("user", "hi"), said("assistant", "ho")])
    assert contents.line("sft", brief) == {
        "systemInstruction": {"role": "system", "parts": [{"text": "short"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "ho"}]}],
    }
    good, bad = [said("assistant", "good")], [said("assistant", "bad")]
    pair = contents.line("dpo", api.Example(messages=[said("user", "hi")], chosen=good, rejected=bad))
    assert [(one["score"], one["completion"]["parts"][0]["text"]) for one in pair["completions"]] == [
        (1, "good"),
        (0, "bad"),
    ]
    for wrong in ([said("user", "hi")], [said("user", "hi"), said("assistant", "ho", weight=0.0)], [said("tool", "x")]):
        with pytest.raises(hosted.Unfit):
            contents.line("sft", api.Example(messages=wrong))


def test_images_are_files_by_their_address_as_google_describes_them():
    urls = ["gs://bucket/a b/cat.JPG", "https://example.com/cat.heic?size=1"]
    line = contents.line("sft", api.Example(messages=[asked(*urls), said("assistant", "a cat")]))
    assert line["contents"][0]["parts"] == [
        {"text": "what is it?"},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": urls[0]}},
        {"fileData": {"mimeType": "image/heic", "fileUri": urls[1]}},
    ]
    for turn in line["contents"]:
        assert faults_of({"$ref": schema("Content")}, turn) == []
        assert types.Content.model_validate(turn).model_dump(by_alias=True, exclude_none=True) == turn


@pytest.mark.parametrize(
    ("method", "message", "reason"),
    [
        ("sft", asked(PNG), "tunes on images at an address"),
        ("sft", asked("https://[x/cat.png"), "address is none"),
        ("sft", asked("gs://bucket/cat"), "does not tell its type"),
        ("sft", asked("gs://bucket/cat.gif"), "an image is image/gif"),
        ("sft", asked("gs://bucket/cat.png", role="system"), "only text can be sent"),
        ("dpo", asked("gs://bucket/cat.png"), "takes texts alone"),
    ],
)
def test_images_that_vertex_does_not_take_are_named(method, message, reason):
    more = {"chosen": [said("assistant", "a")], "rejected": [said("assistant", "b")]} if method == "dpo" else {}
    with pytest.raises(hosted.Unfit, match=reason):
        contents.line(method, api.Example(messages=[message, said("user", "?"), said("assistant", "a cat")], **more))


def test_a_model_is_asked_with_images_of_the_row_and_at_addresses():
    prompt = api.Prompt(id="p", messages=[asked(PNG, "gs://bucket/cat.png")])
    body = chat.body(api.Question(prompt=prompt), api.Generation())
    sent = types.Content.model_validate(body["contents"][0])
    assert sent.parts[1].inline_data.data == base64.b64decode(PNG.partition(",")[2])
    assert sent.parts[2].file_data.file_uri == "gs://bucket/cat.png"
    assert faults_of({"$ref": schema("Content")}, body["contents"][0]) == []


def test_a_file_that_is_there_is_not_uploaded_again(server, provider, tmp_path):
    assert uploaded(provider, tmp_path) == uploaded(provider, tmp_path)
    assert sum(path.startswith("/upload") for _, path in server.calls) == 1


@pytest.mark.parametrize("fault", ["lost", "broken", "500", "409"])
def test_a_submission_of_which_nothing_is_heard_is_found_and_not_repeated(server, proxied, tmp_path, fault):
    proxy = proxied(server.url, OPERATIONS)
    through = vertex.build(options(proxy.url))
    request = uploaded(through, tmp_path)
    proxy.fault("create", fault, once=True)
    with pytest.raises(api.Ambiguous):
        through.submit(request, key=JOB_KEY)
    assert proxy.count("create") == 1, "the SDK must not repeat it"
    assert len(through.find(request, key=JOB_KEY)) == len(server.jobs) == (fault in {"lost", "broken"})


@pytest.mark.parametrize(("fault", "kind"), [("429", api.Transient), ("429 daily", api.Rejected)])
def test_a_submission_that_was_not_taken_made_nothing(server, proxied, tmp_path, fault, kind):
    proxy = proxied(server.url, OPERATIONS)
    through = vertex.build(options(proxy.url))
    request = uploaded(through, tmp_path)
    proxy.fault("create", fault, once=True)
    with pytest.raises(kind):
        through.submit(request, key=JOB_KEY)
    assert server.jobs == {} and proxy.count("create") == 1


def test_a_cancelled_job_is_cancelling_first(server, provider, tmp_path):
    server.lives = ("JOB_STATE_RUNNING",)
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    provider.poll(job, cursor=None)
    provider.cancel(job)
    provider.cancel(job)
    assert provider.poll(job, cursor=None).state is api.JobState.CANCELLED


@pytest.mark.parametrize(("state", "means"), [("JOB_STATE_FAILED", "failed"), ("JOB_STATE_NAPPING", "unknown")])
def test_other_states(server, provider, tmp_path, state, means):
    server.lives, server.reason = (state,), "row 7 is malformed"
    update = provider.poll(provider.submit(uploaded(provider, tmp_path), key=JOB_KEY), cursor=None)
    assert update.state == means and update.raw == state
    assert (update.error == "row 7 is malformed") is (means == "failed")


def test_everything_of_ours_can_be_deleted(server, provider, tmp_path):
    server.lives = ("JOB_STATE_SUCCEEDED",)
    server.objects["tuning/theirs.jsonl"] = b"x"
    server.jobs["theirs"] = {"name": f"{PARENT}/tuningJobs/77", "state": "JOB_STATE_SUCCEEDED"}
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    provider.poll(job, cursor=None)
    found = list(provider.remote_objects())
    assert sorted(one.kind for one in found) == ["file", "model"]
    for one in [*found, *found]:
        provider.delete(one)
    assert list(provider.remote_objects()) == [] and list(server.objects) == ["tuning/theirs.jsonl"]


def test_a_wrong_token_says_what_to_do(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FTSPEC_TEST_TOKEN", "wrong")
    with pytest.raises(api.Rejected) as error:
        uploaded(vertex.build(options(server.url)), tmp_path)
    assert "gcloud" in error.value.hint


@pytest.mark.parametrize("call", ["upload", "poll"])
def test_a_proxy_for_socks_is_told_at_once(call, provider, tmp_path, monkeypatch):
    """Nobody has installed what Google's libraries want for one."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "rows.jsonl").write_text("{}\n")
    file = api.DataFile(purpose="training", path=str(tmp_path / "rows.jsonl"), sha256="f" * 64, bytes=3, rows=1)
    calls = {"upload": lambda: provider.upload(file), "poll": lambda: provider.poll(api.Job(id="x"), cursor=None)}
    with pytest.raises(api.Rejected, match="one for SOCKS"):
        calls[call]()


@pytest.mark.parametrize(("method", "rows", "validation"), [("sft", 1_000_000, 5_000), ("dpo", 10_000_000, None)])
def test_what_its_pages_say_of_rows_and_files(method, rows, validation):
    limits = vertex.build(options("http://127.0.0.1:9")).data_limits(
        api.Request(model=api.ModelRef(id=MODEL), method=method)
    )
    assert (limits.max_examples, limits.max_validation_examples) == (rows, validation)
    assert (limits.file_bytes, limits.row_tokens) == (10**9, 131_072)
    other = api.Request(model=api.ModelRef(id="gemini-1.0"), method=method)
    assert vertex.build(options("http://127.0.0.1:9")).data_limits(other) == api.Limits()


@pytest.mark.parametrize(("option", "value"), [("location", "evil.example/"), ("location", ""), ("project", "a/../b")])
def test_what_stands_in_addresses_holds_no_address(option, value):
    with pytest.raises(msgspec.ValidationError, match=option):
        vertex.build({**options("http://127.0.0.1:9"), option: value})


@pytest.mark.parametrize("body", ["<!DOCTYPE html><title>Sign in</title>", "[]", "7", '"ok"'])
@pytest.mark.parametrize("operation", ["held", "upload"])
def test_what_is_no_object_is_no_answer_of_cloud_storage(server, proxied, tmp_path, operation, body):
    proxy = proxied(server.url, (Operation("held", "GET", "/storage/.*"), *OPERATIONS))
    proxy.faults = {"odd": Fault("answer", status=200, body=body)}
    proxy.fault(operation, "odd", once=False)
    with pytest.raises(api.Ambiguous, match=r"page|cannot be read") as error:
        uploaded(vertex.build(options(proxy.url)), tmp_path)
    assert ("Sign in" in error.value.message) == ("Sign in" in body)


def test_a_token_that_is_not_to_be_had_for_now_is_waited_for():
    """A machine of Google's asks its metadata server for a new one every hour, and that one may be restarting."""
    away = RefreshError("metadata server")
    away.__cause__ = TransportError("refused")
    for fault, kind in (
        (away, api.Transient),
        (RefreshError("busy", retryable=True), api.Transient),
        (RefreshError("revoked"), api.Unauthorized),
    ):
        with pytest.raises(kind), calling():
            raise fault
