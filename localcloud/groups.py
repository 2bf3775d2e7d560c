"""Auto Scaling: capacity becomes instances, hooks are waited for, what dies is replaced.

moto keeps the groups and answers the describing calls. One thread here compares each group's capacity with its
instances, every fraction of a second, and does the next step for each. Left out: launching hooks, warm pools, scaling
policies, health-check types other than EC2, standby, mixed instances, choice among zones (the first subnet is used).
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import (
    Activity,
    AutoScalingBackend,
    FakeAutoScalingGroup,
    InstanceState,
    LifecycleHook,
    autoscaling_backends,
)
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.iam.models import iam_backends
from moto.ssm.models import ssm_backends

from localcloud.clock import Clock, iso
from localcloud.instances import Instance, Instances
from localcloud.patching import add, replace
from localcloud.problems import Problems

STEP_SECONDS = 0.1
RELAUNCH_SECONDS = 60.0  # on the cloud's clock; AWS waits longer and longer between attempts
REPLACED_WITHIN_SECONDS = 3600.0
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
PENDING, IN_SERVICE, WAIT, PROCEED = "Pending", "InService", "Terminating:Wait", "Terminating:Proceed"
SOURCE = "aws.autoscaling"
log = logging.getLogger("localcloud.groups")

Emit = Callable[[str, str, dict[str, Any], list[str]], None]


@dataclass
class Waiting:
    """An instance that waits in a lifecycle hook. ``deadline`` is on the cloud's clock."""

    hook: LifecycleHook
    token: str
    deadline: float
    activity: Activity
    done: bool = False


