import json
import os
import signal
import subprocess
import time
from datetime import timedelta
from typing import Any

import pytest
from localcloud import LocalCloud
from tests.cloud.templates import group, recorder, template

HOOK = {
    "LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "HeartbeatTimeout": 600, "DefaultResult": "CONTINUE",
}  # fmt: skip
METADATA = """
imds() {
    token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' http://169.254.169.254/latest/api/token)
    curl -sf -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/$1"
}
"""


def deploy(cloud: LocalCloud, user_data: str, *, hook: bool = False) -> str:
    properties = {"LifecycleHookSpecificationList": [HOOK]} if hook else {}
    resources = {**group(user_data, **properties), **recorder({"source": ["aws.autoscaling", "aws.ec2"]})}
    stack = cloud.deploy(template(resources, Outputs={"Files": {"Value": {"Ref": "Files"}}}))
    return stack.outputs["Files"]


def capacity(cloud: LocalCloud, number: int) -> None:
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName="group", DesiredCapacity=number)
    cloud.settle()


def events(cloud: LocalCloud) -> list[tuple[str, dict[str, Any]]]:
    cloud.settle()
    s3 = cloud.client("s3")
    found = s3.list_objects_v2(Bucket="events").get("Contents", [])
    bodies = [json.load(s3.get_object(Bucket="events", Key=item["Key"])["Body"]) for item in found]
    return [(body["detail-type"], body["detail"]) for body in sorted(bodies, key=lambda body: body["time"])]


def states(cloud: LocalCloud) -> list[str]:
    described = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["group"])
    return [instance["LifecycleState"] for instance in described["AutoScalingGroups"][0]["Instances"]]


def test_capacity_one_runs_the_user_data_and_capacity_zero_ends_it(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho from the user data as $(id -un) pid1=$(cat /proc/1/comm)\n")
    assert cloud.instances == []
    capacity(cloud, 1)
    (instance,) = cloud.instances
    cloud.wait_for(lambda: "pid1=bash" in instance.log, "the user data")
    assert "from the user data as root" in instance.log
    assert states(cloud) == ["InService"]
    capacity(cloud, 0)
    assert cloud.instances == [] and not instance.alive and states(cloud) == []
    kinds = sorted(kind for kind, _ in events(cloud))
    assert kinds == ["EC2 Instance Launch Successful", "EC2 Instance Terminate Successful"]
    activities = cloud.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="group")["Activities"]
    assert [activity["StatusCode"] for activity in activities] == ["Successful", "Successful"]


def test_an_instance_changes_nothing_of_this_machine(cloud: LocalCloud) -> None:
    deploy(
        cloud, "#!/bin/bash\ntouch /etc/made-inside /usr/made-inside\nhostname; ls /etc/made-inside\nps ax | wc -l\n"
    )
    capacity(cloud, 1)
    (instance,) = cloud.instances
    cloud.wait_for(lambda: "/etc/made-inside" in instance.log, "the user data")
    done = instance.run("cat /etc/made-inside && ps ax | wc -l && ip -brief address | wc -l && ls /work /tmp | wc -l")
    assert done.returncode == 0 and int(done.stdout.split()[0]) < 10
    with pytest.raises(FileNotFoundError):
        open("/etc/made-inside").close()


