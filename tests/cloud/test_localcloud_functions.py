import io
import json
import textwrap
import zipfile
from typing import Any

import pytest
from localcloud import LocalCloud, ProblemsSeen

ROLE = "arn:aws:iam::123456789012:role/worker"

CODE = """
    import json, os, sys, time
    import boto3

    COUNT = 0

    def handler(event, context):
        global COUNT
        COUNT += 1
        print("working on", event.get("do"))
        if event.get("do") == "fail":
            raise RuntimeError("told to fail")
        if event.get("do") == "sleep":
            time.sleep(30)
        if event.get("do") == "exit":
            os._exit(3)
        if event.get("do") == "import":
            import moto
        if event.get("do") == "note":
            boto3.client("s3").put_object(Bucket="bucket", Key="note", Body=json.dumps(event).encode())
        return {
            "count": COUNT,
            "time": time.time(),
            "name": context.function_name,
            "left": context.get_remaining_time_in_millis(),
            "value": os.environ["VALUE"],
        }
"""


def make_zip(code: str, name: str = "index.py") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, textwrap.dedent(code))
    return buffer.getvalue()


def make_function(cloud: LocalCloud, code: str = CODE, **settings: Any) -> str:
    iam = cloud.client("iam")
    if not iam.list_roles()["Roles"]:
        iam.create_role(RoleName="worker", AssumeRolePolicyDocument="{}")
    made = cloud.client("lambda").create_function(
        FunctionName="worker",
        Runtime="python3.13",
        Role=ROLE,
        Handler="index.handler",
        Code={"ZipFile": make_zip(code)},
        Environment={"Variables": {"VALUE": "seven"}},
        **{"Timeout": 10, **settings},
    )
    return str(made["FunctionArn"])


def invoke(cloud: LocalCloud, event: dict[str, Any], kind: str = "RequestResponse") -> Any:
    return cloud.client("lambda").invoke(FunctionName="worker", InvocationType=kind, Payload=json.dumps(event).encode())


def log_lines(cloud: LocalCloud) -> list[str]:
    events = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/worker")["events"]
    return [event["message"] for event in events]


def test_a_function_runs_from_its_zip_with_its_environment_and_stays_warm(cloud: LocalCloud) -> None:
    make_function(cloud)
    first, second = (json.loads(invoke(cloud, {"do": "work"})["Payload"].read()) for _ in range(2))
    assert (first["name"], first["value"], first["count"], second["count"]) == ("worker", "seven", 1, 2)
    assert 0 < first["left"] <= 10_000
    lines = log_lines(cloud)
    assert "working on work" in lines
    assert any(line.startswith("REPORT RequestId:") for line in lines)


def test_a_function_lives_on_the_clock_of_the_cloud(cloud: LocalCloud) -> None:
    make_function(cloud)
    cloud.clock.advance(days=40)
    answer = json.loads(invoke(cloud, {"do": "work"})["Payload"].read())
    assert abs(answer["time"] - cloud.clock.now().timestamp()) < 60


def test_an_exception_reaches_the_caller_the_log_and_fails_the_run(cloud: LocalCloud) -> None:
    make_function(cloud)
    with cloud.expecting_problems() as problems:
        response = invoke(cloud, {"do": "fail"})
    assert response["FunctionError"] == "Unhandled"
    assert json.loads(response["Payload"].read())["errorMessage"] == "told to fail"
    assert any("told to fail" in line for line in log_lines(cloud))
    assert [problem["where"] for problem in problems] == ["function worker"]


def test_a_run_that_saw_an_exception_fails() -> None:
    with pytest.raises(ProblemsSeen, match="told to fail"), LocalCloud() as cloud:
        make_function(cloud)
        invoke(cloud, {"do": "fail"})


def test_a_function_sees_only_what_the_runtime_of_aws_has(cloud: LocalCloud) -> None:
    make_function(cloud)
    with cloud.expecting_problems():
        answer = json.loads(invoke(cloud, {"do": "import"})["Payload"].read())
    assert answer["errorType"] == "Runtime.ImportModuleError" or "moto" in answer["errorMessage"]


