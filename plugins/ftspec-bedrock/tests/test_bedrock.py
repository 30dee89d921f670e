"""The life of a job on Bedrock over real HTTP: moto's S3 and Bedrock, and aws_server for what moto lacks."""

import io
import json

import msgspec
import pytest
from aws_server import Server, faults_of
from botocore.session import get_session
from ftspec_bedrock import bedrock, converse
from ftspec_bedrock.options import Hyperparameters
from servers import orders
from servers.orders import JOB_KEY
from servers.proxy import Fault, Operation

from ftspec import api, rows
from ftspec.testing import ProviderSuite

OPERATIONS = (
    Operation("upload", "PUT", "/team-bucket/.*"),
    Operation("create", "POST", "/model-customization-jobs"),
    Operation("poll", "GET", "/model-customization-jobs/[^/]+"),
    Operation("events", "GET", "/team-bucket/.*csv"),
    Operation("cancel", "POST", "/model-customization-jobs/[^/]+/stop"),
    Operation("chat", "POST", "/model/.*/converse"),
)

ROLE = "arn:aws:iam::123456789012:role/ftspec"
SECRETS = {"access_key_id": "${secret:FTSPEC_TEST_AWS_KEY}", "secret_access_key": "${secret:FTSPEC_TEST_AWS_SECRET}"}


class TestBedrock(ProviderSuite):
    component = bedrock
    model = "amazon.nova-micro-v1:0:128k"
    hyperparameters = {"epochs": 2, "learning_rate": 2e-5}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def account(cls):
        with Server() as own, pytest.MonkeyPatch.context() as patch:
            own.bucket("team-bucket")
            patch.setenv("FTSPEC_TEST_AWS_KEY", "AKIATESTTESTTESTTEST")
            patch.setenv("FTSPEC_TEST_AWS_SECRET", "very-secret-secret-of-aws")
            cls.options = {"role": ROLE, "s3": "s3://team-bucket/tuning", "base_url": own.url, **SECRETS}
            yield
            assert own.aws.faults == []
            own.aws.reset()


@pytest.fixture
def provider(aws):
    provider = bedrock.build(options(aws.url))
    yield provider
    assert aws.aws.faults == []


def options(url, **more):
    return {"role": ROLE, "s3": "s3://team-bucket/tuning", "base_url": url, "timeout": 2.0, **SECRETS, **more}


def request_(model="amazon.nova-micro-v1:0:128k", **hyperparameters):
    filled = msgspec.to_builtins(msgspec.convert(hyperparameters, Hyperparameters))
    return api.Request(model=api.ModelRef(id=model), hyperparameters=filled)


def chat(*texts, system=None, **more):
    said = [{"role": ("user", "assistant")[n % 2], "content": text, **more} for n, text in enumerate(texts)]
    return {"messages": ([{"role": "system", "content": system}] if system else []) + said}


def written(provider, model, *values):
    batch = rows.from_dicts([{**value, "_row": number} for number, value in enumerate(values, 1)])
    out = io.BytesIO()
    provider.write(request_(model), [batch], out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def uploaded(provider, tmp_path, request=None):
    return orders.uploaded(provider, tmp_path, request or request_())


def test_rows_have_the_shape_of_the_models_family(provider):
    row = chat("hi", "ho", system="be brief")
    assert written(provider, "amazon.nova-lite-v1:0:300k", row) == [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": "be brief"}],
            "messages": [
                {"role": "user", "content": [{"text": "hi"}]},
                {"role": "assistant", "content": [{"text": "ho"}]},
            ],
        }
    ]
    assert written(provider, "meta.llama3-1-8b-instruct-v1:0:128k", row) == [
        {"prompt": "be brief\n\nhi", "completion": "ho"}
    ]
    claude = written(provider, "anthropic.claude-3-haiku-20240307-v1:0:200k", row)
    assert claude == [{"system": "be brief", "messages": chat("hi", "ho")["messages"]}]


