"""What moto's CloudFormation leaves out of single resources: whole types, properties, attributes.

Each is done by the public API of the service (against moto itself, over HTTP), so it does not depend on how moto
keeps its models.
"""

import json
from collections.abc import Callable
from typing import Any

import boto3
from moto.awslambda.models import LambdaFunction, Permission, lambda_backends
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.core.common_models import CloudFormationModel
from moto.ec2.models.security_groups import SecurityGroupIngress
from moto.efs.models import FileSystem
from moto.iam.access_control import PermissionResult
from moto.kms.models import Key
from moto.s3.models import FakeBucket
from moto.sns.models import Topic
from moto.sqs.models import Queue

from localcloud.calls import OWN_KEY
from localcloud.patching import add, replace

Properties = dict[str, Any]
Client = Callable[[str], Any]
Finish = Callable[[Client, Any, Properties], None]


class Resources:
    """Finishes resources of one region through the cloud's own endpoint."""

    def __init__(self, endpoint: str, region: str) -> None:
        """Call the services at ``endpoint``."""
        self._endpoint, self._region = endpoint, region
        self._clients: dict[str, Any] = {}

    def install(self) -> None:
        """Register the missing types and attributes with moto."""
        for kind, creator in NEW_TYPES.items():
            _register(kind, creator, self.client)
        parsing.get_model_list.cache_clear()
        parsing.get_model_map.cache_clear()
        parsing.get_name_type_map.cache_clear()
        for model, attributes in ATTRIBUTES.items():
            _add_attributes(model, attributes)
        replace(Key, "create_from_cloudformation_json", _with_api_tags)
        replace(Permission, "create_from_cloudformation_json", _with_function)
        # No policy is enforced here. moto would, without its conditions: "only over TLS" would refuse everything.
        replace(FakeBucket, "get_permission", lambda _: lambda self, action, resource: PermissionResult.NEUTRAL)
        add(Permission, "delete", _delete_permission)
        add(SecurityGroupIngress, "delete", self._delete_ingress())

    def _delete_ingress(self) -> Callable[[Any, str, str], None]:
        def delete(resource: SecurityGroupIngress, account_id: str, region_name: str) -> None:
            del account_id, region_name
            permission = _permission(resource.properties, "Source")
            group = resource.properties["GroupId"]
            self.client("ec2").revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])

        return delete

    def finish(self, kind: str, resource: Any, properties: Properties) -> None:
        """Set the properties of a new resource that moto dropped."""
        if kind in FINISHERS:
            FINISHERS[kind](self.client, resource, properties)

    def client(self, service: str) -> Any:
        """Return a client that signs as CloudFormation."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service, endpoint_url=self._endpoint, region_name=self._region, aws_access_key_id=OWN_KEY,
                aws_secret_access_key="none",  # noqa: S106 (moto asks for none)
            )  # fmt: skip
        return self._clients[service]


def _register(kind: str, create: Callable[[Client, str, Properties], "Created"], client: Client) -> None:
    """Define a model class for a resource type; moto finds direct subclasses of CloudFormationModel by itself."""

    def create_from_json(
        cls: Any, /, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **keywords: Any
    ) -> Any:
        del account_id, region_name, keywords
        resource = cls()
        created = create(client, resource_name, cloudformation_json["Properties"])
        resource.physical_resource_id, resource.remove = created.physical_id, created.remove
        return resource

    namespace = {
        "__module__": f"moto.{kind.split('::')[1].lower()}.models",  # moto asks the module's name for the service
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: kind),
        "has_cfn_attr": classmethod(lambda cls, attr: False),
        "create_from_cloudformation_json": classmethod(create_from_json),
        "is_created": lambda self: True,
        "delete": lambda self, account_id, region_name: self.remove(),
    }
    type(kind.replace("::", ""), (CloudFormationModel,), namespace)


class Created:
    """A resource of a type that moto does not know: its physical id, and how to remove it."""

    def __init__(self, physical_id: str, remove: Callable[[], object] = lambda: None) -> None:
        """Keep both; a resource that goes with its parent needs no ``remove``."""
        self.physical_id, self.remove = physical_id, remove


def _lifecycle_hook(client: Client, name: str, properties: Properties) -> Created:
    autoscaling = client("autoscaling")
    arguments = {**properties, "LifecycleHookName": properties.get("LifecycleHookName", name)}
    _numbers(arguments, "HeartbeatTimeout")
    autoscaling.put_lifecycle_hook(**arguments)
    which = {key: arguments[key] for key in ("LifecycleHookName", "AutoScalingGroupName")}
    return Created(arguments["LifecycleHookName"], lambda: autoscaling.delete_lifecycle_hook(**which))


def _bucket_policy(client: Client, name: str, properties: Properties) -> Created:
    s3, bucket = client("s3"), properties["Bucket"]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(properties["PolicyDocument"]))
    return Created(name, lambda: s3.delete_bucket_policy(Bucket=bucket))


def _alarm(client: Client, name: str, properties: Properties) -> Created:
    cloudwatch = client("cloudwatch")
    arguments = {**properties, "AlarmName": properties.get("AlarmName", name)}
    _numbers(arguments, "EvaluationPeriods", "DatapointsToAlarm", "Period", "Threshold")
    if "ActionsEnabled" in arguments:
        arguments["ActionsEnabled"] = str(arguments["ActionsEnabled"]).lower() == "true"
    cloudwatch.put_metric_alarm(**arguments)
    return Created(arguments["AlarmName"], lambda: cloudwatch.delete_alarms(AlarmNames=[arguments["AlarmName"]]))


def _topic_policy(client: Client, name: str, properties: Properties) -> Created:
    policy = json.dumps(properties["PolicyDocument"])
    for topic in properties["Topics"]:
        client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    return Created(name)


def _subscription(client: Client, name: str, properties: Properties) -> Created:
    del name
    sns = client("sns")
    wanted = {key: properties[key] for key in ("TopicArn", "Protocol", "Endpoint")}
    arn = sns.subscribe(**wanted, ReturnSubscriptionArn=True)["SubscriptionArn"]
    return Created(arn, lambda: sns.unsubscribe(SubscriptionArn=arn))


def _queue_policy(client: Client, name: str, properties: Properties) -> Created:
    policy = json.dumps(properties["PolicyDocument"])
    for queue in properties["Queues"]:
        client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    return Created(name)


def _egress(client: Client, name: str, properties: Properties) -> Created:
    ec2, group, permission = client("ec2"), properties["GroupId"], _permission(properties, "Destination")
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])
    return Created(name, lambda: ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[permission]))


def _permission(properties: Properties, other: str) -> Properties:
    """Return a rule of a security group in the API's wording; ``other`` is Source or Destination."""
    permission: Properties = {"IpProtocol": str(properties["IpProtocol"])}
    permission.update({key: int(properties[key]) for key in ("FromPort", "ToPort") if key in properties})
    if "CidrIp" in properties:
        permission["IpRanges"] = [{"CidrIp": properties["CidrIp"]}]
    if "CidrIpv6" in properties:
        permission["Ipv6Ranges"] = [{"CidrIpv6": properties["CidrIpv6"]}]
    if f"{other}SecurityGroupId" in properties:
        permission["UserIdGroupPairs"] = [{"GroupId": properties[f"{other}SecurityGroupId"]}]
    return permission


