import json
from datetime import timedelta
from typing import Any

import pytest
from localcloud import LocalCloud, events
from tests.cloud.templates import recorder, template

TRANSFORMER = {
    "InputPathsMap": {"id": "$.id", "when": "$.time", "state": "$.detail.state"},
    "InputTemplate": (
        '{"action": "start", "id": <id>, "time": "<when>", "state": <state>, "rule": "<aws.events.rule-name>"}'
    ),
}


def received(cloud: LocalCloud) -> list[dict[str, Any]]:
    cloud.settle()
    s3 = cloud.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="events").get("Contents", [])]
    bodies = [json.load(s3.get_object(Bucket="events", Key=key)["Body"]) for key in keys]
    return sorted(bodies, key=lambda body: str(body.get("time")))


def test_a_schedule_fires_once_at_each_of_its_minutes_as_the_clock_moves(cloud: LocalCloud) -> None:
    cloud.deploy(template(recorder(ScheduleExpression="cron(0 2 * * ? *)", Name="nightly")))
    cloud.clock.advance_to_hour(1)
    assert received(cloud) == []
    cloud.clock.advance(days=3, hours=1, minutes=1)
    times = [event["time"] for event in received(cloud)]
    assert len(times) == 4 and all(time.endswith("T02:00:00Z") for time in times)
    event = received(cloud)[0]
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
    assert event["resources"] == ["arn:aws:events:us-east-1:123456789012:rule/nightly"]


def test_the_same_event_can_come_twice(cloud: LocalCloud) -> None:
    cloud.deploy(template(recorder(ScheduleExpression="cron(0 2 * * ? *)", Name="nightly")))
    cloud.clock.advance_to_hour(2, 1)
    (first,) = received(cloud)
    moment = cloud.clock.now().replace(hour=2, minute=0, second=0, microsecond=0)
    cloud.repeat("nightly", first["id"], moment)
    cloud.settle()
    calls = [call for call in cloud.calls if call["operation"] == "PutObject"]
    assert len(calls) == 2 and len(received(cloud)) == 1  # the same id and time: the recorder's same key


def test_a_one_time_rule_fires_once_and_one_in_the_past_never(cloud: LocalCloud) -> None:
    cloud.deploy(template(recorder(ScheduleExpression="cron(0 2 * * ? *)", Name="rule", State="DISABLED")))
    client = cloud.client("events")
    for minutes, count in ((-10, 0), (30, 1)):
        moment = cloud.clock.now() + timedelta(minutes=minutes)
        expression = f"cron({moment.minute} {moment.hour} {moment.day} {moment.month} ? {moment.year})"
        client.put_rule(Name="rule", ScheduleExpression=expression, State="ENABLED")
        cloud.clock.advance(days=2)
        assert len(received(cloud)) == count


def test_a_removed_or_disabled_rule_does_not_fire(cloud: LocalCloud) -> None:
    cloud.deploy(template(recorder(ScheduleExpression="rate(1 hour)", Name="hourly")))
    cloud.clock.advance(seconds=1)
    cloud.client("events").disable_rule(Name="hourly")
    cloud.clock.advance(hours=3)
    assert received(cloud) == []
    cloud.client("events").enable_rule(Name="hourly")
    cloud.clock.advance(hours=2)
    assert 1 <= len(received(cloud)) <= 2


@pytest.mark.parametrize("expression", ["cron(0 2 * * * *)", "rate(1 minutes)", "every night"])
def test_a_bad_expression_is_refused(shared_cloud: LocalCloud, expression: str) -> None:
    client = shared_cloud.client("events")
    with pytest.raises(client.exceptions.ClientError, match="ScheduleExpression is not valid"):
        client.put_rule(Name="rule", ScheduleExpression=expression)


