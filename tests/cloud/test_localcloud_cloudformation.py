import json
import textwrap
from typing import Any

import pytest
import yaml
from localcloud import LocalCloud, ProblemsSeen, StackFailed
from tests.cloud.templates import function, role, template

CUSTOM = """
import json, urllib.request
import boto3

def handler(event, context):
    key = event["RequestType"] + " " + event["LogicalResourceId"]
    boto3.client("s3").put_object(Bucket="requests", Key=key, Body=json.dumps(event).encode())
    properties = event["ResourceProperties"]
    answer = {
        "Status": "FAILED" if properties.get("Fail") == event["RequestType"] else "SUCCESS",
        "Reason": "told to fail",
        "PhysicalResourceId": event.get("PhysicalResourceId", "physical-1"),
        "Data": {"Word": "hello " + properties.get("Name", "")},
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""})
    urllib.request.urlopen(request)
"""


def custom(name: str, **properties: Any) -> dict[str, Any]:
    token = {"ServiceToken": {"Fn::GetAtt": ["Helper", "Arn"]}}
    return {"Type": f"Custom::{name}", "Properties": {**token, **properties}}


def helper(**others: Any) -> dict[str, Any]:
    return {"FunctionRole": role("lambda.amazonaws.com"), "Helper": function(CUSTOM), **others}


def requests(cloud: LocalCloud) -> list[tuple[str, dict[str, Any]]]:
    """Return what the helper was asked, in the order of asking."""
    s3 = cloud.client("s3")
    keys = [call["parameters"]["Key"] for call in cloud.calls if call["operation"] == "PutObject"]
    return [(key, json.load(s3.get_object(Bucket="requests", Key=key)["Body"])) for key in keys]


def test_a_custom_resource_is_invoked_waited_for_and_deleted_before_its_function(cloud: LocalCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="requests")
    resources = helper(Thing=custom("Thing", Name="you", Number=7, Flag=True, List=[1, 2]))
    outputs = {"Word": {"Value": {"Fn::GetAtt": ["Thing", "Word"]}}, "Id": {"Value": {"Ref": "Thing"}}}
    stack = cloud.deploy(template(resources, Outputs=outputs))
    assert stack.outputs == {"Word": "hello you", "Id": "physical-1"}
    ((_, asked),) = requests(cloud)
    assert asked["ResourceProperties"] | {"ServiceToken": ""} == {
        "ServiceToken": "",
        "Name": "you",
        "Number": "7",
        "Flag": "true",
        "List": ["1", "2"],
    }
    cloud.delete(stack)
    deleted = dict(requests(cloud))["Delete Thing"]
    assert deleted["PhysicalResourceId"] == "physical-1" and deleted["ResourceProperties"]["Name"] == "you"
    assert cloud.client("lambda").list_functions()["Functions"] == []


def test_a_custom_resource_that_fails_fails_the_stack_and_is_deleted_with_it(cloud: LocalCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="requests")
    with pytest.raises(StackFailed, match="Thing: told to fail"):
        cloud.deploy(template(helper(Thing=custom("Thing", Fail="Create"))))
    cloud.client("cloudformation").delete_stack(StackName="stack")
    cloud.wait_for(
        lambda: (
            not cloud.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_FAILED", "DELETE_IN_PROGRESS"])[
                "StackSummaries"
            ]
        ),
        "the end of the stack",
    )
    assert "Delete Thing" in dict(requests(cloud))


def test_a_custom_resource_that_fails_to_delete_is_heard(cloud: LocalCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="requests")
    stack = cloud.deploy(template(helper(Thing=custom("Thing", Fail="Delete"))))
    with pytest.raises(StackFailed, match="told to fail"):
        cloud.delete(stack)


def test_what_depends_comes_after_and_goes_before(cloud: LocalCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="requests")
    resources = helper(
        First={**custom("Thing", After={"Ref": "Second"})},
        Second={**custom("Thing"), "DependsOn": "Third"},
        Third=custom("Thing"),
    )
    stack = cloud.deploy(template(resources))
    cloud.delete(stack)
    order = [key for key, _ in requests(cloud)]
    assert order[:3] == ["Create Third", "Create Second", "Create First"]
    assert order[3:] == ["Delete First", "Delete Second", "Delete Third"]


def test_an_unsupported_type_fails_the_run() -> None:
    with (
        pytest.raises(ProblemsSeen, match="No Moto CloudFormation support for AWS::Scheduler::Schedule"),
        LocalCloud() as cloud,
    ):
        cloud.deploy(template({"Timer": {"Type": "AWS::Scheduler::Schedule", "Properties": {}}}))


