"""The life of a job on Fireworks, over real HTTP, against a server that speaks the SDK's own types."""

from functools import partial

import msgspec
import pytest
from fireworks.types.shared_params.chat_message import ChatMessage
from fireworks_server import ACCOUNT, KEY, Fireworks
from ftspec_fireworks import fireworks, lines, progress
from pydantic import TypeAdapter
from servers import orders
from servers.orders import JOB_KEY, PNG, asked, said
from servers.proxy import Operation

from ftspec import api, hosted
from ftspec.testing import ProviderSuite

MODEL = "accounts/fireworks/models/llama-v3p1-8b-instruct"
JOBS = "/v1/accounts/team/(supervisedFineTuningJobs|dpoJobs)"
OPERATIONS = (
    Operation("upload", "POST", "/v1/accounts/team/datasets.*"),
    Operation("create", "POST", JOBS),
    Operation("poll", "GET", f"{JOBS}/[^/:]+"),
    Operation("events", "GET", "/signed/.*"),
    Operation("cancel", "POST", f"{JOBS}/[^/]+:cancel"),
    Operation("chat", "POST", "/v1/chat/completions"),
)


class TestFireworks(ProviderSuite):
    component = fireworks
    model = MODEL
    hyperparameters = {"epochs": 2, "batch_size": 8, "lora": {"rank": 8}, "early_stopping": True}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def account(cls):
        with Fireworks() as own, pytest.MonkeyPatch.context() as patch:
            patch.setenv("FIREWORKS_API_KEY", KEY)
            cls.options = {"base_url": own.url, "account": ACCOUNT}
            yield
            assert own.problems == []


class TestPreferencePairs(TestFireworks):
    method = "dpo"
    method_options = {"beta": 0.2}
    hyperparameters = {"epochs": 1}


@pytest.fixture
def provider(server):
    yield fireworks.build({"base_url": server.url, "account": ACCOUNT, "timeout": 2.0})
    assert server.problems == []


request_ = partial(orders.request, fireworks, MODEL)


def uploaded(provider, tmp_path, request=None):
    return orders.uploaded(provider, tmp_path, request or request_())


def test_rows():
    chat = api.Example(messages=[said("developer", "short"), said("user", "hi"), said("assistant", "ho", weight=0.0)])
    assert lines.line("sft", chat)["messages"] == [
        {"role": "system", "content": "short"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho", "weight": 0},
    ]
    good, bad = [said("assistant", "good")], [said("assistant", "bad")]
    pair = lines.line("dpo", api.Example(messages=[said("user", "hi")], chosen=good, rejected=bad))
    assert pair["preferred_output"] == [{"role": "assistant", "content": "good"}]
    for wrong in ([said("user", "hi")], [said("critic", "hi"), said("assistant", "ho")]):
        with pytest.raises(hosted.Unfit):
            lines.line("sft", api.Example(messages=wrong))


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_what_its_pages_say_of_the_number_of_rows(method):
    made = fireworks.build({"account": ACCOUNT})
    limits = made.data_limits(api.Request(model=api.ModelRef(id=MODEL), method=method))
    assert (made.least_rows, limits.max_examples) == (3, 3_000_000)
    assert limits.source.startswith("https://docs.fireworks.ai/fine-tuning/")


def test_images_are_written_as_they_stand_in_the_row():
    image = {"type": "image_url", "image_url": {"url": PNG}}
    line = lines.line("sft", api.Example(messages=[asked(PNG, PNG), said("assistant", "a cat")]))
    assert line["messages"][0] == {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image, image]}
    TypeAdapter(ChatMessage).validate_python(line["messages"][0])
    for role in ("system", "developer"):
        chat = [asked(PNG, PNG, role=role), said("user", "?"), said("assistant", "a cat")]
        assert lines.line("sft", api.Example(messages=chat))["messages"][0] == {**line["messages"][0], "role": "system"}


@pytest.mark.parametrize(
    ("method", "message", "reason"),
    [
        ("sft", asked("https://example.com/cat.png"), "must be in the row"),
        ("sft", asked(PNG.replace("png", "webp")), "an image is image/webp"),
        ("sft", asked(PNG, role="tool"), "a message of tool, not of system or user"),
        ("sft", asked("https://[x/cat.png"), "address is none"),
        ("sft", asked(PNG, kind="file"), "holds file"),
        ("dpo", asked(PNG), "takes texts alone"),
    ],
)
def test_images_that_fireworks_does_not_take_are_named(method, message, reason):
    more = {"chosen": [said("assistant", "a")], "rejected": [said("assistant", "b")]} if method == "dpo" else {}
    with pytest.raises(hosted.Unfit, match=reason):
        lines.line(method, api.Example(messages=[message, said("assistant", "a cat")], **more))


def test_a_dataset_that_is_there_is_not_uploaded_again(server, provider, tmp_path):
    assert uploaded(provider, tmp_path) == uploaded(provider, tmp_path)
    assert sum(path.endswith(":upload") for _, path in server.calls) == 1


