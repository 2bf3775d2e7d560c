"""Mail, alarms, commands, tables and the collector of the local cloud."""

import json
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from localcloud import LocalCloud, LocalCloudError, alarms
from tests.cloud.templates import group, template

ADDRESS = "someone@example.com"


def subscribed_topic(cloud: LocalCloud) -> str:
    topic = cloud.client("sns").create_topic(Name="topic")["TopicArn"]
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=ADDRESS)
    return str(topic)


def test_nothing_is_delivered_before_the_address_confirms(cloud: LocalCloud) -> None:
    topic = subscribed_topic(cloud)
    sns = cloud.client("sns")
    sns.publish(TopicArn=topic, Subject="early", Message="lost")
    assert [mail.subject for mail in cloud.mails] == ["AWS Notification - Subscription Confirmation"]
    assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"] == "PendingConfirmation"
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] == "1"
    link = next(line for line in cloud.mails[0].body.splitlines() if line.startswith("http"))
    urllib.request.urlopen(link).close()
    assert cloud.confirm(ADDRESS) == 0
    sns.publish(TopicArn=topic, Subject="later", Message="grüße\nzwei Zeilen")
    mail = cloud.mails[-1]
    assert (mail.to, mail.subject, mail.body.strip()) == (ADDRESS, "later", "grüße\nzwei Zeilen")
    assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"].startswith(topic)


def put_alarm(cloud: LocalCloud, **settings: Any) -> str:
    topic = subscribed_topic(cloud)
    cloud.confirm(ADDRESS)
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="overdue",
        Namespace="Backup",
        MetricName="HoursOverdue",
        Statistic="Maximum",
        Period=3600,
        EvaluationPeriods=3,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic],
        OKActions=[topic],
        **settings,
    )
    return topic


def alarm_state(cloud: LocalCloud) -> str:
    return str(cloud.client("cloudwatch").describe_alarms()["MetricAlarms"][0]["StateValue"])


def put_value(cloud: LocalCloud, value: float) -> None:
    datum = {"MetricName": "HoursOverdue", "Value": value, "Timestamp": cloud.clock.now()}
    cloud.client("cloudwatch").put_metric_data(Namespace="Backup", MetricData=[datum])


def test_missing_data_that_breaches_raises_the_alarm_once(cloud: LocalCloud) -> None:
    put_alarm(cloud, TreatMissingData="breaching")
    cloud.clock.advance(hours=8)
    assert alarm_state(cloud) == "ALARM"
    (mail,) = cloud.mails[1:]
    assert mail.subject == 'ALARM: "overdue" in us-east-1'
    assert json.loads(mail.body)["NewStateValue"] == "ALARM"


def test_m_of_n_datapoints_and_the_way_back(cloud: LocalCloud) -> None:
    put_alarm(cloud, TreatMissingData="notBreaching", DatapointsToAlarm=2)
    for value, state in ((1, "OK"), (0, "OK"), (2, "ALARM"), (0, "OK")):
        put_value(cloud, value)
        cloud.clock.advance(hours=1)
        assert alarm_state(cloud) == state, value
    assert [json.loads(mail.body)["NewStateValue"] for mail in cloud.mails[1:]] == ["ALARM", "OK"]


@pytest.mark.parametrize(
    ("points", "needed", "missing", "current", "state"),
    [
        ([True, True, True], 3, "missing", "OK", "ALARM"),
        ([True, None, True], 3, "missing", "OK", "OK"),
        ([True, None, True], 2, "missing", "OK", "ALARM"),
        ([None, None, None], 2, "missing", "OK", "INSUFFICIENT_DATA"),
        ([None, None, None], 2, "ignore", "ALARM", "ALARM"),
        ([None, None, False], 2, "breaching", "OK", "ALARM"),
        ([None, None, None], 1, "notBreaching", "ALARM", "OK"),
    ],
)
def test_the_four_ways_to_treat_missing_data(
    points: list[bool | None], needed: int, missing: str, current: str, state: str
) -> None:
    assert alarms.state_of(points, needed, missing, current) == state


