"""AWS on the loopback address: moto's S3 and Bedrock, and what moto lacks (deployments, Converse, jobs that end).

Every request to Bedrock, moto's or ours, is checked against botocore's own description of the service, patterns and
bounds included, and so is every answer of ours. A job advances by one status per look, as STATUSES says.
"""

from __future__ import annotations

import io
import json
import re
import threading
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

import botocore.session
from botocore.validate import ParamValidator
from moto.bedrock.models import bedrock_backends
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

ACCOUNT, REGION = "123456789012", "us-east-1"
STATUSES = ("InProgress", "Completed")
STEPS = 4
MOTOS_OWN = {".modelArn", ".modelDeploymentSummaries[].modelArn"}
"""Where names stand that moto makes up, which are not quite as AWS's are."""


def operations():
    """(method, path as a regular expression, operation, its service's name), longer paths first."""
    session = botocore.session.get_session()
    for service in ("bedrock", "bedrock-runtime"):
        model = session.get_service_model(service)
        for name in model.operation_names:
            operation = model.operation_model(name)
            path = re.sub(
                r"\\\{(\w+)\+?\\\}", r"(?P<\1>[^/]+)", re.escape(operation.http["requestUri"].partition("?")[0])
            )
            yield operation.http["method"], re.compile(path), operation


