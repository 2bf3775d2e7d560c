"""Each patch to moto is needed: the pinned moto, unpatched, still has the gap that it closes.

That moto still bears the patches is shown by every other test of the local cloud: a patch whose target is gone stops
the cloud from starting. When one of these tests fails after an update of moto, the patch it names can go.
"""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from localcloud import patching, resources
from moto import mock_aws
from moto.autoscaling.models import AutoScalingBackend
from moto.autoscaling.responses import AutoScalingResponse
from moto.awslambda.models import Permission
from moto.cloudformation.custom_model import CustomModel
from moto.cloudformation.models import Stack
from moto.cloudformation.parsing import clean_json, get_model_map
from moto.dynamodb.models.table import Table
from moto.ec2.models.security_groups import SecurityGroupIngress
from moto.efs.models import FileSystem
from moto.sns.models import Topic
from moto.sqs.models import Queue
from tests.cloud.templates import group, role, template

STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


@pytest.fixture(autouse=True)
def plain_moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1")


def create(stack: dict[str, Any], **sections: Any) -> Any:
    client("cloudformation").create_stack(StackName="stack", TemplateBody=template(stack, **sections))


@pytest.mark.parametrize("kind", sorted(resources.NEW_TYPES))
def test_moto_lacks_the_resource_type(kind: str) -> None:
    assert kind not in get_model_map()


@pytest.mark.parametrize("model", [CustomModel, Permission, SecurityGroupIngress])
def test_moto_cannot_delete(model: Any) -> None:
    assert not hasattr(model, "delete")


@pytest.mark.parametrize(("model", "attribute"), [(FileSystem, "Arn"), (Queue, "QueueUrl"), (Topic, "TopicArn")])
def test_moto_lacks_the_attribute(model: Any, attribute: str) -> None:
    assert model not in resources.ATTRIBUTES or attribute in resources.ATTRIBUTES[model]
    if model is FileSystem:
        assert not hasattr(FileSystem, "get_cfn_attribute")
    else:
        assert not model.has_cfn_attr(attribute)


def test_moto_misreads_the_short_form_of_condition() -> None:
    assert Stack.parse_template("A: !Condition B") == {"A": {"Fn::Condition": "B"}}


def test_moto_corrupts_shell_in_a_substitution_with_a_mapping() -> None:
    filled = clean_json({"Fn::Sub": ["x=$$ ${Word}", {"Word": "a"}]}, {})  # type: ignore[arg-type]
    assert filled != "x=$$ a"


def test_moto_keeps_no_value_in_lists() -> None:
    assert clean_json([{"Ref": "AWS::NoValue"}], {"AWS::NoValue": None}) == [None]  # type: ignore[arg-type]


def test_moto_takes_any_parameter_value() -> None:
    slots = {"Size": {"Type": "String", "AllowedValues": ["small"]}}
    client("cloudformation").create_stack(
        StackName="stack",
        TemplateBody=template({"Queue": {"Type": "AWS::SQS::Queue"}}, Parameters=slots),
        Parameters=[{"ParameterKey": "Size", "ParameterValue": "huge"}],
    )


def test_moto_fails_on_the_tags_of_a_key() -> None:
    key = {"KeyPolicy": {"Version": "2012-10-17", "Statement": []}, "Tags": [{"Key": "a", "Value": "b"}]}
    with pytest.raises(KeyError):
        create({"Key": {"Type": "AWS::KMS::Key", "Properties": key}})


def test_moto_drops_properties_of_buckets_tables_roles_and_file_systems() -> None:
    attributes = {"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]}
    keys = {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}
    table = {"TableName": "table", "TimeToLiveSpecification": {"AttributeName": "t", "Enabled": True}}
    bucket = {"BucketName": "bucket", "VersioningConfiguration": {"Status": "Enabled"}}
    worker: dict[str, Any] = role("lambda.amazonaws.com")
    worker["Properties"].update(ManagedPolicyArns=["arn:aws:iam::aws:policy/ReadOnlyAccess"], RoleName="worker")
    policy = {"FileSystemPolicy": {"Version": "2012-10-17", "Statement": [STATEMENT]}}
    create(
        {
            "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {**table, **attributes, **keys}},
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": bucket},
            "Role": worker,
            "Files": {"Type": "AWS::EFS::FileSystem", "Properties": policy},
        }
    )
    described = client("dynamodb").describe_time_to_live(TableName="table")["TimeToLiveDescription"]
    assert described["TimeToLiveStatus"] == "DISABLED"
    assert "Status" not in client("s3").get_bucket_versioning(Bucket="bucket")
    assert client("iam").list_attached_role_policies(RoleName="worker")["AttachedPolicies"] == []
    file_system = client("efs").describe_file_systems()["FileSystems"][0]["FileSystemId"]
    with pytest.raises(ClientError):
        client("efs").describe_file_system_policy(FileSystemId=file_system)


def test_moto_enforces_bucket_policies_without_their_conditions() -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="bucket")
    only_plain = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    statement = STATEMENT | only_plain | {"Effect": "Deny", "Resource": "arn:aws:s3:::bucket/*"}
    s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="bucket", Key="key", Body=b"")