def test_rows_that_bedrock_would_refuse_are_named(provider):
    tools = [{"type": "function", "function": {"name": "f"}}]
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    bad = [
        chat("hi"),
        {**chat("hi", "ho"), "tools": tools},
        chat("hi", " "),
        chat(image, "ho"),
        chat("a", "b", weight=0),
    ]
    with pytest.raises(api.DataError) as error:
        written(provider, "amazon.nova-lite-v1:0:300k", chat("hi", "ho"), *bad)
    assert [finding.row for finding in error.value.findings] == [2, 3, 4, 5, 6]
    with pytest.raises(api.DataError):
        written(provider, "meta.llama3-1-8b-instruct-v1:0:128k", chat("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("model", "hyperparameters", "wrong"),
    [
        ("amazon.nova-lite-v1:0:300k", {"epochs": 6, "batch_size": 4, "learning_rate": 1e-3}, 3),
        ("amazon.nova-lite-v1:0:300k", {"epochs": 5, "learning_rate": 1e-5, "warmup_steps": 10}, 0),
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", {"learning_rate_multiplier": 1.5, "batch_size": 2}, 1),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-1-8b-instruct-v1:0:128k", {"batch_size": 2}, 1),
    ],
)
def test_hyperparameters_are_checked_by_family(provider, model, hyperparameters, wrong):
    found = list(provider.problems(request_(model, **hyperparameters)))
    assert [problem.path[0] for problem in found] == ["hyperparameters"] * wrong


def test_a_model_that_nobody_knows_is_a_warning(provider):
    assert [problem.severity for problem in provider.problems(request_("new.model-v1:0"))] == ["warning"]


def test_a_lost_answer_leads_to_the_one_job(aws, provider, proxied, tmp_path):
    proxy = proxied(aws.url, OPERATIONS)
    through = bedrock.build(options(proxy.url))
    request = uploaded(through, tmp_path)
    for fault in ("lost", "broken", "409"):
        proxy.fault("create", fault, once=True)
        assert through.submit(request, key=JOB_KEY).id == through.submit(request, key=JOB_KEY).id
    assert len(aws.aws.jobs) == 1


def test_a_file_that_is_there_is_not_uploaded_again(aws, proxied, tmp_path):
    proxy = proxied(aws.url, OPERATIONS)
    through = bedrock.build(options(proxy.url))
    assert uploaded(through, tmp_path) == uploaded(through, tmp_path)
    assert proxy.count("upload") == 1


def test_a_cancelled_job_says_so(aws, provider, tmp_path):
    aws.aws.statuses = ("InProgress",)
    job = provider.submit(uploaded(provider, tmp_path), key=JOB_KEY)
    assert provider.poll(job, cursor=None).state is api.JobState.RUNNING
    provider.cancel(job)
    provider.cancel(job)
    assert provider.poll(job, cursor=None).state is api.JobState.CANCELLED


def test_a_failed_job_says_why(aws, provider, tmp_path):
    aws.aws.statuses, aws.aws.failure = ("Failed",), "row 7 is malformed"
    update = provider.poll(provider.submit(uploaded(provider, tmp_path), key=JOB_KEY), cursor=None)
    assert update.state is api.JobState.FAILED and update.error == "row 7 is malformed" and update.hint


def test_a_status_that_nobody_knows_is_no_end(aws, provider, tmp_path):
    aws.aws.statuses = ("Hibernating",)
    update = provider.poll(provider.submit(uploaded(provider, tmp_path), key=JOB_KEY), cursor=None)
    assert update.state is api.JobState.UNKNOWN and update.raw == "Hibernating" and not update.state.terminal


def test_everything_of_ours_can_be_deleted_and_nothing_else(aws, provider, tmp_path):
    request = uploaded(provider, tmp_path)
    provider.aws.client("s3").put_object(Bucket="team-bucket", Key="tuning/theirs.jsonl", Body=b"x")
    provider.submit(request, key=JOB_KEY)
    model = api.TunedModel(id=aws.aws.jobs[0].output_model_arn, base=request.model)
    provider.deploy(model, key=JOB_KEY)
    found = list(provider.remote_objects())
    assert sorted(one.kind for one in found) == ["deployment", "file", "model"]
    for one in [*found, *found]:
        provider.delete(one)
    assert list(provider.remote_objects()) == []
    assert provider.aws.client("s3").head_object(Bucket="team-bucket", Key="tuning/theirs.jsonl")


@pytest.mark.parametrize(
    ("code", "status", "kind", "hint"),
    [
        ("AccessDeniedException", 403, api.Rejected, "iam:PassRole"),
        ("ExpiredTokenException", 403, api.Rejected, "credentials"),
        ("ServiceQuotaExceededException", 400, api.Rejected, "quota"),
        ("ValidationException", 400, api.Rejected, "region"),
        ("ThrottlingException", 429, api.Transient, ""),
        ("InternalServerException", 500, api.Ambiguous, ""),
    ],
)
def test_what_bedrock_refuses_says_what_to_do(aws, proxied, tmp_path, code, status, kind, hint):
    fault = Fault("answer", status=status, body='{"message": "no"}', headers={"x-amzn-ErrorType": code})
    proxy = proxied(aws.url, OPERATIONS)
    through = bedrock.build(options(proxy.url))
    request = uploaded(through, tmp_path)
    proxy.faults = {"said": fault}
    proxy.fault("create", "said", once=False)
    with pytest.raises(kind) as error:
        through.submit(request, key=JOB_KEY)
    assert hint in error.value.hint and aws.aws.jobs == []