def test_a_dataset_that_fireworks_refuses_says_why(server, provider, tmp_path):
    server.reason = "row 3 has no messages"
    with pytest.raises(api.Rejected, match="row 3 has no messages"):
        uploaded(provider, tmp_path)


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("fault", ["lost", "broken"])
def test_the_same_key_makes_one_job_whatever_is_lost(server, proxied, tmp_path, fault, method):
    proxy = proxied(server.url, OPERATIONS)
    through = fireworks.build({"base_url": proxy.url, "account": ACCOUNT, "timeout": 1.0})
    request = uploaded(through, tmp_path, request_(method))
    proxy.fault("create", fault, once=True)
    first = through.submit(request, key=JOB_KEY)
    assert through.submit(request, key=JOB_KEY) == first and len(server.jobs) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("409", api.Ambiguous), ("500", api.Ambiguous), ("429", api.Transient), ("429 daily", api.Rejected)],
)
def test_a_submission_is_sent_once_and_its_refusal_told(server, proxied, tmp_path, fault, kind):
    proxy = proxied(server.url, OPERATIONS)
    through = fireworks.build({"base_url": proxy.url, "account": ACCOUNT, "timeout": 1.0})
    request = uploaded(through, tmp_path)
    proxy.fault("create", fault, once=True)
    with pytest.raises(kind):
        through.submit(request, key=JOB_KEY)
    assert proxy.count("create") == 1 and server.jobs == {}


def test_a_cancelled_job_is_cancelling_first(server, provider, tmp_path):
    server.lives = ("JOB_STATE_RUNNING",)
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    provider.poll(job, cursor=None)
    provider.cancel(job)
    provider.cancel(job)
    assert provider.poll(job, cursor=None).state is api.JobState.CANCELLED


@pytest.mark.parametrize(
    ("state", "means"),
    [
        ("JOB_STATE_FAILED", "failed"),
        ("JOB_STATE_EARLY_STOPPED", "succeeded"),
        ("JOB_STATE_PAUSED", "paused"),
        ("JOB_STATE_NAPPING", "unknown"),
    ],
)
def test_other_states(server, provider, tmp_path, state, means):
    server.lives, server.reason = (state,), "out of credit"
    update = provider.poll(provider.submit(uploaded(provider, tmp_path), key=JOB_KEY), cursor=None)
    assert update.state == means and update.raw == state
    assert (update.error == "out of credit") is (means == "failed")


def test_everything_of_ours_can_be_deleted(server, provider, tmp_path):
    server.lives = ("JOB_STATE_COMPLETED",)
    server.models["theirs"] = {"name": "accounts/team/models/theirs"}
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    provider.deploy(provider.poll(job, cursor=None).model, key=JOB_KEY)
    found = list(provider.remote_objects())
    assert sorted(one.kind for one in found) == ["deployment", "file", "model"]
    for one in [*found, *found]:
        provider.delete(one)
    assert list(provider.remote_objects()) == [] and list(server.models) == ["theirs"]


def test_a_model_of_another_name_is_a_problem(provider):
    request = msgspec.structs.replace(request_(), model=api.ModelRef(id="meta-llama/Llama-3.1-8B"))
    assert [problem.path for problem in provider.problems(request)] == [("model",)]


def test_a_wrong_key_says_where_keys_are(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FIREWORKS_API_KEY", "wrong")
    with pytest.raises(api.Rejected) as error:
        uploaded(fireworks.build({"base_url": server.url, "account": ACCOUNT}), tmp_path)
    assert "FIREWORKS_API_KEY" in error.value.hint


def test_a_metrics_file_is_read_with_leniency():
    text = '{"step": 1, "loss": 2.0}\nnot json\n{"other": 1}\n{"metrics": {"global_step": 2, "eval_loss": 1.5}}\n[1]\n'
    assert [(event.step, event.metrics) for event in progress.metrics(text, 0.0)] == [
        (1, {"train_loss": 2.0}),
        (2, {"validation_loss": 1.5}),
    ]


def test_a_gateways_page_takes_no_deployment_down(server, provider, proxied):
    model = api.TunedModel(id="accounts/team/models/m", base=api.ModelRef(id=MODEL))
    standing = provider.deploy(model, key=JOB_KEY)
    proxy = proxied(server.url, (Operation("undeploy", "DELETE", ".*/deployments/.*"),))
    orders.paged(proxy, "undeploy")
    with pytest.raises(api.Ambiguous, match="a page came in place of an answer"):
        fireworks.build({"base_url": proxy.url, "account": ACCOUNT}).undeploy(standing)
    assert server.deployments


@pytest.mark.parametrize("fault", ["500", "reset"])
def test_metrics_that_cannot_be_read_do_not_keep_the_end_from_us(server, provider, proxied, tmp_path, fault):
    server.lives = ("JOB_STATE_COMPLETED",)
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    with proxied(server.url, OPERATIONS) as proxy:
        server.url, own = proxy.url, server.url  # in the signed address
        try:
            proxy.fault("events", fault, once=False)
            for _ in range(2):
                with pytest.raises(api.Ambiguous):
                    provider.poll(job, cursor=None)
            update = provider.poll(job, cursor=None)
        finally:
            server.url = own
    assert update.model and update.events[-1].id == "unread metrics"


def test_a_job_that_was_removed_is_not_waited_for(server, provider, tmp_path):
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    server.jobs.clear()
    with pytest.raises(api.NotFound):
        provider.poll(job, cursor=None)
