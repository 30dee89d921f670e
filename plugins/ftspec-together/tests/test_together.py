"""The life of a job on Together, over real HTTP, against a server that speaks the SDK's own types."""

import base64
import errno
import io
from functools import partial

import msgspec
import pytest
from ftspec_together import lines, together
from servers import orders
from servers.orders import JOB_KEY, PNG, asked, said
from servers.proxy import Fault, Operation
from together.lib import constants
from together.lib.utils import check_file
from together_server import KEY, PROJECT, Together

from ftspec import api, hosted, rows
from ftspec.testing import ProviderSuite


class TestTogether(ProviderSuite):
    component = together
    model = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
    hyperparameters = {"epochs": 2, "batch_size": 8, "lora": {"rank": 8}, "evaluations": 2}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def account(cls):
        with Together() as own, pytest.MonkeyPatch.context() as patch:
            patch.setenv("TOGETHER_API_KEY", KEY)
            cls.options = {"base_url": own.url, "project": PROJECT}
            yield
            assert own.problems == []


OPERATIONS = (
    Operation("upload", "POST", "/v1/files"),
    Operation("create", "POST", "/v1/fine-tunes"),
    Operation("find", "GET", "/v1/fine-tunes"),
    Operation("poll", "GET", "/v1/fine-tunes/ft-[^/]+"),
    Operation("events", "GET", "/v1/fine-tunes/[^/]+/(events|metrics)"),
    Operation("cancel", "POST", "/v1/fine-tunes/[^/]+/cancel"),
    Operation("chat", "POST", "/v1/chat/completions"),
)
MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"


@pytest.fixture
def provider(server):
    yield together.build({"base_url": server.url, "project": PROJECT, "timeout": 2.0})
    assert server.problems == []


request_ = partial(orders.request, together, MODEL)


def uploaded(provider, tmp_path, request=None):
    return orders.uploaded(provider, tmp_path, request or request_())


def test_rows_are_what_the_sdks_own_check_takes(tmp_path):
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    chats = [
        api.Example(messages=[said("developer", "be brief"), said("user", "hi"), said("assistant", "ho", weight=1.0)]),
        api.Example(messages=[said("user", "hi"), said("assistant", "no", weight=0.0)]),
        api.Example(messages=[said("user", "hi"), said("assistant", None, tool_calls=[call])], tools=tools),
    ]
    pair = api.Example(
        messages=[said("user", "hi")], chosen=[said("assistant", "good")], rejected=[said("assistant", "bad")]
    )
    for method, examples in (("sft", chats[:2]), ("sft", chats[2:]), ("dpo", [pair])):
        path = tmp_path / f"{method}.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(lines.line(method, one)) + b"\n" for one in examples))
        report = check_file(path, purpose="fine-tune")
        assert report["is_check_passed"], report


VL = "Qwen/Qwen3-VL-8B-Instruct"


def test_images_are_written_for_models_that_see(tmp_path):
    detailed = asked(PNG)
    detailed.content[1]["image_url"]["detail"] = "low"
    chat = api.Example(messages=[said("system", "short"), detailed, said("assistant", "a cat")])
    good, bad = [said("assistant", "a cat")], [said("assistant", "a dog")]
    pair = api.Example(messages=[asked(PNG, PNG)], chosen=good, rejected=bad)
    image = {"type": "image_url", "image_url": {"url": PNG}}
    written = lines.line("sft", chat, VL)
    assert written["messages"][1] == {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}
    assert lines.line("dpo", pair, VL)["input"]["messages"][0]["content"][1:] == [image, image]
    capitals = asked(PNG.replace("data:image/png", "data:image/PNG", 1))
    assert lines.line("sft", api.Example(messages=[capitals, said("assistant", "a cat")]), VL) == {
        "messages": [written["messages"][1], {"role": "assistant", "content": "a cat"}]
    }
    path = tmp_path / "rows.jsonl"
    path.write_bytes(msgspec.json.encode(written) + b"\n")
    assert check_file(path, purpose="fine-tune")["is_check_passed"]


@pytest.mark.parametrize(
    ("message", "model", "reason"),
    [
        (asked(PNG), "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", "tunes this model on texts alone"),
        (asked("https://example.com/cat.png"), VL, "must be in the row"),
        (asked(PNG.replace("png", "gif")), VL, "an image is image/gif"),
        (asked("data:image/png;base64,***"), VL, "no base64"),
        (asked("data:image/png,raw"), VL, "no base64"),
        (asked("data:image/png;base64,"), VL, "no base64"),
        (asked("https://[x/cat.png"), VL, "address is none"),
        (asked(PNG, role="tool"), VL, "a message of tool"),
        (asked(PNG, kind="input_audio"), VL, "holds input_audio"),
    ],
)
def test_images_that_together_does_not_take_are_named(message, model, reason):
    with pytest.raises(hosted.Unfit, match=reason):
        lines.line("sft", api.Example(messages=[message, said("assistant", "a cat")]), model)


