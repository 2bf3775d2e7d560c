"""A backup stack in moto, over HTTP, with the behaviour that moto has not.

moto's group launches and terminates on the spot, without hook, events or activities (5.2.1). Here a group only keeps
the capacity it was told; the test says when an instance comes, waits in its hook, and goes. Mails are read from moto's
topic. AWS calls are recorded, and can be made to fail or to be the function's last.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar

import boto3
from botocore.awsrequest import AWSResponse
from moto.autoscaling.models import InstanceState, autoscaling_backends
from moto.sns.models import sns_backends

from orchestrator import clock
from orchestrator.handler import lambda_handler

ACCOUNT, REGION = "123456789012", "us-east-1"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:efs-nightly"
DEAD_LETTERS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letters"
NIGHT = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Died(BaseException):
    """The function's process ended, right after a call."""


@dataclass
class Calls:
    """What a function asked of AWS, and what is to go wrong.

    ``die_after`` ends the function after that many calls. ``fail`` answers the call of that number (the first is 1)
    with this HTTP status, as often as ``times`` says.
    """

    made: list[str] = field(default_factory=list)
    parameters: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    die_after: int | None = None
    fail: tuple[int, int] | None = None
    times: int = 1
    between: tuple[int, Callable[[], object]] | None = None

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Calls that functions make inside are recorded, and go wrong as wanted."""
        real, boto3.client = boto3.client, recorded_client
        _ACTIVE.append(self)
        try:
            yield
        finally:
            _ACTIVE.pop()
            boto3.client = real

    def asked(self, params: dict[str, Any], model: Any) -> None:
        """A call is about to be made."""
        self.made.append(f"{model.service_model.service_name}:{model.name}")
        self.parameters.append((self.made[-1], dict(params)))

    def sent(self, request: Any) -> AWSResponse | None:
        """A request is about to be sent; an answer in its place if it is to fail."""
        if self.fail is None or len(self.made) != self.fail[0] or self.times == 0:
            return None
        self.times -= 1
        status = self.fail[1]
        code = {500: "InternalFailure", 400: "ThrottlingException"}[status]
        is_json = "json" in str(request.headers.get("Content-Type", ""))
        body = (
            json.dumps({"__type": code, "message": "made to fail"})
            if is_json
            else f"<ErrorResponse><Error><Code>{code}</Code><Message>made to fail</Message></Error></ErrorResponse>"
        )
        raw = SimpleNamespace(stream=lambda **_: iter([body.encode()]), read=body.encode)
        return AWSResponse(request.url, status, {}, raw)

    def answered(self) -> None:
        """A call was answered."""
        if self.die_after is not None and len(self.made) >= self.die_after:
            raise Died
        if self.between and len(self.made) == self.between[0]:
            (_, act), self.between = self.between, None
            act()


_ACTIVE: list[Calls] = []
"""Whose calls they are: the last one's. An invocation may run while another is at work."""


@cache
def recorded_client(service: str, config: Any = None) -> Any:
    """In place of boto3.client: the same client again, as to make one costs more than to use it."""
    made = boto3.Session(region_name=REGION).client(service, config=config)
    hooks = made.meta.events
    hooks.register("provide-client-params", lambda params, model, **_: _ACTIVE[-1].asked(params, model))
    hooks.register("before-send", lambda request, **_: _ACTIVE[-1].sent(request))
    hooks.register("after-call", lambda **_: _ACTIVE[-1].answered())
    return made