def faults_of(shape, value, where="") -> list[str]:
    """What botocore finds wrong with a value, and what it leaves to the service: patterns, enumerations, bounds."""
    found = (
        []
        if where
        else [line for line in ParamValidator().validate(value, shape).generate_report().splitlines() if line]
    )
    if found:
        return found
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, inner in value.items():
            found += faults_of(shape.members[name], inner, f"{where}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            found += faults_of(shape.member, inner, f"{where}[]")
    elif shape.type_name == "map":
        for key, inner in value.items():
            found += faults_of(shape.value, inner, f"{where}.{key}")
    elif shape.type_name == "string":
        pattern, most = shape.metadata.get("pattern"), shape.metadata.get("max")
        if pattern and where not in MOTOS_OWN and not re.fullmatch(pattern.removeprefix("^"), value):
            found.append(f"{where}: {value!r} does not match {pattern}")
        if most is not None and len(value) > most:
            found.append(f"{where}: longer than {most}")
        if getattr(shape, "enum", None) and value not in shape.enum:
            found.append(f"{where}: {value!r} is not one of {shape.enum}")
    return found


class Aws:
    """What the tests steer, and what they look at: jobs (by moto), `deployments`, `faults` of requests, `asked`."""

    def __init__(self) -> None:
        self.operations = list(operations())
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.deployments: dict[str, dict] = {}
        self.looks: dict[str, int] = {}
        self.faults: list[str] = []
        self.asked: list[dict] = []
        self.statuses = STATUSES
        self.failure = ""
        self.lock = threading.RLock()

    @property
    def bedrock(self):
        return bedrock_backends[ACCOUNT][REGION]

    @property
    def jobs(self):
        return list(self.bedrock.model_customization_jobs.values())

    def reset(self) -> None:
        self.bedrock.reset()
        s3_backends[ACCOUNT]["aws"].reset()
        self.deployments.clear()
        self.looks.clear()
        self.asked.clear()
        self.faults.clear()
        self.statuses, self.failure = STATUSES, ""

    def __call__(self, environ, start_response):
        with self.lock:
            if ";" not in environ.get("PATH_INFO", "") and "bedrock/aws4_request" in environ.get(
                "HTTP_AUTHORIZATION", ""
            ):
                response = self.of_bedrock(Request(environ))
                if response:
                    return response(environ, start_response)
            return self.moto(environ, start_response)

    def of_bedrock(self, request: Request) -> Response | None:
        """Our answer to a call of Bedrock; None where moto is to give it."""
        path = request.environ.get("RAW_URI") or request.environ["PATH_INFO"]
        path = path.partition("?")[0]
        fitting = [(match, o) for m, p, o in self.operations if m == request.method and (match := p.fullmatch(path))]
        if not fitting:
            return refusal(404, "UnknownOperationException", path)
        match, operation = fitting[0]
        data = request.get_data()  # stays readable for moto
        request.environ["wsgi.input"] = io.BytesIO(data)
        wanted = {**{name: unquote(value) for name, value in match.groupdict().items()}, **json.loads(data or b"{}")}
        wanted |= {
            name: int(value) if value.isdigit() else value for name, value in parse_qsl(request.query_string.decode())
        }
        faults = faults_of(operation.input_shape, wanted)
        if faults:
            self.faults += faults
            return refusal(400, "ValidationException", "; ".join(faults))
        ours = getattr(self, f"on_{operation.name}", None)
        if ours is None:
            return None
        said = ours(wanted)
        if isinstance(said, dict):
            wrong = faults_of(operation.output_shape, said)
            assert not wrong, (operation.name, wrong)
            return Response(
                json.dumps(said, default=lambda at: at.timestamp()),
                operation.http["responseCode"],
                mimetype="application/json",
            )
        return said

    # ---- jobs: moto's, made to advance

    def on_GetModelCustomizationJob(self, wanted):
        """Move the job on, and let moto describe it."""
        job = self.bedrock.model_customization_jobs.get(wanted["jobIdentifier"])
        if job and job.status == "InProgress":
            look = self.looks[job.job_name] = self.looks.get(job.job_name, -1) + 1
            job.status = self.statuses[min(look, len(self.statuses) - 1)]
            job.failure_message = self.failure
            if job.status == "Completed":
                self.write_metrics(job)

    def write_metrics(self, job) -> None:
        """The files that Bedrock leaves in the bucket."""
        bucket, _, folder = job.output_data_config["s3Uri"].removeprefix("s3://").partition("/")
        base = f"{folder}/model-customization-job-{job.job_arn.rpartition('/')[2]}"
        training = "step_number,epoch_number,training_loss\n" + "".join(f"{n},0,{2 / (n + 1)}\n" for n in range(STEPS))
        validation = "step_number,epoch_number,validation_loss\n3,0,0.75\n"
        backend = s3_backends[ACCOUNT]["aws"]
        backend.put_object(bucket, f"{base}/training_artifacts/step_wise_training_metrics.csv", training.encode())
        backend.put_object(
            bucket,
            f"{base}/validation_artifacts/post_fine_tuning_validation/validation_metrics.csv",
            validation.encode(),
        )

    # ---- deployments: ours

    def on_CreateCustomModelDeployment(self, wanted):
        name = wanted["modelDeploymentName"]
        if name in self.deployments:
            return refusal(400, "ValidationException", f"a deployment {name} exists already")
        arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:custom-model-deployment/{len(self.deployments):012d}"
        self.deployments[name] = {
            "customModelDeploymentArn": arn,
            "modelDeploymentName": name,
            "modelArn": wanted["modelArn"],
            "description": wanted["description"],
            "createdAt": datetime.now(UTC),
            "status": "Creating",
        }
        return {"customModelDeploymentArn": arn}

    def on_GetCustomModelDeployment(self, wanted):
        held = self.deployments.get(wanted["customModelDeploymentIdentifier"])
        if not held:
            return refusal(404, "ResourceNotFoundException", "no such deployment")
        said = dict(held)
        held["status"] = "Active"
        return said

    def on_ListCustomModelDeployments(self, wanted):
        kept = ("customModelDeploymentArn", "modelArn", "createdAt", "status")
        return {
            "modelDeploymentSummaries": [
                {"customModelDeploymentName": name, **{key: held[key] for key in kept}}
                for name, held in self.deployments.items()
            ]
        }

    def on_DeleteCustomModelDeployment(self, wanted):
        if self.deployments.pop(wanted["customModelDeploymentIdentifier"], None) is None:
            return refusal(404, "ResourceNotFoundException", "no such deployment")
        return {}

    # ---- answers: ours

    def on_Converse(self, wanted):
        arns = {held["customModelDeploymentArn"] for held in self.deployments.values() if held["status"] == "Active"}
        tuned = wanted["modelId"] in arns
        if "deployment" in wanted["modelId"] and not tuned:
            return refusal(404, "ResourceNotFoundException", "no such deployment")
        self.asked.append(wanted)
        text = wanted["messages"][-1]["content"][-1].get("text", "")
        said = ("yes" if tuned else "no") + f" to {text}"
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": said}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8},
            "metrics": {"latencyMs": 1},
        }


def refusal(status: int, code: str, message: str) -> Response:
    return Response(json.dumps({"message": message}), status, {"x-amzn-ErrorType": code}, mimetype="application/json")


class Quiet(WSGIRequestHandler):
    def log(self, *args, **kwargs) -> None:
        pass


class Server:
    """The world above, served; a context manager."""

    def __enter__(self):
        self.aws = Aws()
        self.server = make_server("127.0.0.1", 0, self.aws, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()

    def bucket(self, name: str) -> None:
        s3_backends[ACCOUNT]["aws"].create_bucket(name, REGION)