@pytest.mark.parametrize(("do", "message"), [("sleep", "Task timed out after 1.00 seconds"), ("exit", "exit status 3")])
def test_a_function_that_hangs_or_dies_is_reported_and_the_next_event_gets_a_new_one(
    cloud: LocalCloud, do: str, message: str
) -> None:
    make_function(cloud, Timeout=1)
    invoke(cloud, {"do": "warm up"})
    with cloud.expecting_problems():
        answer = json.loads(invoke(cloud, {"do": do})["Payload"].read())
    assert message in answer["errorMessage"]
    assert json.loads(invoke(cloud, {"do": "work"})["Payload"].read())["count"] == 1


def test_an_asynchronous_event_is_tried_three_times_then_goes_to_the_dead_letter_queue(cloud: LocalCloud) -> None:
    queue = cloud.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
    make_function(cloud)
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName="worker",
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:dead"}},
    )
    with cloud.expecting_problems() as problems:
        assert invoke(cloud, {"do": "fail"}, "Event")["StatusCode"] == 202
        cloud.settle()
    assert len(problems) == 3
    (message,) = cloud.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"])["requestPayload"] == {"do": "fail"}


def test_invocations_at_the_same_time_get_processes_of_their_own(cloud: LocalCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="bucket")
    code = """
        import os, time, boto3
        def handler(event, context):
            s3 = boto3.client("s3")
            s3.put_object(Bucket="bucket", Key=f"started/{os.getpid()}", Body=b"")
            for _ in range(100):
                if s3.list_objects_v2(Bucket="bucket", Prefix="started/")["KeyCount"] == 2:
                    return s3.put_object(Bucket="bucket", Key=f"met/{os.getpid()}", Body=b"") and None
                time.sleep(0.05)
    """
    make_function(cloud, code)
    for _ in range(2):
        invoke(cloud, {}, "Event")
    cloud.settle()
    assert cloud.client("s3").list_objects_v2(Bucket="bucket", Prefix="met/")["KeyCount"] == 2


def test_calls_are_recorded_with_the_role_that_makes_them(cloud: LocalCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="bucket")
    make_function(cloud)
    invoke(cloud, {"do": "note"})
    (call,) = [call for call in cloud.calls if call["role"]]
    assert (call["service"], call["operation"], call["role"], call["caller"], call["status"]) == (
        "s3",
        "PutObject",
        ROLE,
        "function worker",
        200,
    )
    assert call["parameters"] == {"Bucket": "bucket", "Key": "note"}


@pytest.mark.parametrize("kind", ["throttle", "error"])
def test_a_single_fault_is_survived_by_the_clients_retries(cloud: LocalCloud, kind: str) -> None:
    cloud.client("s3").create_bucket(Bucket="bucket")
    make_function(cloud)
    cloud.fault(kind, service="s3", operation="PutObject", caller="function *")
    assert "FunctionError" not in invoke(cloud, {"do": "note"})
    statuses = [call["status"] for call in cloud.calls if call["caller"] == "function worker"]
    assert statuses[-1] == 200 and statuses[0] in (400, 500, 503) and len(statuses) == 2


@pytest.mark.parametrize(("kind", "written"), [("die-before", 0), ("die-after", 1)])
def test_a_function_can_die_before_or_after_any_call(cloud: LocalCloud, kind: str, written: int) -> None:
    cloud.client("s3").create_bucket(Bucket="bucket")
    make_function(cloud)
    cloud.fault(kind, operation="PutObject", caller="function *")
    answer = invoke(cloud, {"do": "note"})
    assert answer["FunctionError"] == "Unhandled"
    assert cloud.client("s3").list_objects_v2(Bucket="bucket")["KeyCount"] == written


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_instances", "RequestLimitExceeded"),
        ("autoscaling", "describe_auto_scaling_groups", "Throttling"),
        ("dynamodb", "list_tables", "ThrottlingException"),
        ("s3", "list_buckets", "SlowDown"),
        ("efs", "describe_file_systems", "ThrottlingException"),
        ("cloudwatch", "list_metrics", "ThrottlingException"),
        ("sns", "list_topics", "ThrottlingException"),
        ("lambda", "list_functions", "ThrottlingException"),
        ("ssm", "list_commands", "ThrottlingException"),
    ],
)
def test_a_throttled_call_reads_as_one_in_every_protocol(
    shared_cloud: LocalCloud, service: str, call: str, code: str
) -> None:
    client = shared_cloud.client(service)
    shared_cloud.fault("throttle", service=service, times=20)
    with pytest.raises(client.exceptions.ClientError) as caught:
        getattr(client, call)()
    assert caught.value.response["Error"]["Code"] == code
    shared_cloud.clear_faults()
    getattr(client, call)()