def test_a_command_runs_in_the_instance_and_its_output_goes_to_the_bucket(cloud: LocalCloud) -> None:
    cloud.deploy(template(group("#!/bin/bash\ntouch /made-by-user-data\n")))
    cloud.client("s3").create_bucket(Bucket="logs")
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName="group", DesiredCapacity=1)
    cloud.settle()
    (instance,) = cloud.instances
    ssm = cloud.client("ssm")
    sent = ssm.send_command(
        InstanceIds=[instance.id],
        DocumentName="AWS-RunShellScript",
        OutputS3BucketName="logs",
        OutputS3KeyPrefix="ssm",
        Parameters={
            "commands": ["echo out $(pwd); ls /made-by-user-data", "echo err >&2; exit 3"],
            "workingDirectory": ["/usr"],
        },
    )["Command"]
    which = {"CommandId": sent["CommandId"], "InstanceId": instance.id}
    done = cloud.wait_for(
        lambda: (found := ssm.get_command_invocation(**which))["Status"] != "InProgress" and found, "the command"
    )
    assert (done["Status"], done["ResponseCode"]) == ("Failed", 3)
    assert done["StandardOutputContent"] == "out /usr\n/made-by-user-data\n"
    assert done["StandardErrorContent"] == "err\n"
    keys = [item["Key"] for item in cloud.client("s3").list_objects_v2(Bucket="logs")["Contents"]]
    prefix = f"ssm/{sent['CommandId']}/{instance.id}/awsrunShellScript/0.awsrunShellScript"
    assert keys == [f"{prefix}/stderr", f"{prefix}/stdout"]


def test_a_document_of_the_stacks_own_runs_with_its_parameters_and_a_time_out(cloud: LocalCloud) -> None:
    document = {
        "schemaVersion": "2.2",
        "description": "d",
        "parameters": {"Word": {"type": "String", "default": "none"}},
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "say",
                "inputs": {"timeoutSeconds": 1, "runCommand": ["echo {{ Word }}", "sleep 30"]},
            }
        ],
    }
    ssm = cloud.client("ssm")
    ssm.create_document(Content=json.dumps(document), Name="drain", DocumentType="Command", DocumentFormat="JSON")
    cloud.deploy(template(group("#!/bin/bash\n:\n")))
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName="group", DesiredCapacity=1)
    cloud.settle()
    (instance,) = cloud.instances
    sent = ssm.send_command(InstanceIds=[instance.id], DocumentName="drain", Parameters={"Word": ["hello"]})["Command"]
    which = {"CommandId": sent["CommandId"], "InstanceId": instance.id}
    done = cloud.wait_for(
        lambda: (found := ssm.get_command_invocation(**which))["Status"] != "InProgress" and found, "the command"
    )
    assert (done["Status"], done["StandardOutputContent"]) == ("TimedOut", "hello\n")


def test_one_of_many_conditional_writes_at_the_same_time_wins(cloud: LocalCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )

    def take(lock: str, winners: list[str]) -> None:
        put = {"TableName": "table", "Item": {"id": {"S": lock}}, "ConditionExpression": "attribute_not_exists(id)"}
        try:
            dynamodb.transact_write_items(TransactItems=[{"Put": put}])
        except dynamodb.exceptions.TransactionCanceledException:
            return
        winners.append(lock)

    for number in range(10):
        winners: list[str] = []
        threads = [threading.Thread(target=take, args=(f"lock-{number}", winners)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert winners == [f"lock-{number}"]


def post(url: str, timeout: float = 5) -> int:
    request = urllib.request.Request(url, data=b'{"a": 1}', method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_collector_keeps_fails_or_hangs(cloud: LocalCloud) -> None:
    assert post(cloud.collector_url) == 200 and cloud.collected == [{"a": 1}]
    cloud.collector("fail")
    assert post(cloud.collector_url) == 500
    cloud.collector("hang")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        post(cloud.collector_url, timeout=1)
    assert time.monotonic() - started >= 1
    cloud.collector("accept")
    assert cloud.collected == [{"a": 1}]


def test_the_clock_only_moves_forward_and_says_so(cloud: LocalCloud) -> None:
    with pytest.raises(LocalCloudError, match="only moves forward"):
        cloud.control("advance", seconds=-1)


def test_a_fault_that_is_none_is_refused(cloud: LocalCloud) -> None:
    with pytest.raises(LocalCloudError, match="explode: not a kind of fault"):
        cloud.fault("explode")


def test_two_clouds_run_side_by_side() -> None:
    with LocalCloud() as one, LocalCloud() as two:
        one.client("s3").create_bucket(Bucket="only-in-one")
        one.clock.advance(days=1)
        assert two.client("s3").list_buckets()["Buckets"] == []
        assert (one.clock.now() - two.clock.now()).total_seconds() > 86000