def _invoke_config(client: Client, name: str, properties: Properties) -> Created:
    arguments = {key: value for key, value in properties.items() if key != "Qualifier"}
    _numbers(arguments, "MaximumRetryAttempts", "MaximumEventAgeInSeconds")
    client("lambda").put_function_event_invoke_config(**arguments)
    return Created(name)


NEW_TYPES: dict[str, Callable[[Client, str, Properties], Created]] = {
    "AWS::AutoScaling::LifecycleHook": _lifecycle_hook,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::EC2::SecurityGroupEgress": _egress,
    "AWS::Lambda::EventInvokeConfig": _invoke_config,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::QueuePolicy": _queue_policy,
}


def _finish_bucket(client: Client, resource: Any, properties: Properties) -> None:
    s3, bucket = client("s3"), resource.physical_resource_id
    if "VersioningConfiguration" in properties:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=properties["VersioningConfiguration"])
    if "PublicAccessBlockConfiguration" in properties:
        settings = {key: _true(value) for key, value in properties["PublicAccessBlockConfiguration"].items()}
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=settings)
    if "OwnershipControls" in properties:
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=properties["OwnershipControls"])
    if "LifecycleConfiguration" in properties:
        rules = [_lifecycle_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _lifecycle_rule(rule: Properties) -> Properties:
    """Turn a rule of CloudFormation's wording into one of the API's."""
    made: Properties = {
        "ID": rule.get("Id", "rule"),
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "NoncurrentVersionExpiration" in rule:
        days = rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(days)}
    if "AbortIncompleteMultipartUpload" in rule:
        days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(days)}
    return made


def _finish_table(client: Client, resource: Any, properties: Properties) -> None:
    dynamodb, table = client("dynamodb"), resource.physical_resource_id
    if "TimeToLiveSpecification" in properties:
        wanted = properties["TimeToLiveSpecification"]
        settings = {"AttributeName": wanted["AttributeName"], "Enabled": _true(wanted.get("Enabled", True))}
        dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=settings)
    if "PointInTimeRecoverySpecification" in properties:
        enabled = _true(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"])
        settings = {"PointInTimeRecoveryEnabled": enabled}
        dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=settings)