def test_a_rule_without_permission_delivers_nothing_and_fails_the_run(cloud: LocalCloud) -> None:
    resources = recorder(ScheduleExpression="cron(0 2 * * ? *)", Name="nightly")
    resources["Permission"]["Properties"]["SourceArn"] = "arn:aws:events:us-east-1:123456789012:rule/another"
    cloud.deploy(template(resources))
    with cloud.expecting_problems() as problems:
        cloud.clock.advance_to_hour(2, 1)
    assert "has no permission to invoke" in problems[0]["what"]
    assert received(cloud) == []


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ({"source": ["my.app"]}, True),
        ({"source": ["other"]}, False),
        ({"source": ["my.app"], "detail": {"state": ["on", "off"]}}, True),
        ({"detail": {"state": ["off"]}}, False),
        ({"detail": {"nested": {"name": [{"prefix": "efs-"}]}}}, True),
        ({"detail": {"state": [{"anything-but": ["on"]}]}}, False),
        ({"detail": {"number": [{"numeric": [">", 5, "<=", 7]}]}}, True),
        ({"detail": {"missing": [{"exists": False}]}}, True),
        ({"detail": {"missing": ["x"]}}, False),
        ({"resources": ["arn:one"]}, True),
        ({"detail-type": [{"suffix": "ange"}]}, True),
    ],
)
def test_patterns_match_as_eventbridge_does(shared_cloud: LocalCloud, pattern: dict[str, Any], matches: bool) -> None:
    events_client, sqs = shared_cloud.client("events"), shared_cloud.client("sqs")
    queue = sqs.create_queue(QueueName="queue")["QueueUrl"]
    events_client.put_rule(Name="rule", EventPattern=json.dumps(pattern))
    arn = "arn:aws:sqs:us-east-1:123456789012:queue"
    events_client.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": arn}])
    detail = {"state": "on", "number": 7, "nested": {"name": "efs-1"}}
    entry = {
        "Source": "my.app",
        "DetailType": "Change",
        "Detail": json.dumps(detail),
        "Resources": ["arn:one", "arn:two"],
    }
    events_client.put_events(Entries=[entry])
    messages = sqs.receive_message(QueueUrl=queue).get("Messages", [])
    sqs.delete_queue(QueueUrl=queue)
    assert [json.loads(message["Body"])["detail"] for message in messages] == ([detail] if matches else [])


def test_a_schedule_rule_matches_no_events(cloud: LocalCloud) -> None:
    cloud.deploy(template(recorder(ScheduleExpression="cron(0 2 * * ? *)")))
    cloud.client("events").put_events(Entries=[{"Source": "my.app", "DetailType": "Change", "Detail": "{}"}])
    assert received(cloud) == []


def test_an_input_transformer_passes_the_events_own_id_and_time(cloud: LocalCloud) -> None:
    resources = recorder({"source": ["my.app"]}, Name="rule")
    resources["Rule"]["Properties"]["Targets"][0]["InputTransformer"] = TRANSFORMER
    cloud.deploy(template(resources))
    cloud.emit("my.app", "Change", {"state": "on"})
    (event,) = received(cloud)
    assert event.keys() == {"action", "id", "time", "state", "rule"}
    assert (event["state"], event["rule"], len(event["id"])) == ("on", "rule", 36)
    assert event["time"].endswith("Z")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, '{"id": "i", "detail": {"a": ["x", 1]}, "time": "t"}'),
        ({"Input": '{"constant": true}'}, '{"constant": true}'),
        ({"InputPath": "$.detail"}, '{"a": ["x", 1]}'),
        ({"InputTransformer": {"InputPathsMap": {"a": "$.detail.a"}, "InputTemplate": "<a>"}}, '["x", 1]'),
        ({"InputTransformer": {"InputPathsMap": {"a": "$.detail.a[0]"}, "InputTemplate": '"say <a>"'}}, '"say x"'),
        ({"InputTransformer": {"InputPathsMap": {"a": "$.detail.b"}, "InputTemplate": '{"a": <a>}'}}, '{"a": null}'),
        (
            {"InputTransformer": {"InputPathsMap": {"i": "$.id"}, "InputTemplate": '{"i": <i>, "j": "<i>\\"q"}'}},
            '{"i": "i", "j": "i\\"q"}',
        ),
    ],
)
def test_what_a_target_gets(target: dict[str, Any], expected: str) -> None:
    event = {"id": "i", "detail": {"a": ["x", 1]}, "time": "t"}
    assert events.target_input(target, event, "arn:rule", "rule") == expected
