"""`redact` and the checks of what is left: what they find, what they leave alone, and that nothing leaks."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import planted
import pytest

from ftspec import api, rows
from ftspec.builtin.redaction import catalogue, credentials
from ftspec.builtin.redaction.checks import pii, secrets
from ftspec.builtin.redaction.entities import find
from ftspec.builtin.redaction.steps import redact


def redacted(values: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    step, batch = redact.build(options), rows.from_dicts(values)
    where = {"prefilter": step.prefilter, "nested": step.nested, "whole": redact.private}
    if step.of_row:
        return rows.to_dicts(rows.map_text_by_row(batch, lambda row: step.of_row(), **where))
    return rows.to_dicts(rows.map_text(batch, step.function, **where))


def one(text: str, **options: Any) -> str:
    (row,) = redacted([{"a": text}], **options)
    return str(row["a"])


FOUND = [
    ("mail me at jane.doe+x@example.co.uk please", "mail me at [EMAIL] please"),
    ("müller@beispiel.de.", "[EMAIL]."),
    ("<a@b.example>,c@d.example", "<[EMAIL]>,[EMAIL]"),
    ("(212) 555-0123", "[PHONE]"),
    ("+1 (415) 555-2671", "[PHONE]"),
    ("+442079460958", "[PHONE]"),
    ("030 1234567", "[PHONE]"),
    ("06 12 34 56 78", "[PHONE]"),
    ("+33 (0)6 12 34 56 78", "[PHONE]"),
    ("my phone is 4155552671.", "my phone is [PHONE]."),
    ("call me at 555-1234", "call me at [PHONE]"),
    ("in 2020 415-555-2671 2021", "in 2020 [PHONE] 2021"),
    ("4111 1111 1111 1111 123", "[CARD] 123"),
    ("378282246310005", "[CARD]"),
    ("ping 192.168.0.1.", "ping [IP]."),
    ("http://10.0.0.1:8080/x", "http://[IP]:8080/x"),
    ("2001:0db8:85a3::8a2e:0370:7334", "[IP]"),
    # Scripts without spaces: a number stands right behind a word, and a word behind a number.
    ("我的电话是13812345678，谢谢", "我的电话是[PHONE]，谢谢"),
    ("手机号码：13812345678。", "手机号码：[PHONE]。"),
    ("携帯は090-1234-5678です", "携帯は[PHONE]です"),
    ("연락처는 010-1234-5678입니다", "연락처는 [PHONE]입니다"),
    ("โทร 081-234-5678ครับ", "โทร [PHONE]ครับ"),
    ("卡号4111111111111111有效", "卡号[CARD]有效"),
    ("口座はGB82WEST12345698765432です", "口座は[IBAN]です"),
    ("身份证号11010519491231002X的", "身份证号[CN_RIC]的"),
    ("服务器192.168.1.77的", "服务器[IP]的"),
    # Cells of a table
    ("Joe,212-555-0123,42", "Joe,[PHONE],42"),
    ("1,+442079460958,7", "1,[PHONE],7"),
    ("4111111111111111,12/27", "[CARD],12/27"),
    ("7,GB82WEST12345698765432,3", "7,[IBAN],3"),
    ("123-45-6789,42", "[US_SSN],42"),
]
LEFT = [
    "2026-01-15 10:30", "15.01.2026", "01/15/2026", "2026-01-15T10:30:00", "20260115", "years 1990-2000, 2001-10",
    "version 1.2.3.4", "v10.0.0.1", "section 1.2.3.4", "1.2.3.4.5", "192.168.1.300", "std::vector<int>", "12:30:45",
    "order 123456789", "card 4111111111111112", "1,234,567.89", "1234567.89 EUR", "10 000 000 people", "3.141592653589",
    "ISBN 978-3-16-148410-0", "id 550e8400-e29b-41d4-a716-446655440000", "SKU 100-200-300", "@user", "foo@bar", "a@",
    "共12345678901件", "订单号12345678901234", "版本1.2.3.4的", "价格4111111111元", "12345678901号",
    "tel 1234567,50 EUR", "12 345 678,90", "0123456789,5", "2024-01-02,2024-01-03", "1,234,567,890", "第2024-01-15号",
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), FOUND)
def test_finds(before: str, after: str) -> None:
    assert one(before) == after


@pytest.mark.parametrize("said", LEFT)
def test_leaves_alone(said: str) -> None:
    assert one(said) == said


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nabc+/=\n-----END RSA PRIVATE KEY-----"
IDS = [
    ("us_ssn", "her SSN is 536-22-8726.", "her SSN is [US_SSN]."),
    ("us_ssn", "social security number 536228726", "social security number [US_SSN]"),
    ("uk_nino", "NINO AB 12 34 56 C", "NINO [UK_NINO]"),
    ("de_tax_id", "IdNr. 36 574 261 809 liegt vor", "IdNr. [DE_TAX_ID] liegt vor"),
    ("fr_insee", "2 95 10 99 126 111 93", "[FR_INSEE]"),
    ("es_dni", "DNI 54362315-K", "DNI [ES_DNI]"),
    ("es_nie", "NIE X-2482300-W", "NIE [ES_NIE]"),
    ("it_fiscal_code", "C.F. RCCMNL83S18D969H", "C.F. [IT_FISCAL_CODE]"),
    ("nl_bsn", "BSN 1112.22.333", "BSN [NL_BSN]"),
    ("nl_bsn", "111222333 is mijn BSN", "[NL_BSN] is mijn BSN"),
    ("br_cpf", "390.533.447-05", "[BR_CPF]"),
    ("in_aadhaar", "2341 2341 2346", "[IN_AADHAAR]"),
    ("in_pan", "PAN ACUPA7085R", "PAN [IN_PAN]"),
    ("ca_sin", "SIN 123-456-782", "SIN [CA_SIN]"),
    ("pl_pesel", "PESEL 44051401359", "PESEL [PL_PESEL]"),
    ("be_nn", "85.07.30-033.28", "[BE_NN]"),
    ("ch_ahv", "756.9217.0769.85", "[CH_AHV]"),
    ("se_personnummer", "880320-0016", "[SE_PERSONNUMMER]"),
    ("fi_hetu", "131052-308T", "[FI_HETU]"),
    ("no_fnr", "15108695088", "[NO_FNR]"),
    ("cn_ric", "360426199101010071", "[CN_RIC]"),
    ("kr_rrn", "971013-9019902", "[KR_RRN]"),
    ("mx_curp", "BOXW310820HNERXN09", "[MX_CURP]"),
]
"""Most numbers are the examples of python-stdnum's own documentation."""
NO_IDS = [
    "536-22-872", "order 536228726", "BSN 111222334", "invoice 111222333", "390.533.447-06", "2341 2341 2347",
    "4111 1111 1111 1111", "54362315-L", "123-456-782", "RCCMNL83S18D969I", "part ABCXY1234Z", "amount 123 456 782 EUR",
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after"), IDS)
def test_national_ids(name: str, before: str, after: str) -> None:
    assert one(before) == one(before, entities=[name]) == after
    assert one(before, entities=["national_id"]) == after


def test_every_national_id_has_an_example() -> None:
    assert {name for name, _, _ in IDS} == set(catalogue.GROUPS["national_id"])


@pytest.mark.parametrize("said", NO_IDS)
def test_no_national_ids(said: str) -> None:
    assert one(said, entities=["national_id"]) == said


SECRETS = [
    (f"key:\n{PEM}\nend", "key:\n[PRIVATE_KEY]\nend"),
    (PEM.replace("\n", "\\n"), "[PRIVATE_KEY]"),
    (PEM[:50], "[PRIVATE_KEY]"),
    ("AKIAIOSFODNN7EXAMPLE", "[API_KEY]"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [PASSWORD]"),
    ("clone https://x:ghp_16C7e42F292c6912E7710c838347Ae178B4a@github.com", "clone https://x:[API_KEY]@github.com"),
    ("postgres://app:s3cr3t@db.example.com/x", "postgres://app:[PASSWORD]@db.example.com/x"),
    ("postgres://u:pa@ssw0rd9@localhost/db", "postgres://u:[PASSWORD]@localhost/db"),
    ("mysql://root:S3cr3t/x9@db.local", "mysql://root:[PASSWORD]@db.local"),
    ("a://u:p4ss@h1/x,b://v:w0rd@h2/y", "a://u:[PASSWORD]@h1/x,b://v:[PASSWORD]@h2/y"),
    ("https://u:s3cr3t@medium.com/@jane", "https://u:[PASSWORD]@medium.com/@jane"),
    (r'"password":"pa\"ss12word", "a": 1', r'"password":"[PASSWORD]", "a": 1'),
    ("pwd=ab,cd12345 and", "pwd=[PASSWORD] and"),
    ("login(password=hunter22,retries=3)", "login(password=[PASSWORD],retries=3)"),
    ("redis://:hunter22@localhost:6379", "redis://:[PASSWORD]@localhost:6379"),
    ("Authorization: Bearer mF_9.B5f-4.1JqM7xyzABCD", "Authorization: Bearer [PASSWORD]"),
    ("password=hunter2", "password=[PASSWORD]"),
    ('{"password": "correct horse battery"}', '{"password": "[PASSWORD]"}'),
    ("my password is Tr0ub4dor&3.", "my password is [PASSWORD]."),
    ('api_key: "a8f5f167f44f4964e6c998dee827110c"', 'api_key: "[PASSWORD]"'),
    ("Server=db;User Id=sa;Password=P4ss!word;Encrypt=true", "Server=db;User Id=sa;Password=[PASSWORD];Encrypt=true"),
]
NO_SECRETS = [
    "password: please reset it", "my password is wrong", "forgot password?", "password = os.environ['PW']",
    "password=${DB_PASSWORD}", "api_key = config.api_key", "token: str", "max_tokens: 4096", "key=value",
    "secret = None",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "sk-learn is scikit-learn", "token = tokenizer.encode(text)",
    "Bearer of good news and of internationalisation", "password=[PASSWORD]", "password: ********",
    "https://example.com:8080/a@b", "http://[::1]:8080/a@b", "ssh://github.com:org/repo.git@main",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709", "550e8400-e29b-41d4-a716-446655440000", "ey, you. eyes",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "the secret is to keep calm",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg",
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), SECRETS)
def test_secrets(before: str, after: str) -> None:
    assert one(before, entities=["secrets"]) == after


@pytest.mark.parametrize("said", NO_SECRETS)
def test_no_secrets(said: str) -> None:
    assert one(said, entities=["secrets"]) == said


def test_entropy() -> None:
    assert credentials.entropy("aaaa") == 0
    assert credentials.entropy("abcdefgh") == 3


def test_looks_everywhere() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"to": "a@b.example"}'}}
    other = {"id": "2", "type": "function", "function": {"name": "f", "arguments": {"a@b.example": ["a@b.example"]}}}
    said = [
        {"role": "user", "content": [{"type": "text", "text": "a@b.example"}]},
        {"role": "user", "content": "a@b.example"},
        {"role": "assistant", "tool_calls": [call, other]},
    ]
    (after,) = redacted([{"a": "x", "deep": {"a@b.example": ["a@b.example"]}, "messages": said}])
    assert str(after).count("[EMAIL]") == 7
    assert "a@b.example" not in str(after)