class Groups:
    """The Auto Scaling groups of one account and region."""

    def __init__(
        self, account: str, region: str, clock: Clock, instances: Instances, emit: Emit, problems: Problems,
    ) -> None:  # fmt: skip
        """Launch into ``instances``, and put events on the bus by ``emit``."""
        self._account, self._region, self._clock = account, region, clock
        self._instances, self._emit, self._problems = instances, emit, problems
        self._lock = threading.RLock()
        self._waiting: dict[str, Waiting] = {}
        self._activities: list[Activity] = []
        self._relaunch_at: dict[str, float] = {}
        self._replaced_at: dict[str, list[float]] = {}
        self._interrupted: list[tuple[float, Instance]] = []
        self._stopped = False
        self._broken: set[str] = set()
        self._failures: list[str] = []  # messages of the launches that are to fail next

    def install(self) -> None:
        """Have moto leave launching and ending to this module."""
        groups = self
        replace(FakeAutoScalingGroup, "set_desired_capacity", lambda _: _set_desired_capacity)
        replace(FakeAutoScalingGroup, "image_id", lambda original: property(_resolved_image(original)))
        replace(FakeAutoScalingGroup, "create_from_cloudformation_json", _with_hooks)
        replace(AutoScalingBackend, "notify_terminate_instances", lambda _: lambda self, instance_ids: None)
        replace(
            AutoScalingBackend,
            "delete_auto_scaling_group",
            lambda original: lambda self, group_name: groups.delete(self, group_name, original),
        )
        replace(
            AutoScalingBackend,
            "terminate_instance",
            lambda _: lambda self, instance_id, should_decrement: groups.terminate(instance_id, should_decrement),
        )
        replace(
            AutoScalingResponse,
            "describe_scaling_activities",
            lambda _: (
                lambda self: ActionResult({"Activities": groups.activities(self._get_param("AutoScalingGroupName"))})
            ),
        )
        replace(
            AutoScalingBackend,
            "delete_lifecycle_hook",
            lambda original: lambda self, as_name, name: groups.delete_hook(self, as_name, name, original),
        )
        add(AutoScalingResponse, "complete_lifecycle_action", lambda self: groups.complete(self._get_param))
        add(AutoScalingResponse, "record_lifecycle_action_heartbeat", lambda self: groups.heartbeat(self._get_param))

    def start(self) -> None:
        """Begin the comparing, in a thread, until the process ends."""
        threading.Thread(target=self._run, name="groups", daemon=True).start()

    def stop(self) -> None:
        """End the comparing: nothing is launched or replaced any more."""
        with self._lock:
            self._stopped = True

    def fail_launches(self, count: int, message: str) -> None:
        """Make the next ``count`` launches fail, as when AWS has no capacity, and those after them work."""
        with self._lock:
            self._failures = [message] * count

    def interrupt(self, instance_id: str, seconds: float) -> None:
        """Give the two-minute notice of a Spot interruption; the instance is ended after ``seconds``."""
        instance = self._instances.find(instance_id)
        if instance is None:
            raise ValueError(f"{instance_id}: no such instance")
        moment = self._clock.now() + seconds
        instance.spot_notice = iso(moment)
        detail = {"instance-id": instance_id, "instance-action": "terminate"}
        arn = f"arn:aws:ec2:{self._region}:{self._account}:instance/{instance_id}"
        self._emit("aws.ec2", "EC2 Spot Instance Interruption Warning", detail, [arn])
        with self._lock:
            self._interrupted.append((moment, instance))

    def next_due(self, now: float) -> float | None:
        """Return when the next hook times out or the next launch is tried again."""
        with self._lock:
            moments = [waiting.deadline for waiting in self._waiting.values() if not waiting.done]
            moments += [moment for moment, instance in self._interrupted if instance.alive]
            moments += [
                self._relaunch_at[group.name]
                for group in self._groups()
                if group.name in self._relaunch_at and group.desired_capacity
            ]
        return min((moment for moment in moments if moment > now), default=None)

    def fire(self, now: float) -> None:
        """End the interrupted instances whose time is up; the rest the thread does, which sees the moved clock."""
        with self._lock:
            due = [instance for moment, instance in self._interrupted if moment <= now]
            self._interrupted = [(moment, instance) for moment, instance in self._interrupted if moment > now]
        for instance in due:
            instance.kill()

    @property
    def busy(self) -> bool:
        """Say whether a step can be done now: a launch or an end that waits for nothing outside."""
        with self._lock:
            return any(self._next_step(group) is not None for group in self._groups())

    def activities(self, group_name: str | None) -> list[Activity]:
        """Return the scaling activities, newest first."""
        with self._lock:
            chosen = [a for a in self._activities if group_name in (None, a.auto_scaling_group_name)]
        return chosen[::-1]

    def terminate(self, instance_id: str, decrement: bool) -> Activity:
        """Answer TerminateInstanceInAutoScalingGroup."""
        with self._lock:
            for group in self._groups():
                for state in group.instance_states:
                    if state.instance_id == instance_id:
                        if decrement:
                            group.desired_capacity = int(group.desired_capacity or 0) - 1
                        return self._begin_end(group, state, "a user request")
        raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")

    def complete(self, parameter: Callable[..., Any]) -> EmptyResult:
        """Answer CompleteLifecycleAction; CONTINUE and ABANDON both end a terminating instance."""
        self._waiting_of(parameter).done = True
        return EmptyResult()

    def heartbeat(self, parameter: Callable[..., Any]) -> EmptyResult:
        """Answer RecordLifecycleActionHeartbeat: the time-out counts from now."""
        waiting = self._waiting_of(parameter)
        waiting.deadline = self._clock.now() + waiting.hook.heartbeat_timeout
        return EmptyResult()

    def delete_hook(
        self, backend: AutoScalingBackend, group_name: str, name: str, original: Callable[..., None]
    ) -> None:
        """Delete a hook; the instances that wait in it wait no longer."""
        original(backend, group_name, name)
        with self._lock:
            for waiting in self._waiting.values():
                if waiting.hook.name == name and waiting.hook.auto_scaling_group_name == group_name:
                    waiting.done = True

    def delete(self, backend: AutoScalingBackend, group_name: str, original: Callable[..., None]) -> None:
        """Delete a group as CloudFormation does: capacity 0, then wait until its instances are gone."""
        group = backend.autoscaling_groups.get(group_name)
        if group is not None:
            group.min_size = group.desired_capacity = 0
            while group.instance_states and group.name not in self._broken:
                time.sleep(STEP_SECONDS)
        original(backend, group_name)
        for key, hook in list(backend.lifecycle_hooks.items()):
            if hook.auto_scaling_group_name == group_name:
                del backend.lifecycle_hooks[key]

    def _groups(self) -> list[FakeAutoScalingGroup]:
        return list(self._backend().autoscaling_groups.values())

    def _backend(self) -> AutoScalingBackend:
        return autoscaling_backends[self._account][self._region]

    def _run(self) -> None:
        while not self._stopped:
            time.sleep(STEP_SECONDS)
            with self._lock:
                for group in [] if self._stopped else self._groups():
                    self._step(group)

    def _step(self, group: FakeAutoScalingGroup) -> None:
        try:
            if step := self._next_step(group):
                step()
        except Exception as error:
            log.exception("group %s is left alone from now on", group.name)
            self._problems.add("groups", repr(error))
            self._broken.add(group.name)

    def _next_step(self, group: FakeAutoScalingGroup) -> Callable[[], object] | None:
        """Return what is to be done next for a group, or None."""
        now = self._clock.now()
        if group.name in self._broken:
            return None
        for state in group.instance_states:
            if state.lifecycle_state == WAIT:
                waiting = self._waiting[state.instance_id]
                if waiting.done or now >= waiting.deadline:
                    return lambda state=state: self._end(group, state)  # type: ignore[misc]
            elif not self._healthy(state):
                return lambda state=state: self._replace(group, state)  # type: ignore[misc]
        active = group.active_instances()
        wanted = int(group.desired_capacity or 0)
        if len(active) > wanted:
            return lambda: self._begin_end(group, active[0], f"a change of the desired capacity to {wanted}")
        if len(active) < wanted and now >= self._relaunch_at.get(group.name, 0):
            return lambda: self._launch(group)
        return None

    def _healthy(self, state: InstanceState) -> bool:
        running = self._instances.find(state.instance_id)
        return running is not None and running.alive and state.health_status == "Healthy"

    def _launch(self, group: FakeAutoScalingGroup) -> None:
        if self._failures:
            self._record_failure(group, self._failures.pop(0))
            return
        self._relaunch_at.pop(group.name, None)
        before = len(group.instance_states)
        group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
        state = group.instance_states[before]
        template = template_data(group)
        state.instance.iam_instance_profile = profile_of(template, self._account)
        state.instance.lifecycle = "spot" if template.get("InstanceMarketOptions") else None
        options = template.get("MetadataOptions", {})
        tagged = options.get("InstanceMetadataTags") == "enabled"
        self._instances.start(state.instance, tags_in_metadata=tagged)
        activity = self._activity(
            group, f"Launching a new EC2 instance: {state.instance_id}", "a difference in capacity"
        )
        activity.status_code, activity.progress = "Successful", 100
        self._emit_about(group, "EC2 Instance Launch Successful", activity, state.instance_id)

    def _record_failure(self, group: FakeAutoScalingGroup, message: str) -> None:
        activity = self._activity(group, "Launching a new EC2 instance", "a difference in capacity")
        activity.status_code, activity.progress = "Failed", 100
        activity.status_message = f"{message} Launching EC2 instance failed."  # type: ignore[attr-defined]
        self._relaunch_at[group.name] = self._clock.now() + RELAUNCH_SECONDS
        self._emit_about(group, "EC2 Instance Launch Unsuccessful", activity, "")

    def _replace(self, group: FakeAutoScalingGroup, state: InstanceState) -> None:
        """Take an instance that died out of service; after the first in an hour, the next one is launched later."""
        now = self._clock.now()
        before = [moment for moment in self._replaced_at.get(group.name, []) if now - moment < REPLACED_WITHIN_SECONDS]
        self._replaced_at[group.name] = [*before, now]
        if before:
            self._relaunch_at[group.name] = now + RELAUNCH_SECONDS * len(before)
        self._begin_end(group, state, "an EC2 health check")

    def _begin_end(self, group: FakeAutoScalingGroup, state: InstanceState, cause: str) -> Activity:
        """Take an instance out of service: into its terminating hook, or to its end at once."""
        activity = self._activity(group, f"Terminating EC2 instance: {state.instance_id}", cause)
        hook = next(self._terminating_hooks(group), None)
        if hook is None:
            self._end_now(group, state, activity)
            return activity
        state.lifecycle_state = WAIT
        deadline = self._clock.now() + hook.heartbeat_timeout
        waiting = Waiting(hook, str(uuid.uuid4()), deadline, activity)
        self._waiting[state.instance_id] = waiting
        if running := self._instances.find(state.instance_id):
            running.lifecycle_state = "Terminated"
        detail = {
            "LifecycleActionToken": waiting.token, "AutoScalingGroupName": group.name, "LifecycleHookName": hook.name,
            "EC2InstanceId": state.instance_id, "LifecycleTransition": TERMINATING, "Origin": "AutoScalingGroup",
            "Destination": "EC2",
        }  # fmt: skip
        self._emit(SOURCE, "EC2 Instance-terminate Lifecycle Action", detail, [group.arn])
        return activity

    def _end(self, group: FakeAutoScalingGroup, state: InstanceState) -> None:
        waiting = self._waiting.pop(state.instance_id)
        self._end_now(group, state, waiting.activity)

    def _end_now(self, group: FakeAutoScalingGroup, state: InstanceState, activity: Activity) -> None:
        state.lifecycle_state = PROCEED
        group.ec2_backend.terminate_instances([state.instance_id])
        if running := self._instances.find(state.instance_id):
            running.close()
        group.instance_states = [other for other in group.instance_states if other is not state]
        activity.status_code, activity.progress = "Successful", 100
        activity.end_time = datetime.fromtimestamp(self._clock.now(), UTC).replace(tzinfo=None)
        self._emit_about(group, "EC2 Instance Terminate Successful", activity, state.instance_id)

    def _terminating_hooks(self, group: FakeAutoScalingGroup) -> Iterator[LifecycleHook]:
        for hook in self._backend().describe_lifecycle_hooks(group.name):
            if hook.lifecycle_transition == TERMINATING:
                yield hook

    def _waiting_of(self, parameter: Callable[..., Any]) -> Waiting:
        token, instance_id = parameter("LifecycleActionToken"), parameter("InstanceId")
        name = parameter("LifecycleHookName")
        with self._lock:
            for key, waiting in self._waiting.items():
                if waiting.hook.name == name and not waiting.done and (key == instance_id or waiting.token == token):
                    return waiting
        raise ValidationError(f"No active Lifecycle Action found with instance ID {instance_id}")

    def _activity(self, group: FakeAutoScalingGroup, description: str, cause: str) -> Activity:
        activity = Activity(description, f"At {iso(self._clock.now())} in response to {cause}.", group)
        self._activities.append(activity)
        return activity

    def _emit_about(self, group: FakeAutoScalingGroup, kind: str, activity: Activity, instance_id: str) -> None:
        detail = {
            "AutoScalingGroupName": group.name, "ActivityId": activity.activity_id, "Description": activity.description,
            "Cause": activity.cause, "StatusCode": activity.status_code, "EC2InstanceId": instance_id,
            "StatusMessage": getattr(activity, "status_message", ""), "RequestId": activity.activity_id,
        }  # fmt: skip
        instance = f"arn:aws:ec2:{self._region}:{self._account}:instance/{instance_id}"
        self._emit(SOURCE, kind, detail, [group.arn, *([instance] if instance_id else [])])