def test_an_internal_error_of_moto_fails_the_run() -> None:
    with pytest.raises(ProblemsSeen, match="cloudformation CreateStack answered 500"), LocalCloud() as cloud:
        client = cloud.client("s3")
        with pytest.raises(client.exceptions.ClientError):
            cloud.client("cloudformation").create_stack(StackName="bad", TemplateBody="Resources: [")


def test_short_forms_substitutions_and_no_value(cloud: LocalCloud) -> None:
    text = textwrap.dedent("""
        Parameters:
          Wanted: {Type: String, Default: "yes"}
        Conditions:
          IsWanted: !Equals [!Ref Wanted, "yes"]
          Both: !And [!Condition IsWanted, !Equals [a, a]]
        Resources:
          Queue:
            Type: AWS::SQS::Queue
            Condition: Both
            Properties: {Tags: [!Ref AWS::NoValue, {Key: a, Value: b}]}
        Outputs:
          Shell:
            Value: !Sub
              - 'x=$$ y=$HOME z=${!z} ${AWS::Region} ${Word} ${Queue.QueueName}'
              - Word: !Join ["-", [a, b]]
          Url: {Value: !GetAtt Queue.QueueUrl}
    """)
    outputs = cloud.deploy(text).outputs
    assert outputs["Shell"].startswith("x=$$ y=$HOME z=${z} us-east-1 a-b stack-Queue-")
    assert outputs["Url"].startswith("http")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Size": "huge"}, "AllowedValues"),
        ({"Word": "no!"}, "only letters"),
        ({"Count": "0"}, "not less than 1"),
        ({"Count": "many"}, "must be a number"),
        ({"Other": "x"}, "do not exist in the template"),
    ],
)
def test_parameters_are_checked(shared_cloud: LocalCloud, value: dict[str, str], message: str) -> None:
    slots = {
        "Size": {"Type": "String", "Default": "small", "AllowedValues": ["small", "large"]},
        "Word": {"Type": "String", "Default": "a", "AllowedPattern": "[a-z]+", "ConstraintDescription": "only letters"},
        "Count": {"Type": "Number", "Default": 1, "MinValue": 1},
    }
    with pytest.raises(StackFailed, match=message):
        shared_cloud.deploy(template({"Queue": {"Type": "AWS::SQS::Queue"}}, Parameters=slots), value)