WHOLE = {
    "d": {"jane@doe.com": 1, "a@b.example": 2, "phone": 2125550123, "ssn": 536228726, "c": [4111111111111111.0, True]},
    "card": 4111111111111111,
    "phone": 2125550123,
    "messages": [{"role": "user", "name": "jane@doe.com", "content": "x", "odd": {"a@b.example": 378282246310005}}],
}
"""Values that are no texts: keys, numbers, names."""


@pytest.mark.parametrize("options", [{}, {"placeholders": "row"}, {"placeholders": "dataset", "key": "k"}])
def test_keys_numbers_and_names_are_redacted_and_found(options: dict[str, Any]) -> None:
    values = [WHOLE, {"card": 5, "phone": 5, "d": {"n": 123456789012}}]
    after, other = redacted(values, **options)
    assert not any(value in str(after) for value in ("jane", "a@b", "2125550123", "536228726", "4111", "3782"))
    assert len(after["d"]) == 5 and after["d"]["c"][1] is True, "two keys do not become one"
    assert other == values[1]
    assert redacted([after, other], **options) == [after, other]
    (found,) = findings(pii, [WHOLE])
    assert all(f"{name} (" in found.message for name in ("email", "card")) and "us_ssn" in found.message
    assert findings(pii, [after]) == []


