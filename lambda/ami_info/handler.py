"""The custom resource AMIInfo.

It gives the template ``Architecture`` (x86_64 or arm64), from which each launch finds the newest image, and ``Id``, the
newest image at this moment.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from custom_resource import CustomResourceError, Event, Result, answer

IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
"""Public Systems Manager parameters (Amazon Linux 2023 user guide, "Launching AL2023 using the SSM parameter")."""

ARCHITECTURES = {"HVM64": "x86_64", "x86_64": "x86_64", "ARM64": "arm64", "arm64": "arm64"}
"""What the template's mapping may say, and what it means; HVM64 is the word of the published solution."""

CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=8)


def lambda_handler(event: Event, context: Any) -> dict[str, Any]:
    """Answer CloudFormation with the architecture and the image."""
    return answer(event, context, ami_info)


def ami_info(event: Event) -> Result:
    """Given a request for Custom::AMIInfo, return its attributes. There is nothing to remove on Delete."""
    if event["RequestType"] == "Delete":
        return Result(event.get("PhysicalResourceId", "none"))
    properties = event["ResourceProperties"]
    instance_type = properties.get("InstanceType", "")
    architecture = choose(properties.get("Architecture", ""), instance_type, _offered(instance_type))
    return Result(f"{instance_type}-{architecture}", {"Architecture": architecture, "Id": _newest_image(architecture)})


def choose(wanted: str, instance_type: str, offered: tuple[str, ...]) -> str:
    """Return the architecture: what the mapping wants, else what the instance type has.

    ``offered`` is what EC2 says of the type, empty if it could not be asked. Raises CustomResourceError if the mapping
    wants a word that is none, or an architecture that the type has not.
    """
    if wanted and wanted not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise CustomResourceError(f"the mapping gives {instance_type} the Arch {wanted!r}: it must be one of {known}")
    if wanted:
        architecture = ARCHITECTURES[wanted]
        if offered and architecture not in offered:
            raise CustomResourceError(
                f"the mapping gives {instance_type} the Arch {wanted!r}, but the type is {', '.join(offered)}"
            )
        return architecture
    usable = [a for a in offered if a in ARCHITECTURES.values()]
    if not usable:
        raise CustomResourceError(f"the architecture of the instance type {instance_type!r} is not known")
    return usable[0]


def _offered(instance_type: str) -> tuple[str, ...]:
    """What EC2 says of the type; nothing if it cannot say, which matters only if the mapping says nothing either."""
    try:
        reply = boto3.client("ec2", config=CONFIG).describe_instance_types(InstanceTypes=[instance_type])
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "InvalidInstanceType":
            raise CustomResourceError(f"the instance type {instance_type!r} is not offered in this region") from error
        return ()
    return tuple(reply["InstanceTypes"][0]["ProcessorInfo"]["SupportedArchitectures"])


def _newest_image(architecture: str) -> str:
    ssm = boto3.client("ssm", config=CONFIG)
    image: str = ssm.get_parameter(Name=IMAGE_PARAMETER + architecture)["Parameter"]["Value"]
    return image