def test_properties_that_moto_drops_are_there(cloud: LocalCloud) -> None:
    managed = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    resources: dict[str, Any] = {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": "bucket",
                "VersioningConfiguration": {"Status": "Enabled"},
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "LifecycleConfiguration": {
                    "Rules": [{"Id": "old", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 90}}]
                },
            },
        },
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "table",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "TimeToLiveSpecification": {"AttributeName": "ExpireItem", "Enabled": True},
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            },
        },
        "Files": {
            "Type": "AWS::EFS::FileSystem",
            "Properties": {"FileSystemPolicy": {"Version": "2012-10-17", "Statement": []}},
        },
        "FunctionRole": {**role("lambda.amazonaws.com")},
        "Dead": {"Type": "AWS::SQS::Queue"},
        "Helper": function(
            CUSTOM,
            Architectures=["arm64"],
            DeadLetterConfig={"TargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}},
            Tags=[{"Key": "a", "Value": "b"}],
        ),
        "Key": {
            "Type": "AWS::KMS::Key",
            "Properties": {
                "KeyPolicy": {"Version": "2012-10-17", "Statement": []},
                "Tags": [{"Key": "a", "Value": "b"}],
            },
        },
    }
    resources["FunctionRole"]["Properties"]["ManagedPolicyArns"] = [managed]
    outputs = {
        "Arn": {"Value": {"Fn::GetAtt": ["Files", "Arn"]}},
        "Role": {"Value": {"Ref": "FunctionRole"}},
        "Files": {"Value": {"Ref": "Files"}},
    }
    stack = cloud.deploy(template(resources, Outputs=outputs))
    s3, dynamodb, iam = (cloud.client(name) for name in ("s3", "dynamodb", "iam"))
    assert s3.get_bucket_versioning(Bucket="bucket")["Status"] == "Enabled"
    assert (
        s3.get_public_access_block(Bucket="bucket")["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"] is True
    )
    assert (
        s3.get_bucket_ownership_controls(Bucket="bucket")["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
        == "BucketOwnerEnforced"
    )
    assert (
        s3.get_bucket_lifecycle_configuration(Bucket="bucket")["Rules"][0]["NoncurrentVersionExpiration"][
            "NoncurrentDays"
        ]
        == 90
    )
    assert dynamodb.describe_time_to_live(TableName="table")["TimeToLiveDescription"]["AttributeName"] == "ExpireItem"
    backups = dynamodb.describe_continuous_backups(TableName="table")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert stack.outputs["Arn"].endswith(f"file-system/{stack.outputs['Files']}")
    policy = cloud.client("efs").describe_file_system_policy(FileSystemId=stack.outputs["Files"])["Policy"]
    assert json.loads(policy)["Statement"] == []
    attached = iam.list_attached_role_policies(RoleName=stack.outputs["Role"])["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [managed]
    (made,) = cloud.client("lambda").list_functions()["Functions"]
    assert made["Architectures"] == ["arm64"]


def test_resource_types_that_moto_lacks_are_made_and_removed(cloud: LocalCloud) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    resources: dict[str, Any] = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "bucket"}},
        "BucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": document},
        },
        "Queue": {"Type": "AWS::SQS::Queue"},
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": document},
        },
        "Topic": {"Type": "AWS::SNS::Topic"},
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": document},
        },
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Topic"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]},
            },
        },
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "Namespace": "n",
                "MetricName": "m",
                "Statistic": "Sum",
                "Period": 300,
                "EvaluationPeriods": 3,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "breaching",
            },
        },
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Security": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "d", "VpcId": {"Ref": "Vpc"}},
        },
        "In": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {
                "GroupId": {"Fn::GetAtt": ["Security", "GroupId"]},
                "IpProtocol": "tcp",
                "FromPort": 2049,
                "ToPort": 2049,
                "SourceSecurityGroupId": {"Fn::GetAtt": ["Security", "GroupId"]},
            },
        },
        "Out": {
            "Type": "AWS::EC2::SecurityGroupEgress",
            "Properties": {
                "GroupId": {"Fn::GetAtt": ["Security", "GroupId"]},
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "CidrIp": "10.0.0.0/8",
            },
        },
        "FunctionRole": role("lambda.amazonaws.com"),
        "Helper": function(CUSTOM),
        "Retries": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {"FunctionName": {"Ref": "Helper"}, "Qualifier": "$LATEST", "MaximumRetryAttempts": 1},
        },
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": "Helper"},
                "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com",
            },
        },
    }
    outputs: dict[str, Any] = {name: {"Value": {"Ref": name}} for name in ("Queue", "Topic", "Helper", "Alarm")}
    outputs["Security"] = {"Value": {"Fn::GetAtt": ["Security", "GroupId"]}}
    stack = cloud.deploy(template(resources, Outputs=outputs))
    out = stack.outputs
    assert json.loads(cloud.client("s3").get_bucket_policy(Bucket="bucket")["Policy"]) == document
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=out["Queue"], AttributeNames=["Policy"])[
        "Attributes"
    ]
    assert json.loads(attributes["Policy"])["Statement"]
    topic = cloud.client("sns").get_topic_attributes(TopicArn=out["Topic"])["Attributes"]
    assert json.loads(topic["Policy"]) == document
    assert len(cloud.client("sns").list_subscriptions()["Subscriptions"]) == 1
    (alarm,) = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert (alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (3, "breaching")
    (group,) = cloud.client("ec2").describe_security_groups(GroupIds=[out["Security"]])["SecurityGroups"]
    assert 443 in [rule.get("FromPort") for rule in group["IpPermissionsEgress"]]
    config = cloud.client("lambda").get_function_event_invoke_config(FunctionName=out["Helper"])
    assert config["MaximumRetryAttempts"] == 1
    cloud.delete(stack)
    assert cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert cloud.client("sns").list_subscriptions()["Subscriptions"] == []
    assert cloud.client("lambda").list_functions()["Functions"] == []


def test_a_retained_resource_stays(cloud: LocalCloud) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": {"BucketName": "kept"}}
    stack = cloud.deploy(yaml.safe_dump({"Resources": {"Bucket": bucket, "Queue": {"Type": "AWS::SQS::Queue"}}}))
    cloud.delete(stack)
    assert [found["Name"] for found in cloud.client("s3").list_buckets()["Buckets"]] == ["kept"]
    assert cloud.client("sqs").list_queues().get("QueueUrls", []) == []