@pytest.mark.parametrize(("model", "most"), [(VL, 10), ("meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", 0)])
def test_a_check_knows_which_models_see(provider, model, most):
    tuner = api.Tuner(provider, msgspec.structs.replace(request_(), model=api.ModelRef(id=model)))
    assert tuner.images() == most
    assert all(url.startswith("data:image/") for url in tuner.image_urls())


def test_the_limits_of_images_are_the_sdks():
    assert (lines.MOST_IMAGES, lines.MOST_IMAGE_BYTES) == (constants.MAX_IMAGES_PER_EXAMPLE, constants.MAX_IMAGE_BYTES)
    large = "data:image/png;base64," + base64.b64encode(bytes(lines.MOST_IMAGE_BYTES + 1)).decode()
    with pytest.raises(hosted.Unfit, match="10,485,761 bytes"):
        lines.line("sft", api.Example(messages=[asked(large), said("assistant", "a cat")]), VL)


def test_rows_with_images_are_found_by_row_when_a_file_is_written(provider):
    chats = [{"messages": [{"role": "user", "content": asked(url).content}, {"role": "assistant", "content": "cat"}]}
             for url in (PNG, "https://example.com/cat.png")]  # fmt: skip
    made = rows.from_dicts(chats).append_column(rows.ROW, rows.integers([1, 2]))
    request = msgspec.structs.replace(request_(), model=api.ModelRef(id=VL))
    with pytest.raises(api.DataError) as caught:
        provider.write(request, [made], io.BytesIO())
    assert [(found.row, "must be in the row" in found.message) for found in caught.value.findings] == [(2, True)]
    assert provider.write(request, [made.slice(0, 1)], io.BytesIO()).rows == 1


@pytest.mark.parametrize(
    ("method", "example"),
    [
        ("sft", api.Example(messages=[said("user", "hi")])),
        ("sft", api.Example(messages=[said("user", "hi"), said("assistant", "ho", weight=0.5)])),
        ("sft", api.Example(messages=[said("critic", "hi"), said("assistant", "ho")])),
        ("dpo", api.Example(messages=[said("user", "hi")], chosen=[said("assistant", "good")], rejected=[])),
    ],
)
def test_rows_that_together_would_refuse_are_unfit(method, example):
    with pytest.raises(hosted.Unfit):
        lines.line(method, example)


def test_a_file_that_is_there_is_not_uploaded_again(server, provider, tmp_path):
    assert uploaded(provider, tmp_path) == uploaded(provider, tmp_path)
    assert server.calls.count(("POST", "/v1/files")) == 1


def test_a_file_that_together_refuses_says_why(server, provider, tmp_path):
    server.verdict, server.reason = "INVALID_FORMAT", "line 3 has no messages"
    with pytest.raises(api.Rejected, match="line 3 has no messages"):
        uploaded(provider, tmp_path)


@pytest.mark.parametrize("fault", ["lost", "broken", "500", "409", "timeout"])
def test_a_submission_of_which_nothing_is_heard_is_found_and_not_repeated(server, proxied, tmp_path, fault):
    proxy = proxied(server.url, OPERATIONS)
    through = together.build({"base_url": proxy.url, "timeout": 1.0})
    request = uploaded(through, tmp_path)
    proxy.fault("create", fault, once=True)
    with pytest.raises(api.Ambiguous):
        through.submit(request, key=JOB_KEY)
    assert proxy.count("create") == 1, "the SDK must not repeat it"
    assert len(through.find(request, key=JOB_KEY)) == len(server.jobs) == (fault in {"lost", "broken"})


@pytest.mark.parametrize(("fault", "kind"), [("429", api.Transient), ("429 daily", api.Rejected)])
def test_a_submission_that_was_not_taken_made_nothing(server, proxied, tmp_path, fault, kind):
    proxy = proxied(server.url, OPERATIONS)
    through = together.build({"base_url": proxy.url, "timeout": 1.0})
    request = uploaded(through, tmp_path)
    proxy.fault("create", fault, once=True)
    with pytest.raises(kind) as error:
        through.submit(request, key=JOB_KEY)
    assert server.jobs == {} and KEY not in str(error.value.hint)


def test_hyperparameters_beyond_the_models_limits_are_rejected(server, provider, tmp_path):
    with pytest.raises(api.Rejected, match="batch size"):
        provider.submit(uploaded(provider, tmp_path, request_(batch_size=1000)), key=JOB_KEY)
    assert server.jobs == {}


def test_dpo_and_full_training_are_sent(server, provider, tmp_path):
    request = uploaded(provider, tmp_path, request_("dpo", lora=False, epochs=2))
    provider.submit(request, key=JOB_KEY)
    order = next(iter(server.jobs.values()))["order"]
    assert order["training_method"]["method"] == "dpo" and order["training_method"]["dpo_beta"] == 0.1
    assert order["training_type"]["type"] == "Full" and order["n_epochs"] == 2


def test_stopping_early_needs_evaluations(provider):
    problems = list(provider.problems(request_(early_stopping_patience=2, evaluations=2)))
    assert [problem.path for problem in problems] == [("hyperparameters", "early_stopping_patience")]
    assert list(provider.problems(request_(early_stopping_patience=2, evaluations=4))) == []


