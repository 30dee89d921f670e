"""The `bedrock` provider: S3 for files, model customization jobs, custom-model deployments, Converse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

import msgspec
from msgspec import Meta

from ftspec import api, hosted
from ftspec_bedrock import lines, metrics, options
from ftspec_bedrock.aws import Aws, calling
from ftspec_bedrock.cleanup import Cleanup
from ftspec_bedrock.serving import LONG, Serving

if TYPE_CHECKING:
    import pyarrow as pa

INSTALL = "pip install ./plugins/ftspec-bedrock"
STATES = {
    "InProgress": api.JobState.RUNNING,
    "Completed": api.JobState.SUCCEEDED,
    "Failed": api.JobState.FAILED,
    "Stopping": api.JobState.CANCELLING,
    "Stopped": api.JobState.CANCELLED,
}
FAILED = (
    "Bedrock's message says why; most often rows that its validation refuses, or a role that cannot read the bucket"
)


class BedrockProvider(Serving, Cleanup):
    """Fine-tune on Amazon Bedrock: data in S3, a model customization job, an on-demand deployment, Converse."""

    submission: ClassVar[Literal["idempotent", "findable", "blind"]] = "idempotent"
    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(hyperparameters=options.Hyperparameters, options=options.Sft)
    }

    def __init__(
        self,
        *,
        role: Annotated[
            str,
            Meta(
                pattern=r"^arn:aws[^:]*:iam::[0-9]{12}:role/.+", description="ARN of the role that Bedrock reads with."
            ),
        ],
        s3: Annotated[
            str, Meta(pattern=r"^s3://[^/]+(/.*)?$", description="Where files go and results come: s3://bucket/prefix.")
        ],
        region: Annotated[str, Meta(description="The region that tunes.", pattern="^[a-z0-9-]+$")] = "us-east-1",
        profile: Annotated[str, Meta(description="Profile of the AWS configuration; AWS's own search if empty.")] = "",
        access_key_id: Annotated[
            str, Meta(description="Key, e.g. ${secret:AWS_ACCESS_KEY_ID}; AWS's search if empty.")
        ] = "",
        secret_access_key: Annotated[str, Meta(description="Its secret, as ${secret:NAME}.")] = "",
        session_token: Annotated[str, Meta(description="Its session, as ${secret:NAME}, if it has one.")] = "",
        base_inference: Annotated[
            str,
            Meta(description="Model or inference profile that answers for the base model; the model itself if empty."),
        ] = "",
        concurrency: Annotated[int, Meta(ge=1, le=32, description="Calls in flight while asking.")] = 8,
        requests_per_minute: Annotated[int | None, Meta(description="Most calls a minute while asking.")] = None,
        timeout: Annotated[float, Meta(gt=0, le=60, description="Seconds to wait for an answer.")] = 30.0,
        base_url: Annotated[
            api.Plain, Meta(description="Another address for all of AWS's services, e.g. a proxy.")
        ] = "",
    ) -> None:
        self.role, self.region, self.base_inference = role, region, base_inference
        self.bucket, _, prefix = s3.removeprefix("s3://").partition("/")
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.limits = api.RateLimits(concurrency=concurrency, requests_per_minute=requests_per_minute)
        self.asides = hosted.Asides()
        self.endpoint = base_url or f"https://bedrock.{region}.amazonaws.com"
        self.aws = Aws(
            {
                "region": region,
                "profile": profile,
                "access_key_id": access_key_id,
                "secret_access_key": secret_access_key,
                "session_token": session_token,
                "timeout": timeout,
                "base_url": base_url,
            }
        )

    def attach(self, home: Path) -> None:
        """Nothing is kept on this machine."""

    # ---- before the job

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """Hyperparameters that the model does not take, and models that nobody here knows."""
        yield from options.misfits(request.model.id, request.hyperparameters)
        if request.model.revision:
            hint = "remove it: Bedrock's model ids carry their version"
            yield api.Problem(message="Bedrock's models have no revision", hint=hint, path=("model",))
        if options.family(request.model.id) is None:
            yield api.Problem(
                message=f"'{request.model.id}' is of no family that this plugin knows: nothing about it was checked",
                hint="rows are written as conversations; known are " + ", ".join(one.name for one in options.FAMILIES),
                path=("model",),
                severity="warning",
            )

    def fingerprint(self, model: api.ModelRef) -> str:
        """Bedrock tells none; a model's id carries its version."""
        return ""

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        """Bedrock says no time; what it costs comes from the price table."""
        basis = "Bedrock says neither time nor steps beforehand"
        epochs, batch = request.hyperparameters.get("epochs"), request.hyperparameters.get("batch_size")
        if not (epochs and batch):
            return api.Estimate(basis=basis)
        return api.Estimate(steps=-(-size.rows // batch) * epochs, basis="rows, batch size and epochs")

    def write(self, request: api.Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> api.Written:
        """JSON lines in the shape of the model's family."""
        return hosted.write_lines(batches, out, lambda example: lines.line(request.model.id, example))

    # ---- the job

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        """An object named by the content's hash; one of that name and size is the same file."""
        key = f"{self.prefix}{hosted.PREFIX}data/{file.sha256}-{file.purpose}.jsonl"
        found = api.RemoteFile(id=f"s3://{self.bucket}/{key}", sha256=file.sha256, bytes=file.bytes)
        client = self.aws.client("s3")
        if self._there(key, file.bytes):
            return found
        from boto3.exceptions import S3UploadFailedError

        try:
            with calling():
                client.upload_file(file.path, self.bucket, key)
        except S3UploadFailedError as fault:
            if isinstance(fault.__context__, Exception):
                with calling():
                    raise fault.__context__ from fault
            raise api.Ambiguous(f"the upload failed: {fault}") from fault
        if not self._there(key, file.bytes):  # whatever said that it is: boto3 takes any 200, a gateway's too
            raise api.Ambiguous(f"S3 does not show the {file.purpose} file that was brought there")
        return found

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        """One POST. The job's name and its request token are the key's, so that the same key twice makes one job."""
        if request.training is None:
            raise api.Rejected("there is no training file")
        name = hosted.name_of(key)
        wanted: dict[str, Any] = {
            "jobName": name,
            "customModelName": name,
            "clientRequestToken": key,
            "roleArn": self.role,
            "baseModelIdentifier": request.model.id,
            "customizationType": "FINE_TUNING",
            "trainingDataConfig": {"s3Uri": request.training.id},
            "outputDataConfig": {"s3Uri": f"s3://{self.bucket}/{self.prefix}{hosted.PREFIX}output"},
            "hyperParameters": options.wire(request.hyperparameters),
            "jobTags": [{"key": "ftspec", "value": key}],
            "customModelTags": [{"key": "ftspec", "value": key}],
        }
        if request.validation:
            wanted["validationDataConfig"] = {"validators": [{"s3Uri": request.validation.id}]}
        try:
            with calling():
                made = self.aws.client("bedrock").create_model_customization_job(**wanted)
            if "jobArn" not in made:
                raise hosted.unreadable(made)
        except (api.Rejected, api.Ambiguous):
            # A name that is taken, in whatever words; and a lost answer may be looked up at once.
            with contextlib.suppress(api.ProviderError):
                if held := self.find(request, key=key):
                    return held[0]
            raise
        return _job(name, made["jobArn"], request.model)

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        """The job of the key's name."""
        name = hosted.name_of(key)
        try:
            said = self._get(name)
        except api.NotFound:
            return []
        return [_job(name, said["jobArn"], request.model, said.get("creationTime"))]

    def job(self, request: api.Request, id: str) -> api.Job:
        """The job of that name or ARN, whoever made it."""
        said = self._get(id)
        if LONG.sub("", request.model.id.rpartition("/")[2]) not in str(said.get("baseModelArn", "")):
            raise api.Rejected(f"job {id} tunes {said.get('baseModelArn')}", f"the spec says {request.model.id}")
        return _job(said["jobName"], said["jobArn"], request.model, said.get("creationTime"))

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        """The job's status, its phases, and what its metrics files say by now."""
        said = self._get(job.id)
        raw = str(said.get("status", ""))
        state = STATES.get(raw, api.JobState.UNKNOWN)
        at = msgspec.json.decode(cursor, type=metrics.Cursor) if cursor else metrics.Cursor()
        phases = [event for event in metrics.phases(said) if event.id not in at.phases]
        measured, without = self.asides.read(job, "losses", partial(self._measured, said), ended=state.terminal)
        training, validation = measured or ([], [])
        training, validation = training[at.training :], validation[at.validation :]
        told = metrics.Cursor(
            phases=(*at.phases, *(event.id for event in phases)),
            training=at.training + len(training),
            validation=at.validation + len(validation),
        )
        failed = state is api.JobState.FAILED
        return api.JobUpdate(
            state=state,
            raw=raw,
            events=(*phases, *training, *validation, *without),
            cursor=msgspec.json.encode(told).decode(),
            model=_model(job, said) if state is api.JobState.SUCCEEDED else None,
            error=str(said.get("failureMessage", "")) if failed else "",
            hint=FAILED if failed else "",
        )

    def cancel(self, job: api.Job) -> None:
        """Ask for it; a job that has ended, or is ending, is left alone."""
        stop = self.aws.client("bedrock").stop_model_customization_job
        hosted.cancel(
            calling, lambda: stop(jobIdentifier=job.id), lambda: STATES.get(self._get(job.id).get("status", ""))
        )

    # ---- private

    def _there(self, key: str, size: int) -> bool:
        """Whether the bucket has an object of that name and size."""
        with suppress(api.NotFound), calling():
            held = self.aws.client("s3").head_object(Bucket=self.bucket, Key=key)
            return bool(held.get("ContentLength") == size)
        return False

    def _get(self, name: str) -> Mapping[str, Any]:
        with calling():
            said: Mapping[str, Any] = self.aws.client("bedrock").get_model_customization_job(jobIdentifier=name)
        if "jobArn" not in said:
            raise hosted.unreadable(said)
        return said

    def _measured(self, said: Mapping[str, Any]) -> tuple[list[api.TrainingEvent], list[api.TrainingEvent]]:
        """What the files of both sides say."""
        training = self._losses(said, metrics.TRAINING, "training")
        return training, self._losses(said, metrics.VALIDATION, "validation")

    def _losses(self, said: Mapping[str, Any], file: str, kind: str) -> list[api.TrainingEvent]:
        """The rows of one of the job's metrics files, [] before it is there."""
        bucket, _, folder = str(said["outputDataConfig"]["s3Uri"]).removeprefix("s3://").partition("/")
        job = f"model-customization-job-{said['jobArn'].rpartition('/')[2]}"
        key = "/".join(filter(None, [folder.rstrip("/"), job, file]))
        try:
            with calling():
                found = self.aws.client("s3").get_object(Bucket=bucket, Key=key)
                text = found["Body"].read().decode("utf-8", "replace")
        except api.NotFound:
            return []
        if "LastModified" not in found:  # boto3 takes any 200
            raise hosted.unreadable(text)
        return metrics.losses(text, kind, found["LastModified"].timestamp())


def _job(name: str, arn: str, model: api.ModelRef, created: Any = None) -> api.Job:
    details = {"arn": arn, "model": msgspec.to_builtins(model)}
    return api.Job(id=name, created_at=created.timestamp() if created else 0.0, details=details)


def _model(job: api.Job, said: Mapping[str, Any]) -> api.TunedModel | None:
    """None as long as Bedrock does not name it: core asks again."""
    if not said.get("outputModelArn"):
        return None
    base = msgspec.convert(job.details["model"], api.ModelRef)
    return api.TunedModel(id=said["outputModelArn"], base=base, details={"job": job.id})
