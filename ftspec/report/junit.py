"""junit.xml: gates and data checks as test cases, in the shape that CI systems read."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from ftspec.common.errors import Finding
from ftspec.common.evaluation import Verdict, Worst
from ftspec.report.data import ReportData
from ftspec.report.text import visible


def render(data: ReportData) -> bytes:
    """The document: a suite of gates and a suite of checks. A warning is a passed case with output."""
    root = Element("testsuites", name=visible(data.name))
    _suite(root, "gates", [_gate(verdict) for verdict in data.verdicts])
    names = dict.fromkeys([*data.checks, *(finding.check or "data" for finding in data.findings)])
    _suite(root, "checks", [_check(name, [f for f in data.findings if (f.check or "data") == name]) for name in names])
    tests, failures = (sum(int(suite.get(key, 0)) for suite in root) for key in ("tests", "failures"))
    root.attrib |= {"tests": str(tests), "failures": str(failures), "errors": "0", "time": "0"}
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _suite(root: Element, name: str, cases: Sequence[Element]) -> None:
    failures = sum(case.find("failure") is not None for case in cases)
    counts = {
        "name": name,
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": "0",
        "skipped": "0",
        "time": "0",
    }
    SubElement(root, "testsuite", counts).extend(cases)


def _gate(verdict: Verdict) -> Element:
    case = Element("testcase", classname="gates", name=visible(verdict.gate), time="0")
    if not verdict.passed and verdict.severity == "error":
        thin = "INSUFFICIENT EVIDENCE: " if verdict.outcome == "INSUFFICIENT_EVIDENCE" else ""
        said = visible(thin + verdict.message)
        failure = SubElement(case, "failure", type=verdict.outcome, message=said)
        failure.text = "\n".join([said, *(visible(_case(case)) for case in verdict.worst)])
    else:
        SubElement(case, "system-out").text = visible(verdict.message)
    return case


def _case(case: Worst) -> str:
    wanted = f", expected {case.expected}" if case.expected else ""
    why = f" ({case.reason})" if case.reason else ""
    return f"{case.origin or case.prompt}: {case.asked} → {case.said}{wanted}{why}"


def _check(name: str, findings: Sequence[Finding]) -> Element:
    case = Element("testcase", classname="checks", name=visible(name), time="0")
    lines = "\n".join(visible(where(finding) + finding.message) for finding in findings)
    if errors := [finding for finding in findings if finding.severity == "error"]:
        SubElement(case, "failure", type="check", message=visible(errors[0].message)).text = lines
    elif lines:
        SubElement(case, "system-out").text = lines
    return case


def where(finding: Finding) -> str:
    """ "file:line:column: " of a finding, as far as it is known."""
    return f"{finding.place}: " if finding.file else ""