def test_a_cancelled_job_is_cancelling_first(server, provider, tmp_path):
    server.lives = ("running",)
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    provider.poll(job, cursor=None)
    provider.cancel(job)
    provider.cancel(job)
    assert provider.poll(job, cursor=None).state in {api.JobState.CANCELLING, api.JobState.CANCELLED}
    assert provider.poll(job, cursor=None).state is api.JobState.CANCELLED


@pytest.mark.parametrize(("status", "state"), [("error", "failed"), ("napping", "unknown")])
def test_other_ends(server, provider, tmp_path, status, state):
    server.lives, server.reason = (status,), "billing limit"
    update = provider.poll(provider.submit(uploaded(provider, tmp_path), key=JOB_KEY), cursor=None)
    assert update.state == state and update.raw == status
    assert (update.error == "billing limit") is (status == "error")


def test_everything_of_ours_can_be_deleted(server, provider, tmp_path):
    server.lives = ("completed",)
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    provider.deploy(provider.poll(job, cursor=None).model, key=JOB_KEY)
    found = list(provider.remote_objects())
    assert sorted(one.kind for one in found) == ["deployment", "file", "model"]
    for one in [*found, *found]:
        provider.delete(one)
    assert list(provider.remote_objects()) == []


def test_a_wrong_key_says_where_keys_are(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TOGETHER_API_KEY", "wrong")
    with pytest.raises(api.Rejected) as error:
        uploaded(together.build({"base_url": server.url}), tmp_path)
    assert "TOGETHER_API_KEY" in error.value.hint


def test_a_deployment_needs_a_project(server):
    with pytest.raises(api.Rejected) as error:
        together.build({"base_url": server.url}).find_deployment(key=JOB_KEY)
    assert "`project`" in error.value.hint


def test_a_file_is_no_larger_than_the_sdk_takes():
    limits = together.build({}).data_limits(request_())
    assert limits.file_bytes == int(constants.MAX_FILE_SIZE_GB * constants.NUM_BYTES_IN_GB)


@pytest.mark.parametrize("operation", ["files", "upload", "find", "undeploy", "endpoints"])
def test_a_gateways_page_is_no_answer(server, provider, proxied, tmp_path, operation):
    """It was a fault of the plugin, or a deployment that is taken down while it stands and costs money."""
    server.lives = ("completed",)
    request = uploaded(provider, tmp_path)
    model = provider.poll(provider.submit(request, key=JOB_KEY), cursor=None).model
    standing = provider.deploy(model, key=JOB_KEY)
    if operation == "upload":
        server.files.clear()
        server.contents.clear()
    more = (
        Operation("files", "GET", "/v1/files"),
        Operation("undeploy", "DELETE", "/v2/.*/deployments/.*"),
        Operation("endpoints", "GET", "/v2/.*/endpoints"),
    )
    proxy = proxied(server.url, (*more, *OPERATIONS))
    through = together.build({"base_url": proxy.url, "project": PROJECT, "timeout": 2.0})
    orders.paged(proxy, operation)
    with pytest.raises(api.Ambiguous, match="a page came in place of an answer: 'Sign in'"):
        match operation:
            case "files" | "upload":
                uploaded(through, tmp_path)
            case "find":
                through.find(request, key=JOB_KEY)
            case "undeploy":
                through.undeploy(standing)
            case _:
                through.find_deployment(key=JOB_KEY)
    assert provider.deployment(standing) is not None


def test_a_log_that_cannot_be_read_does_not_keep_the_end_from_us(server, provider, proxied, tmp_path):
    server.lives = ("running", "completed")
    proxy = proxied(server.url, OPERATIONS)
    through = together.build({"base_url": proxy.url, "timeout": 2.0})
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    proxy.fault("events", "500", once=False)
    assert through.poll(job, cursor=None).state is api.JobState.RUNNING
    for _ in range(4):
        with pytest.raises(api.Ambiguous):
            through.poll(job, cursor=None)
    update = through.poll(job, cursor=None)
    assert update.model and [event.id for event in update.events] == ["unread log", "unread metrics"]


def test_a_job_is_found_though_another_run_brought_the_same_file_there_too(server, provider, tmp_path):
    request = uploaded(provider, tmp_path)
    job = provider.submit(request, key=JOB_KEY)
    other = msgspec.structs.replace(request, training=msgspec.structs.replace(request.training, id="file-77"))
    assert [found.id for found in provider.find(other, key=JOB_KEY)] == [job.id]


def test_a_full_disk_is_no_answer_of_togethers(provider, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(OSError, match="No space left"):
        uploaded(provider, tmp_path)


def test_what_together_refuses_to_upload_is_told_in_its_own_words(server, provider, proxied, tmp_path):
    proxy = proxied(server.url, OPERATIONS)
    refusal = Fault("answer", status=400, body='{"error": {"message": "too many files", "code": "limit"}}')
    proxy.faults = {"full": refusal}
    proxy.fault("upload", "full", once=False)
    with pytest.raises(api.Rejected) as error:
        uploaded(together.build({"base_url": proxy.url, "timeout": 2.0}), tmp_path)
    assert error.value.message == "too many files (400, limit)"