class Cloud:
    """One stack: its table, topic, group and rule, and the orchestrator's function."""

    def __init__(self, monkeypatch: Any, **environment: str) -> None:
        self.guid = str(uuid.uuid4())
        self.name = f"stack-{self.guid[:8]}"
        self.group = f"efs-backup-{self.guid}"
        self.now = NIGHT
        self.numbers = itertools.count(1)
        self.calls = Calls()
        self._make_resources()
        self.environment = self._environment() | environment
        for variable, value in self.environment.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(clock, "now", lambda: self.now)

    def _make_resources(self) -> None:
        dynamodb, sns, efs = client("dynamodb"), client("sns"), client("efs")
        dynamodb.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "BackupId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "BackupId", "KeyType": "HASH"}],
        )
        self.topic = sns.create_topic(Name=self.name)["TopicArn"]
        self.source, self.backup = (
            efs.create_file_system(CreationToken=self.name + side, PerformanceMode=mode)["FileSystemId"]
            for side, mode in (("source", "generalPurpose"), ("backup", "maxIO"))
        )
        client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=self.group,
            LaunchTemplate={"LaunchTemplateName": launch_template(), "Version": "$Latest"},
            MinSize=0,
            MaxSize=1,
            AvailabilityZones=[f"{REGION}a"],
        )
        self._group = moto_group(self.group)
        self._group.set_desired_capacity = self._keep_capacity
        self.stop_rule = f"efs-backup-stop-{self.guid}"

    def _keep_capacity(self, capacity: int | None) -> None:
        self._group.desired_capacity = capacity or 0

    def _environment(self) -> dict[str, str]:
        return {
            "STACK_NAME": "nightly",
            "SOLUTION_VERSION": "v2.0.0",
            "AWS_REGION": REGION,
            "GROUP_NAME": self.group,
            "STOP_RULE": self.stop_rule,
            "DEAD_LETTERS": DEAD_LETTERS,
            "TABLE_NAME": self.name,
            "TOPIC_ARN": self.topic,
            "LOG_BUCKET": "the-log-bucket",
            "SOURCE_EFS": self.source,
            "BACKUP_EFS": self.backup,
            "BACKUP_PREFIX": "/",
            "INTERVAL_TAG": "daily",
            "RETAIN": "7",
            "BACKUP_WINDOW": "180",
            "DRAIN_MINUTES": "10",
            "BACKUP_SCHEDULE": "cron(0 2 * * ? *)",
            "EMAIL": "ops@example.com",
            "RESTORE_TEMPLATE": "https://release.s3.us-east-1.amazonaws.com/restore.template",
            "FOLDER_LABEL": "efs-backup",
            "VPC_ID": "vpc-0123456789abcdef0",
            "SUBNETS": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
            "SECURITY_GROUP": "sg-0123456789abcdef0",
            "PERMISSIONS_BOUNDARY": "",
            "INSTANCE_TYPE": "c5.xlarge",
            "SUCCESS_NOTIFICATION": "Yes",
            "CONSOLE": "console.aws.amazon.com",
            "UUID": "11111111-2222-4333-8444-555555555555",
            "SEND_ANONYMOUS_DATA": "No",
            "METRICS_URL": "http://localhost:9/none",
        }

    # ---- the function

    def invoke_meanwhile(self, event: dict[str, Any]) -> dict[str, str]:
        """Run the handler on an event while another invocation is at work."""
        calls, self.calls = self.calls, Calls()
        try:
            return self.invoke(event)
        finally:
            self.calls = calls

    def invoke(self, event: dict[str, Any], request_id: str | None = None) -> dict[str, str]:
        """Run the real handler on an event, as one invocation."""
        context = SimpleNamespace(
            aws_request_id=request_id or f"request-{next(self.numbers)}", invoked_function_arn=FUNCTION
        )
        with self.calls.recorded():
            return lambda_handler(event, context)

    def invoke_until_done(self, event: dict[str, Any]) -> dict[str, str]:
        """Run the handler as AWS Lambda does: three tries, with the same request id."""
        request_id = f"request-{next(self.numbers)}"
        for last in (False, False, True):
            try:
                return self.invoke(event, request_id)
            except (Exception, Died):
                self.calls = Calls()
                if last:
                    raise
        raise AssertionError("not reached")

    # ---- events

    CHECK: ClassVar[dict[str, Any]] = {"mode": "backup", "action": "check"}
    """What comes every hour."""

    def start_event(self, number: int | None = None) -> dict[str, Any]:
        number = next(self.numbers) if number is None else number
        return {
            "mode": "backup",
            "action": "start",
            "id": f"event-{number}",
            "time": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def stop_event(self) -> dict[str, Any]:
        """What the stop rule would send now."""
        (target,) = client("events").list_targets_by_rule(Rule=self.stop_rule)["Targets"]
        assert target["Arn"] == FUNCTION
        assert target["DeadLetterConfig"] == {"Arn": DEAD_LETTERS}
        return dict(json.loads(target["Input"]))

    def group_event(self, kind: str, **detail: str) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": "aws.autoscaling",
            "detail": {"AutoScalingGroupName": self.group, **detail},
        }

    def terminating(self, instance: str) -> dict[str, Any]:
        return self.group_event(
            "EC2 Instance-terminate Lifecycle Action",
            EC2InstanceId=instance,
            LifecycleHookName="efs-backup-drain",
            LifecycleActionToken=str(uuid.uuid4()),
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        )

    def terminated(self, instance: str) -> dict[str, Any]:
        return self.group_event("EC2 Instance Terminate Successful", EC2InstanceId=instance)

    def launch_failed(self) -> dict[str, Any]:
        return self.group_event("EC2 Instance Launch Unsuccessful", StatusMessage="We have no capacity.")

    # ---- the group and its instance

    @property
    def desired(self) -> int:
        return int(self._group.desired_capacity)

    @property
    def instances(self) -> list[str]:
        return [state.instance_id for state in self._group.instance_states]

    def launch(self) -> str:
        """The group's instance comes up."""
        instance = f"i-{uuid.uuid4().hex[:17]}"
        machine: Any = SimpleNamespace(
            id=instance, placement=f"{REGION}a", instance_type="c5.xlarge", autoscaling_group=self._group
        )
        self._group.instance_states.append(InstanceState(machine))
        return instance

    def wait_in_hook(self, instance: str) -> None:
        for state in self._group.instance_states:
            if state.instance_id == instance:
                state.lifecycle_state = "Terminating:Wait"

    def gone(self, instance: str) -> None:
        """The instance has left the group."""
        self._group.instance_states = [s for s in self._group.instance_states if s.instance_id != instance]

    # ---- the agent's part, as docs/agent.md has it

    def claim(self, instance: str) -> str | None:
        """The instance claims the backup that runs; return its id."""
        lease = self.lease
        if lease is None:
            return None
        self._update("@running", InstanceId={"S": instance})
        return str(lease["RunningBackupId"])

    def record(self, backup: str, status: str, **more: Any) -> None:
        """The instance writes how the backup went."""
        values = {"BackupStatus": {"S": status}, "BackupStopTime": {"S": self.now.strftime("%Y-%m-%dT%H:%M:%S")}}
        self._update(backup, **(values | more))

    def scale_in(self) -> None:
        client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=self.group, DesiredCapacity=0, HonorCooldown=False
        )

    def _update(self, key: str, **attributes: Any) -> None:
        names = list(attributes)
        client("dynamodb").update_item(
            TableName=self.name,
            Key={"BackupId": {"S": key}},
            UpdateExpression="SET " + ", ".join(f"{n} = :v{i}" for i, n in enumerate(names)),
            ExpressionAttributeValues={f":v{i}": attributes[n] for i, n in enumerate(names)},
        )

    def run_to_success(self) -> str:
        """The instance comes up, backs up, reports and goes; return the backup's id."""
        instance = self.launch()
        backup = self.claim(instance)
        assert backup is not None
        self.record(backup, "Success")
        self.scale_in()
        self.gone(instance)
        self.invoke(self.terminated(instance))
        return backup

    def put_metric(self, namespace: str, name: str, dimensions: dict[str, str], value: float) -> None:
        client("cloudwatch").put_metric_data(
            Namespace=namespace,
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
                    "Timestamp": self.now - timedelta(minutes=10),
                    "Value": value,
                }
            ],
        )

    # ---- what a test looks at

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)

    @property
    def raw_items(self) -> dict[str, dict[str, Any]]:
        items = client("dynamodb").scan(TableName=self.name, ConsistentRead=True)["Items"]
        return {item["BackupId"]["S"]: item for item in items}

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        """The backups, by id, in plain values."""
        return {key: _plain(item) for key, item in self.raw_items.items() if key != "@running"}

    @property
    def lease(self) -> dict[str, Any] | None:
        item = self.raw_items.get("@running")
        return _plain(item) if item else None

    @property
    def mails(self) -> list[tuple[str, str]]:
        """Subject and message of each mail."""
        sent = sns_backends[ACCOUNT][REGION].topics[self.topic].sent_notifications
        return [(str(subject), message) for _, message, subject, _, _ in sent]

    def mails_about(self, backup: str) -> list[str]:
        return [subject for subject, _ in self.mails if f" {backup} " in subject]

    @property
    def rule(self) -> str | None:
        """The stop rule's expression, None if there is no rule."""
        events = client("events")
        try:
            return str(events.describe_rule(Name=self.stop_rule)["ScheduleExpression"])
        except events.exceptions.ResourceNotFoundException:
            return None

    def assert_clean(self) -> None:
        """Nothing is left behind: no lease, no rule, no capacity."""
        assert self.lease is None
        assert self.rule is None
        assert self.desired == 0


def moto_group(name: str) -> Any:
    """moto's own record of a group."""
    return autoscaling_backends[ACCOUNT][REGION].autoscaling_groups[name]


@cache
def client(service: str) -> Any:
    """A client for the test itself; to make one costs more than to use it."""
    return boto3.Session(region_name=REGION).client(service)


@cache
def launch_template() -> str:
    """A launch template for all groups: they launch nothing."""
    name = f"efs-{uuid.uuid4().hex[:12]}"
    data = {"ImageId": "ami-12c6146b", "InstanceType": "c5.xlarge"}
    client("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    return name


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(*value.items()) for name, value in item.items()}


def _value(typed: tuple[str, Any]) -> Any:
    kind, value = typed
    return {"S": str, "N": int, "BOOL": bool}[kind](value)


@contextmanager
def no_waiting(monkeypatch: Any) -> Iterator[None]:
    """botocore waits between its tries; tests need not."""
    with monkeypatch.context() as patch:
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
        yield