def template_data(group: FakeAutoScalingGroup) -> dict[str, Any]:
    """Return the launch template data of the version that a group uses."""
    if group.ec2_launch_template is None:
        return {}
    return dict(group.ec2_launch_template.get_version(group.launch_template_version).data)


def profile_of(template: dict[str, Any], account: str) -> dict[str, str]:
    """Return ARN and id of the instance profile that a launch template names."""
    wanted = template.get("IamInstanceProfile", {})
    for profile in iam_backends[account]["aws"].instance_profiles.values():
        if profile.arn == wanted.get("Arn") or profile.name == wanted.get("Name"):
            return {"Arn": profile.arn, "Id": profile.id}
    return {}


def _set_desired_capacity(self: FakeAutoScalingGroup, new_capacity: int | None) -> None:
    """Only set the number, within the group's limits; instances follow."""
    wanted = int(self.min_size or 0) if new_capacity is None else int(new_capacity)
    if wanted > int(self.max_size or 0):
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is above max value {self.max_size} for {self.name}."
        )
    if wanted < int(self.min_size or 0):
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is below min value {self.min_size} for {self.name}."
        )
    self.desired_capacity = wanted


def _resolved_image(original: Any) -> Callable[[FakeAutoScalingGroup], str]:
    """Resolve ``resolve:ssm:NAME`` when a group launches, as EC2 does."""

    def image_id(self: FakeAutoScalingGroup) -> str:
        image = str(original.fget(self))
        if not image.startswith("resolve:ssm:"):
            return image
        name = image.removeprefix("resolve:ssm:")
        parameter = ssm_backends[self.account_id][self.region].get_parameter(name)
        if parameter is None:
            raise ValidationError(f"{image}: no such parameter")
        return str(parameter.value)

    return image_id


def _with_hooks(original: Any) -> Any:
    """Create the hooks of LifecycleHookSpecificationList, which moto drops."""

    @classmethod  # type: ignore[misc]
    def create(
        cls: type[FakeAutoScalingGroup], resource_name: str, cloudformation_json: Any, account_id: str,
        region_name: str, **keywords: Any,
    ) -> FakeAutoScalingGroup:  # fmt: skip
        group = original.__func__(cls, resource_name, cloudformation_json, account_id, region_name, **keywords)
        for hook in cloudformation_json["Properties"].get("LifecycleHookSpecificationList", []):
            group.autoscaling_backend.create_lifecycle_hook(
                name=hook["LifecycleHookName"],
                as_name=group.name,
                transition=hook["LifecycleTransition"],
                timeout=int(hook.get("HeartbeatTimeout", 3600)),
                result=hook.get("DefaultResult", "ABANDON"),
            )
        return group  # type: ignore[no-any-return]

    return create