def test_the_metadata_service_is_version_two_at_its_address_with_the_roles_credentials(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n")
    capacity(cloud, 1)
    (instance,) = cloud.instances
    assert (
        instance.run("curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/").stdout == "401"
    )
    read = instance.run(
        METADATA + "imds meta-data/instance-id; echo; imds meta-data/placement/region; echo; imds user-data"
    )
    assert read.stdout.splitlines() == [instance.id, "us-east-1", "#!/bin/bash", "echo started"]
    dated = METADATA.replace("/latest/$1", "/2021-03-23/$1") + "imds meta-data/instance-id"  # as cloud-init asks
    assert instance.run(dated).stdout == instance.id
    role = instance.run(METADATA + "imds meta-data/iam/security-credentials/").stdout
    document = json.loads(instance.run(METADATA + f"imds meta-data/iam/security-credentials/{role}").stdout)
    assert document["Code"] == "Success"
    state = METADATA + "imds meta-data/autoscaling/target-lifecycle-state"
    assert instance.run(state).stdout == "InService"
    assert instance.run(METADATA + "imds meta-data/spot/instance-action || echo none").stdout.strip() == "none"


def test_the_aws_command_line_works_inside_as_the_instances_role(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n")
    capacity(cloud, 1)
    (instance,) = cloud.instances
    done = instance.run("echo hello >/tmp/x && AWS_DEFAULT_REGION=us-east-1 aws s3 cp /tmp/x s3://events/x")
    assert done.returncode == 0, done.stderr
    call = next(call for call in cloud.calls if call["caller"] == f"instance {instance.id}" and call["service"] == "s3")
    assert "InstanceRole" in call["role"] and call["operation"] == "PutObject"


def test_file_systems_are_mounted_by_name_and_by_address_and_read_only(cloud: LocalCloud) -> None:
    files = deploy(cloud, "#!/bin/bash\necho started\n")
    file_system = cloud.file_system(files)
    (file_system.path / "sub").mkdir()
    (file_system.path / "sub/file").write_text("content")
    address = cloud.client("efs").describe_mount_targets(FileSystemId=files)["MountTargets"][0]["IpAddress"]
    capacity(cloud, 1)
    (instance,) = cloud.instances
    script = f"""
        set -e
        mkdir -p /m/a /m/b /m/c /m/d
        mount -t nfs4 -o nfsvers=4.1,ro {files}.efs.us-east-1.amazonaws.com:/sub /m/a
        mount -t nfs4 -o nfsvers=4.1,rsize=1048576 {address}:/ /m/b
        mount -t efs -o tls,iam {files}:/ /m/c
        mount -t efs -o tls,iam,mounttargetip={address} {files}:/sub /m/d
        cat /m/a/file /m/b/sub/file /m/c/sub/file /m/d/file
        touch /m/b/new; ! touch /m/a/new 2>/dev/null; getent hosts {files}.efs.us-east-1.amazonaws.com
        mountpoint -q /m/a; umount /m/a; ! mountpoint -q /m/a
    """
    done = instance.run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("content" * 4)
    assert address in done.stdout
    assert (file_system.path / "new").exists()
    assert cloud.client("efs").describe_file_systems()["FileSystems"][0]["SizeInBytes"]["Value"] >= 7


def test_an_address_can_be_unknown_and_a_mount_can_fail(cloud: LocalCloud) -> None:
    files = deploy(cloud, "#!/bin/bash\necho started\n")
    file_system = cloud.file_system(files)
    file_system.unresolvable()
    file_system.hidden()
    assert cloud.client("efs").describe_mount_targets(FileSystemId=files)["MountTargets"] == []
    capacity(cloud, 1)
    (instance,) = cloud.instances
    name = f"{files}.efs.us-east-1.amazonaws.com"
    done = instance.run(f"getent hosts {name}; mkdir /m; mount -t nfs4 {name}:/ /m")
    assert done.returncode == 32 and "Name or service not known" in done.stderr
    file_system.unresolvable(False)
    file_system.fail_mounts("Connection timed out")
    done = instance.run(f"mount -t nfs4 {name}:/ /m")
    assert done.returncode == 32 and "Connection timed out" in done.stderr
    file_system.fail_mounts("")
    done = instance.run(f"mount -t nfs4 {name}:/missing /m")
    assert done.returncode == 32 and "No such file or directory" in done.stderr


def test_a_hook_holds_the_instance_until_it_is_completed(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n", hook=True)
    capacity(cloud, 1)
    (instance,) = cloud.instances
    capacity(cloud, 0)
    assert states(cloud) == ["Terminating:Wait"] and instance.alive
    assert instance.run(METADATA + "imds meta-data/autoscaling/target-lifecycle-state").stdout == "Terminated"
    before = events(cloud)
    (detail,) = [detail for kind, detail in before if kind == "EC2 Instance-terminate Lifecycle Action"]
    assert (detail["EC2InstanceId"], detail["LifecycleHookName"]) == (instance.id, "drain")
    autoscaling = cloud.client("autoscaling")
    which = {"LifecycleHookName": "drain", "AutoScalingGroupName": "group", "InstanceId": instance.id}
    autoscaling.complete_lifecycle_action(**which, LifecycleActionResult="CONTINUE")
    cloud.settle()
    assert not instance.alive and states(cloud) == []
    assert [kind for kind, detail in events(cloud) if (kind, detail) not in before] == [
        "EC2 Instance Terminate Successful"
    ]
    with pytest.raises(autoscaling.exceptions.ClientError, match="No active Lifecycle Action"):
        autoscaling.complete_lifecycle_action(**which, LifecycleActionResult="CONTINUE")


def test_a_hook_times_out_on_the_clock_and_a_heartbeat_puts_it_off(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n", hook=True)
    capacity(cloud, 1)
    (instance,) = cloud.instances
    capacity(cloud, 0)
    cloud.clock.advance(seconds=500)
    which = {"LifecycleHookName": "drain", "AutoScalingGroupName": "group", "InstanceId": instance.id}
    cloud.client("autoscaling").record_lifecycle_action_heartbeat(**which)
    cloud.clock.advance(seconds=500)
    assert states(cloud) == ["Terminating:Wait"]
    cloud.clock.advance(seconds=200)
    assert states(cloud) == []


def test_a_killed_instance_is_replaced_while_its_hook_runs(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n", hook=True)
    capacity(cloud, 1)
    (first,) = cloud.instances
    first.kill()
    cloud.settle()
    (second,) = cloud.instances
    assert second.id != first.id
    assert sorted(states(cloud)) == ["InService", "Terminating:Wait"]
    cloud.clock.advance(seconds=601)
    assert states(cloud) == ["InService"]


def test_an_instance_that_shuts_itself_down_is_replaced(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n")
    capacity(cloud, 1)
    (first,) = cloud.instances
    first.run("shutdown -h now")
    cloud.wait_for(lambda: [i.id for i in cloud.instances] not in ([], [first.id]), "a replacement")


def test_a_launch_can_fail_and_is_tried_again(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n")
    cloud.fail_launches(2, "We currently do not have sufficient c5.xlarge capacity.")
    capacity(cloud, 1)
    assert cloud.instances == []
    cloud.clock.advance(minutes=5)
    assert len(cloud.instances) == 1
    kinds = [kind for kind, _ in events(cloud)]
    assert kinds == ["EC2 Instance Launch Unsuccessful"] * 2 + ["EC2 Instance Launch Successful"]
    activities = cloud.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="group")["Activities"]
    assert [activity["StatusCode"] for activity in activities] == ["Successful", "Failed", "Failed"]
    assert "sufficient c5.xlarge capacity" in activities[-1]["StatusMessage"]


def test_a_spot_interruption_gives_notice_then_ends_the_instance(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n")
    capacity(cloud, 1)
    (instance,) = cloud.instances
    instance.interrupt(seconds=120)
    notice = json.loads(instance.run(METADATA + "imds meta-data/spot/instance-action").stdout)
    assert notice["action"] == "terminate"
    assert "EC2 Spot Instance Interruption Warning" in [kind for kind, _ in events(cloud)]
    cloud.clock.advance(seconds=121)
    cloud.wait_for(lambda: not instance.alive, "the end")


def test_capacity_keeps_within_the_groups_limits(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n")
    autoscaling = cloud.client("autoscaling")
    with pytest.raises(autoscaling.exceptions.ClientError, match="above max"):
        autoscaling.set_desired_capacity(AutoScalingGroupName="group", DesiredCapacity=2)


def test_the_clock_is_the_same_inside(cloud: LocalCloud) -> None:
    deploy(cloud, "#!/bin/bash\necho started\n")
    cloud.clock.advance(days=3)
    capacity(cloud, 1)
    (instance,) = cloud.instances
    inside = int(instance.run("date +%s").stdout)
    assert abs(cloud.clock.now().timestamp() - inside) < timedelta(seconds=30).total_seconds()


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_nothing_outlives_the_cloud(how: str) -> None:
    cloud = LocalCloud()
    cloud.start()
    try:
        deploy(cloud, "#!/bin/bash\nsleep 86400 &\necho started\n")
        capacity(cloud, 1)
        assert str(cloud.directory) in processes()
        if how == "killed":
            os.kill(json.loads((cloud.directory / "ready").read_text())["pid"], signal.SIGKILL)
            cloud.wait_for(lambda: str(cloud.directory) not in processes(), "the instance to end")
    finally:
        cloud.stop()
    time.sleep(0.5)
    assert str(cloud.directory) not in processes()


def processes() -> str:
    return subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