def test_moto_launches_and_ends_at_once_without_hooks() -> None:
    hook = {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    properties = {"LifecycleHookSpecificationList": [hook]}
    stack = yaml.safe_load(template(group("#!/bin/bash\n", **properties)))["Resources"]
    del stack["Target"]
    create(stack)
    autoscaling = client("autoscaling")
    assert autoscaling.describe_lifecycle_hooks(AutoScalingGroupName="group")["LifecycleHooks"] == []
    autoscaling.set_desired_capacity(AutoScalingGroupName="group", DesiredCapacity=5)  # MaxSize is 1
    found = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
    assert [instance["LifecycleState"] for instance in found] == ["InService"] * 5
    image = client("ec2").describe_instances()["Reservations"][0]["Instances"][0]["ImageId"]
    assert image.startswith("resolve:ssm:")
    assert autoscaling.describe_scaling_activities()["Activities"] == []
    for missing in ("complete_lifecycle_action", "record_lifecycle_action_heartbeat"):
        assert not hasattr(AutoScalingResponse, missing)
    assert hasattr(AutoScalingBackend, "notify_terminate_instances")  # it replaces what is ended, at once


def test_moto_takes_bad_schedules_and_matches_schedule_rules_with_every_event() -> None:
    events, sqs = client("events"), client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    events.put_rule(Name="rule", ScheduleExpression="cron(0 2 * * * *)")
    events.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:queue"}])
    events.put_events(Entries=[{"Source": "my.app", "DetailType": "Change", "Detail": "{}"}])
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1


def test_moto_delivers_no_event_to_a_function() -> None:
    events = client("events")
    events.put_rule(Name="rule", EventPattern=json.dumps({"source": ["my.app"]}))
    events.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}])
    with pytest.raises(NotImplementedError):
        events.put_events(Entries=[{"Source": "my.app", "DetailType": "Change", "Detail": "{}"}])


def test_moto_takes_every_mail_address_for_confirmed() -> None:
    sns = client("sns")
    topic = sns.create_topic(Name="topic")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"].startswith(topic)


def test_moto_runs_no_command_and_says_success() -> None:
    ssm = client("ssm")
    sent = ssm.send_command(InstanceIds=["i-1"], DocumentName="AWS-RunShellScript", Parameters={"commands": ["exit 3"]})
    which = {"CommandId": sent["Command"]["CommandId"], "InstanceId": "i-1"}
    assert ssm.get_command_invocation(**which)["Status"] == "Success"


def test_moto_says_every_file_system_is_empty() -> None:
    client("efs").create_file_system(CreationToken="x")
    assert client("efs").describe_file_systems()["FileSystems"][0]["SizeInBytes"]["Value"] == 0


def test_motos_conditional_writes_are_not_atomic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers that are both past the condition when either writes both win."""
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="table", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )  # fmt: skip
    both_past, original = threading.Barrier(2, timeout=5), Table.get_item
    reads = threading.local()

    def get_item(self: Table, *arguments: Any, **keywords: Any) -> Any:
        found = original(self, *arguments, **keywords)
        if not getattr(reads, "done", False):
            reads.done = True
            both_past.wait()
        return found

    monkeypatch.setattr(Table, "get_item", get_item)
    won: list[int] = []

    def put(number: int) -> None:
        item = {"id": {"S": "lock"}}
        dynamodb.put_item(TableName="table", Item=item, ConditionExpression="attribute_not_exists(id)")
        won.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [0, 1]


def test_moto_shows_the_list_of_a_parameter_as_python_writes_it() -> None:
    declared = {"Subnets": {"Type": "CommaDelimitedList"}}
    client("cloudformation").create_stack(
        StackName="stack",
        TemplateBody=template({"Topic": {"Type": "AWS::SNS::Topic"}}, Parameters=declared),
        Parameters=[{"ParameterKey": "Subnets", "ParameterValue": "a,b"}],
    )
    (stack,) = client("cloudformation").describe_stacks(StackName="stack")["Stacks"]
    assert stack["Parameters"] == [{"ParameterKey": "Subnets", "ParameterValue": "['a', 'b']"}]


def test_moto_runs_functions_only_in_containers() -> None:
    client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument="{}")
    client("lambda").create_function(
        FunctionName="f", Runtime="python3.13", Role="arn:aws:iam::123456789012:role/worker", Handler="index.handler",
        Code={"ZipFile": base64.b64decode("UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==")},
    )  # fmt: skip
    response = client("lambda").invoke(FunctionName="f")
    assert b"error running docker" in response["Payload"].read()


def test_a_patch_whose_target_is_gone_or_whose_addition_came_is_noticed() -> None:
    with pytest.raises(patching.MotoChangedError, match="has no no_such_method"):
        patching.replace(FileSystem, "no_such_method", lambda original: original)
    with pytest.raises(patching.MotoChangedError, match="need not add it"):
        patching.add(FileSystem, "info_json", None)