def test_a_step_that_is_not_private_changes_no_key_and_no_number() -> None:
    batch = rows.from_dicts([WHOLE])
    after = rows.to_dicts(rows.map_text(batch, lambda text: "y"))[0]
    assert list(after["d"]) == list(WHOLE["d"]) and after["card"] == WHOLE["card"]
    assert after["messages"][0]["name"] == "jane@doe.com"


def test_only_what_is_named() -> None:
    assert one("a@b.example 10.0.0.1", entities=["ip"]) == "a@b.example [IP]"


def test_placeholders_within_a_row() -> None:
    said = ["A@b.example wrote to c@d.example", "c@d.example answered a@b.example", "call +49 30 123456, +4930123456"]
    first = {"messages": [{"role": "user", "content": text} for text in said]}
    (after, other) = redacted([first, {"a": "c@d.example"}], placeholders="row")
    assert [each["content"] for each in after["messages"]] == [
        "[EMAIL_1] wrote to [EMAIL_2]", "[EMAIL_2] answered [EMAIL_1]", "call [PHONE_1], [PHONE_1]",
    ]  # fmt: skip
    assert other == {"a": "[EMAIL_1]"}


def test_placeholders_over_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDACT_KEY", "one")
    values = [{"a": "c@d.example"}, {"a": "x", "b": "C@d.example a@b.example"}]
    options = {"placeholders": "dataset", "key": "${secret:REDACT_KEY}"}
    first, second = redacted(values, **options)
    assert second["b"].split(" ")[0] == first["a"] != second["b"].split(" ")[1]
    assert first["a"].startswith("[EMAIL_") and len(first["a"]) == len("[EMAIL_12345678]")
    monkeypatch.setenv("REDACT_KEY", "two")
    assert redacted(values, **options)[0] != first
    assert redact.build(options).prefilter, "without the secret a step is built: plans need none"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"placeholders": "dataset"}, ("placeholders",)),
        ({"key": "x"}, ("key",)),
        ({"placeholders": "dataset", "key": "x"}, None),
    ],
)
def test_a_key_goes_with_the_data_set(options: dict[str, str], path: tuple[str] | None) -> None:
    found = [clash for rule in redact.rules for clash in rule(redact.convert(options))]
    assert [where for where, _ in found] == ([path] if path else [])


