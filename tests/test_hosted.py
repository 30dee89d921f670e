"""What plugins of hosted tuners share: what a failed call means, JSON lines, names."""

import contextlib
import io
import types

import pytest

from ftspec import api, hosted, rows

HINTS = hosted.Hints(key="key", access="access", quota="quota", request="request")


@pytest.mark.parametrize(
    ("status", "message", "kind", "hint"),
    [
        (400, "no such model", api.Rejected, "request"),
        (401, "wrong key", api.Unauthorized, "key"),
        (412, "Quota exceeded for tuning jobs", api.Rejected, "quota"),
        (403, "a quota project is not set", api.Rejected, "access"),
        (402, "pay first", api.Rejected, "quota"),
        (403, "training is closed to you", api.Rejected, "access"),
        (403, "add a payment method", api.Rejected, "quota"),
        (404, "no such job", api.NotFound, "request"),
        (410, "the file is gone", api.NotFound, "request"),
        (408, "slow", api.Ambiguous, ""),
        (409, "conflict", api.Ambiguous, ""),
        (422, "bad rows", api.Rejected, "request"),
        (429, "slow down", api.Transient, "quota"),
        (429, "daily limit reached", api.Rejected, "quota"),
        (500, "oops", api.Ambiguous, ""),
        (503, "busy", api.Ambiguous, ""),
    ],
)
def test_a_status_stands_for_an_error(status, message, kind, hint):
    error = hosted.error(status, message, HINTS, retry_after=3)
    assert type(error) is kind and error.hint == hint and message in error.message
    assert not isinstance(error, api.Transient | api.Ambiguous) or error.retry_after == 3


def test_a_call_that_was_never_sent_may_be_made_again():
    class ConnectError(Exception):
        pass

    never, lost = RuntimeError("outer"), RuntimeError("outer")
    never.__cause__, lost.__cause__ = ConnectError("refused"), ConnectionResetError("reset")
    assert isinstance(hosted.unanswered(never), api.Transient)
    assert isinstance(hosted.unanswered(lost), api.Ambiguous)


def test_retry_after_is_read_where_it_can_be():
    headers = [{"retry-after": "2"}, {"retry-after-ms": "250"}, {"retry-after": "soon"}, {}]
    assert [hosted.retry_after(types.SimpleNamespace(headers=one)) for one in headers] == [2.0, 0.25, None, None]
    endless = [{"retry-after": "1e400"}, {"retry-after": "nan"}, {"retry-after-ms": "inf", "retry-after": "3"}]
    assert [hosted.retry_after(types.SimpleNamespace(headers=one)) for one in endless] == [None, None, 3.0]


@pytest.mark.parametrize(
    ("date", "until", "seconds"),
    [
        ("Fri, 07 May 1999 10:00:00 GMT", "Fri, 07 May 1999 10:00:45 GMT", 45.0),  # whatever our clock says
        ("Fri, 07 May 1999 10:00:00 GMT", "Friday, 07-May-99 10:01:00 GMT", 60.0),
        ("Fri, 07 May 1999 10:00:00 GMT", "Fri, 07 May 1999 09:00:00 GMT", 0.0),
        ("Fri, 07 May 1999 10:00:00 GMT", "Fri, 07 May 99999999999999999999 10:00:00 GMT", None),
        (None, "Fri, 07 May 1999 10:00:45 GMT", None),
        ("now", "Fri, 07 May 1999 10:00:45 GMT", None),
    ],
)
def test_a_wait_until_a_moment_is_by_the_clock_of_who_says_it(date, until, seconds):
    headers = {"retry-after": until} | ({"date": date} if date else {})
    assert hosted.retry_after(types.SimpleNamespace(headers=headers)) == seconds


def test_every_row_that_is_refused_is_named():
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    batch = rows.from_dicts([{"messages": said, "_row": number} for number in (1, 2, 3)])

    def line(example):
        if example.row != 2:
            raise hosted.Unfit(f"row {example.row} is odd", "make it even")
        return {"n": example.row}

    with pytest.raises(api.DataError) as error:
        hosted.write_lines([batch], io.BytesIO(), line)
    assert [(finding.row, finding.hint) for finding in error.value.findings] == [
        (1, "make it even"),
        (3, "make it even"),
    ]
    out = io.BytesIO()
    assert hosted.write_lines([batch.slice(1, 1)], out, line).rows == 1 and out.getvalue() == b'{"n":2}\n'


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [({"a": {"ü": 1}}, '{"a":{"ü":1}}'), ('{"a": 1}', '{"a": 1}'), ({}, "{}"), ("", ""), (None, "{}")],
)
def test_arguments_of_a_call_are_sent_as_text(arguments, sent):
    """OpenAI's description has a string there; rows may hold the object itself, and leave the type out."""
    call = {"id": "c", "function": {"name": "look", "arguments": arguments}}
    message = api.Message(role="assistant", tool_calls=[call])
    prompt = api.Prompt(id="p", messages=[message])
    body = hosted.chat_body("m", api.Question(prompt=prompt), api.Generation())
    for said in (hosted.chat_message(message), body["messages"][0]):
        assert said["tool_calls"] == [{"type": "function", "id": "c", "function": {"name": "look", "arguments": sent}}]
    assert call["function"]["arguments"] == arguments