def test_a_proxy_for_socks_is_told_at_once(aws, tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(api.Rejected, match="one for SOCKS"):  # not one that is tried again
        uploaded(bedrock.build(options(aws.url)), tmp_path)


def test_without_credentials_a_plan_is_made_and_a_call_says_what_is_missing(aws, tmp_path, monkeypatch):
    monkeypatch.delenv("FTSPEC_TEST_AWS_SECRET")
    provider = bedrock.build(options(aws.url))
    assert list(provider.problems(request_())) == []
    with pytest.raises(api.FtspecError, match="FTSPEC_TEST_AWS_SECRET"):
        uploaded(provider, tmp_path)


@pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}], ids=["text", "object"])
def test_tools_go_there_and_back(arguments):
    function = {"name": "look", "parameters": {"type": "object"}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
    asked = {**call, "function": {"name": "look", "arguments": arguments}}
    said = [
        api.Message(role="user", content="hi"),
        api.Message(role="assistant", tool_calls=[asked]),
        api.Message(role="tool", content="found", tool_call_id="c1"),
    ]
    prompt = api.Prompt(id="p", messages=said, tools=[{"type": "function", "function": function}])
    sent = converse.body(api.Question(prompt=prompt), api.Generation(stop=("x",), top_p=0.5))
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert sent["messages"][1]["content"] == [{"toolUse": {"toolUseId": "c1", "name": "look", "input": {"a": 1}}}]
    shape = get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
    assert faults_of(shape, {"modelId": "amazon.nova-micro-v1:0", **sent}) == []
    answered = {"output": {"message": {"content": sent["messages"][1]["content"]}}, "stopReason": "tool_use"}
    assert converse.answer(api.Question(prompt=prompt), answered, 0.1).tool_calls == [call]


def test_a_region_is_no_address():
    with pytest.raises(msgspec.ValidationError, match="region"):
        bedrock.build({**options("http://127.0.0.1:9"), "region": "evil.example/"})


def test_a_file_that_a_gateway_took_is_not_there(aws, proxied, tmp_path):
    proxy = proxied(aws.url, OPERATIONS)
    page = Fault("answer", status=200, body="<html>Sign in</html>", headers={"Content-Type": "text/html"})
    proxy.faults = {"page": page}
    proxy.fault("upload", "page", once=True)
    through = bedrock.build(options(proxy.url))
    with pytest.raises(api.Ambiguous, match="does not show"):
        uploaded(through, tmp_path)
    assert uploaded(through, tmp_path).training


@pytest.mark.parametrize("body", ["null", "[]", "7", '"ok"'])
def test_an_answer_that_is_no_object_is_no_fault_of_ours(aws, provider, proxied, tmp_path, body):
    proxy = proxied(aws.url, OPERATIONS)
    proxy.faults = {"odd": Fault("answer", status=200, body=body)}
    proxy.fault("poll", "odd", once=False)
    job = provider.submit(uploaded(provider, tmp_path), key="ab" * 32)
    with pytest.raises(api.Ambiguous, match="cannot be read"):
        bedrock.build(options(proxy.url)).poll(job, cursor=None)


@pytest.mark.parametrize("page", [False, True])
def test_losses_that_cannot_be_read_do_not_keep_the_end_from_us(aws, provider, proxied, tmp_path, page):
    proxy = proxied(aws.url, OPERATIONS)
    through = bedrock.build(options(proxy.url))
    job = provider.submit(uploaded(provider, tmp_path), key="ab" * 32)
    if page:
        orders.paged(proxy, "events")
    else:
        proxy.fault("events", "500", once=False)
    assert through.poll(job, cursor=None).state is api.JobState.RUNNING
    for _ in range(2):
        with pytest.raises(api.Ambiguous):
            through.poll(job, cursor=None)
    update = through.poll(job, cursor=None)
    assert update.model and update.events[-1].id == "unread losses"


def test_a_configuration_that_cannot_be_read_is_not_tried_again(aws, tmp_path, monkeypatch):
    (tmp_path / "config").write_text("no section\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(api.Rejected, match="Unable to parse config file"):
        uploaded(bedrock.build(options(aws.url)), tmp_path)