@pytest.mark.parametrize("options", [{}, {"placeholders": "row"}, {"placeholders": "dataset", "key": "k"}])
def test_what_was_redacted_is_no_residue(options: dict[str, Any]) -> None:
    texts = [before for before, _ in [*FOUND, *SECRETS]] + [before for _, before, _ in IDS]
    after = redacted([{"a": text} for text in texts], **options)
    assert redacted(after) == after


def findings(check: api.Component, values: list[dict[str, Any]], **options: Any) -> list[api.Finding]:
    built = check.build(options)
    batch = rows.from_dicts(values)
    numbered = batch.append_column(rows.ROW, rows.integers(range(5, 5 + len(values))))
    return list(built.judge([built.measure(numbered), built.measure(numbered.slice(0, 0))]))


def test_checks_name_rows_and_no_values() -> None:
    said = ["nothing", "a@b.example, c@d.example and 10.0.0.1", "password=hunter2"]
    values = [{"messages": [{"role": "user", "content": text}]} for text in said]
    (personal,) = findings(pii, values)
    assert (personal.row, personal.message) == (6, "personal data is left: email (2), ip")
    (secret,) = findings(secrets, values)
    assert (secret.row, secret.message) == (7, "a secret is left: password")
    assert findings(pii, values, entities=["card"]) == []
    assert not any(word in str([personal, secret]) for word in ("a@b", "hunter2", "10.0.0.1"))


def test_linear_time() -> None:
    step = redact.build({})
    hard = [
        "1 " * 5_000, "a." * 20_000 + "@", "1:" * 20_000, "+(" * 20_000, "1-" * 20_000, "A" * 50_000,
        "password " * 5_000,
        "a_" * 20_000 + "password", "-----BEGIN PRIVATE KEY-----" * 500, "://" * 10_000 + ":", "ey" * 20_000 + ".ey",
        "AB12 " * 5_000,
    ]  # fmt: skip
    for said in hard:
        step.function(said)


def test_a_text_of_nothing_but_passwords_takes_no_time() -> None:
    """It was looked whether each overlaps any other: a log of 40,000 took a minute."""
    said = 'password="abc1' * 40_000
    began = time.process_time()
    assert len(find(said, catalogue.chosen(["password"]))) == 39_999
    assert time.process_time() - began < 20


LEAST = 0.95
SEED = 7
FEW = 25
"""Values per entity here; the benchmark takes hundreds, of other seeds."""


def look(text: str) -> list[tuple[int, int, str]]:
    return [(start, end, name) for start, end, name in find(text, catalogue.chosen(["pii", "secrets"]))]


@pytest.mark.parametrize("source", ["faker", "mimesis"])
def test_recall_and_precision_of_every_entity(source: str) -> None:
    misses: list[str] = []
    found = planted.rates(planted.sample(SEED, FEW, source), look, misses)
    assert {name for name, _ in catalogue.chosen(["pii", "secrets"])} <= set(found)
    poor = {name: rate for name, rate in found.items() if min(rate.recall, rate.precision) < LEAST}
    assert poor == {}, "\n".join(misses)


def test_keys_of_every_vendor() -> None:
    found = planted.by_vendor(SEED, FEW, look)
    assert {name: rate.recall for name, rate in found.items() if rate.recall < LEAST} == {}


def test_the_measure_can_fail() -> None:
    texts = list(planted.sample(SEED, 2, "faker"))
    blind = planted.rates(iter(texts), lambda text: [])
    assert {rate.recall for rate in blind.values()} == {0.0}
    wild = planted.rates(iter(texts), lambda text: [(0, len(text), "email")])
    assert wild["email"].recall == 1 and wild["email"].precision < 0.2


def test_what_is_not_asked_for_is_not_imported() -> None:
    code = "import sys; from ftspec.builtin.redaction import catalogue; catalogue.sieve(['email', 'phone']); " + (
        "print([name for name in ('credentials', 'identities') if f'ftspec.builtin.redaction.{name}' in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
    assert [name for name, _ in catalogue.chosen(["phone", "secrets", "fr_insee"])] == [
        "private_key", "jwt", "api_key", "password", "fr_insee", "phone",
    ]  # fmt: skip