def test_names_are_the_same_each_time_and_short_enough():
    assert hosted.name_of("ab" * 32) == hosted.name_of("ab" * 32) and len(hosted.name_of("ab" * 32)) == 40


@pytest.mark.parametrize("value", ["sk-proj-0123456789", "sk-proj-0123456789\n", " sk-proj-0123456789\r\n"])
def test_a_key_has_no_blanks_around_it(value, monkeypatch):
    monkeypatch.setenv("SOME_KEY", value)
    assert hosted.key("${secret:SOME_KEY}") == "sk-proj-0123456789"
    assert hosted.key("") == ""


@pytest.mark.parametrize("value", ["sk-äöü", "one\ntwo", "a\x00b"])
def test_what_no_header_carries_is_no_key(value):
    with pytest.raises(api.Rejected, match="the API key is none") as raised:
        hosted.key(value)
    assert value not in raised.value.message + raised.value.hint


PAGE = "<!DOCTYPE html>\n<html><head><title>Sign\n in</title></head><body>daily credit</body></html>"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, api.Rejected), (404, api.Rejected), (410, api.Rejected), (429, api.Transient), (502, api.Ambiguous)],
)
def test_a_gateways_page_says_nothing_of_what_is_there(status, kind):
    """A 404 of its own would be a job that is gone, and its 403 an account that may not tune."""
    error = hosted.error(status, PAGE, HINTS)
    assert type(error) is kind and error.message == f"a page came in place of an answer: 'Sign in' ({status})"
    assert kind is not api.Rejected or "HTTPS_PROXY" in error.hint
    assert "'Sign in'" in hosted.unreadable(PAGE).message and "HTTPS_PROXY" in hosted.unreadable(PAGE).hint
    assert hosted.page_of("<html><body>No <b>way</b></body></html>") == "No way"
    assert hosted.page_of('{"error": "<html>"}') is hosted.page_of("<?xml version='1.0'?>") is None


def test_what_a_job_tells_beside_its_state_is_not_worth_its_end():
    asides, job = hosted.Asides(), api.Job(id="j")

    def fail(error):
        raise error

    down = api.Ambiguous("oops")
    for _ in range(5):
        assert asides.read(job, "log", lambda: fail(down), ended=False) == (None, ())
    assert asides.read(job, "log", lambda: 7, ended=False) == (7, ())
    for _ in range(2):
        with pytest.raises(api.Ambiguous, match="oops"):
            asides.read(job, "log", lambda: fail(down), ended=True)
        assert asides.read(job, "losses", lambda: 7, ended=True) == (7, ()), "another one is counted by itself"
    found, (event,) = asides.read(job, "log", lambda: fail(down), ended=True)
    assert found is None and event.message == "the job's log cannot be read: oops" and event.level == "warning"
    assert asides.read(job, "losses", lambda: fail(api.NotFound("none")), ended=True)[0] is None


@pytest.mark.parametrize("late", [api.JobState.SUCCEEDED, api.JobState.CANCELLING, None])
def test_a_cancellation_that_comes_too_late_is_none(late):
    """Services refuse it; one that is refused while the job goes on is told."""
    sent = []

    def refuse():
        sent.append("cancel")
        raise api.Rejected("the job has ended")

    hosted.cancel(contextlib.nullcontext, refuse, lambda: late or api.JobState.SUCCEEDED)
    assert not sent
    states = [late, api.JobState.RUNNING]
    if late:
        hosted.cancel(contextlib.nullcontext, refuse, states.pop)
    else:  # a state that nobody here knows is no end
        with pytest.raises(api.Rejected, match="has ended"):
            hosted.cancel(contextlib.nullcontext, refuse, states.pop)
    assert not states and sent == ["cancel"]


def test_a_refusal_is_what_the_model_said():
    question = api.Question(prompt=api.Prompt(id="p", messages=[]), repeat=0, seed=0)
    said = {"role": "assistant", "content": None, "refusal": "I cannot"}
    answer = hosted.chat_answer(question, {"choices": [{"message": said, "finish_reason": "stop"}]}, 0.1)
    assert (answer.text, answer.finish_reason) == ("I cannot", "refusal")