def _finish_file_system(client: Client, resource: Any, properties: Properties) -> None:
    if "FileSystemPolicy" in properties:
        policy = json.dumps(properties["FileSystemPolicy"])
        client("efs").put_file_system_policy(FileSystemId=resource.physical_resource_id, Policy=policy)


def _finish_function(client: Client, resource: Any, properties: Properties) -> None:
    function: LambdaFunction = resource
    if "Architectures" in properties:
        function.architectures = properties["Architectures"]
    if "TracingConfig" in properties:
        function.tracing_config = properties["TracingConfig"]
    if "DeadLetterConfig" in properties:
        function.dead_letter_config = properties["DeadLetterConfig"]  # type: ignore[attr-defined]
    if group := properties.get("LoggingConfig", {}).get("LogGroup"):
        function.logs_group_name = group
    if "Tags" in properties:
        tags = {tag["Key"]: str(tag["Value"]) for tag in properties["Tags"]}
        client("lambda").tag_resource(Resource=function.function_arn, Tags=tags)


def _finish_role(client: Client, resource: Any, properties: Properties) -> None:
    for arn in properties.get("ManagedPolicyArns", []):
        client("iam").attach_role_policy(RoleName=resource.physical_resource_id, PolicyArn=arn)


FINISHERS: dict[str, Finish] = {
    "AWS::DynamoDB::Table": _finish_table,
    "AWS::EFS::FileSystem": _finish_file_system,
    "AWS::IAM::Role": _finish_role,
    "AWS::Lambda::Function": _finish_function,
    "AWS::S3::Bucket": _finish_bucket,
}

ATTRIBUTES: dict[Any, dict[str, Callable[[Any], str]]] = {
    FileSystem: {
        "Arn": lambda fs: str(fs.file_system_arn),
        "FileSystemId": lambda fs: str(fs.file_system_id),
    },
    Queue: {"QueueUrl": lambda queue: str(queue.physical_resource_id)},
    Topic: {"TopicArn": lambda topic: str(topic.arn)},
    Key: {"KeyId": lambda key: str(key.id)},
}


def _add_attributes(model: Any, attributes: dict[str, Callable[[Any], str]]) -> None:
    """Let ``Fn::GetAtt`` find more attributes of a model."""

    def has(original: Any) -> Any:
        return classmethod(lambda cls, attr: attr in attributes or original(attr))

    def get(original: Any) -> Any:
        def patched(self: Any, attribute_name: str) -> Any:
            if attribute_name in attributes:
                return attributes[attribute_name](self)
            return original(self, attribute_name)

        return patched

    replace(model, "has_cfn_attr", has)
    if model is FileSystem:  # it has no attributes at all
        add(model, "get_cfn_attribute", get(_no_attribute))
    else:
        replace(model, "get_cfn_attribute", get)


def _no_attribute(self: Any, attribute_name: str) -> Any:
    del self, attribute_name
    raise UnformattedGetAttTemplateException


def _with_api_tags(original: Any) -> Any:
    """Give KMS its tags in the API's wording (TagKey, TagValue): moto fails on CloudFormation's."""

    @classmethod  # type: ignore[misc]
    def create(cls: Any, resource_name: str, cloudformation_json: Any, *rest: Any, **keywords: Any) -> Any:
        properties = dict(cloudformation_json["Properties"])
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])]
        changed = {**cloudformation_json, "Properties": {**properties, "Tags": tags}}
        return original.__func__(cls, resource_name, changed, *rest, **keywords)

    return create


def _with_function(original: Any) -> Any:
    """Remember which function a permission belongs to, and refuse a second one with its statement id."""

    @classmethod  # type: ignore[misc]
    def create(cls: Any, resource_name: str, cloudformation_json: Any, *rest: Any, **keywords: Any) -> Any:
        account, region = rest
        changed = {**cloudformation_json["Properties"], "StatementId": resource_name}
        permission = original.__func__(cls, resource_name, {"Properties": changed}, account, region, **keywords)
        permission.physical_resource_id, permission.function = resource_name, changed["FunctionName"]
        return permission

    return create


def _delete_permission(self: Any, account_id: str, region_name: str) -> None:
    lambda_backends[account_id][region_name].get_function(self.function).policy.del_statement(self.physical_resource_id)


def _numbers(arguments: Properties, *names: str) -> None:
    for name in names:
        if name in arguments:
            number = float(arguments[name])
            arguments[name] = number if name == "Threshold" else int(number)


def _true(value: Any) -> bool:
    return str(value).lower() == "true"
