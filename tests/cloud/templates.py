"""Small templates for the tests of the local cloud itself."""

from typing import Any

import yaml

REGION = "us-east-1"


def template(resources: dict[str, Any], **sections: Any) -> str:
    """Return a template's text."""
    return str(yaml.safe_dump({"Resources": resources, **sections}, sort_keys=False))


def role(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}},
    }


def function(code: str, timeout: int = 20, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
            "Timeout": timeout, "Code": {"ZipFile": code}, **properties,
        },
    }  # fmt: skip


def group(user_data: str, **properties: Any) -> dict[str, Any]:
    """Return a network, a file system, and a group of at most one instance that runs ``user_data``."""
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "InstanceRole"}]}}
    launch = {
        "ImageId": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        "InstanceType": "c5.xlarge", "UserData": {"Fn::Base64": user_data},
        "IamInstanceProfile": {"Arn": {"Fn::GetAtt": ["Profile", "Arn"]}},
        "MetadataOptions": {"HttpTokens": "required"},
    }  # fmt: skip
    return {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "us-east-1a"},
        },
        "Files": {"Type": "AWS::EFS::FileSystem"},
        "Target": {
            "Type": "AWS::EFS::MountTarget",
            "Properties": {
                "FileSystemId": {"Ref": "Files"},
                "SubnetId": {"Ref": "Subnet"},
                "SecurityGroups": [{"Fn::GetAtt": ["Vpc", "DefaultSecurityGroup"]}],
            },
        },
        "InstanceRole": role("ec2.amazonaws.com"),
        "Profile": profile,
        "Launch": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": launch}},
        "Group": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "Properties": {
                "AutoScalingGroupName": "group", "MinSize": 0, "MaxSize": 1, "VPCZoneIdentifier": [{"Ref": "Subnet"}],
                "LaunchTemplate": {
                    "LaunchTemplateId": {"Ref": "Launch"}, "Version": {"Fn::GetAtt": ["Launch", "LatestVersionNumber"]},
                },
                **properties,
            },
        },
    }  # fmt: skip


def recorder(pattern: dict[str, Any] | None = None, **rule: Any) -> dict[str, Any]:
    """Return a function that keeps every event it gets in a bucket, and a rule that sends it some."""
    code = (
        "import boto3, json\n"
        "def handler(event, context):\n"
        "    words = [event.get('time', ''), event.get('detail-type', ''), event.get('id', context.aws_request_id)]\n"
        "    key = ' '.join(words)\n"
        "    boto3.client('s3').put_object(Bucket='events', Key=key, Body=json.dumps(event).encode())\n"
    )
    target = {"Id": "target", "Arn": {"Fn::GetAtt": ["Recorder", "Arn"]}}
    properties = {"Targets": [target], **({"EventPattern": pattern} if pattern else {}), **rule}
    return {
        "Events": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "events"}},
        "FunctionRole": role("lambda.amazonaws.com"),
        "Recorder": function(code),
        "Rule": {"Type": "AWS::Events::Rule", "Properties": properties},
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": "Recorder"}, "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com", "SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]},
            },
        },
    }  # fmt: skip
