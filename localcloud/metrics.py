"""CloudWatch metrics that AWS itself would emit: put into moto as data points."""

from collections.abc import Callable
from datetime import UTC, datetime

from moto.cloudwatch.models import CloudWatchBackend, cloudwatch_backends
from moto.dynamodb.models import dynamodb_backends
from moto.efs.models import efs_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

BURST_CREDITS = 2.31e12  # what a new file system starts with: 2.1 TiB of credits (Amazon EFS User Guide, "Performance")
PERMITTED_THROUGHPUT = 100 * 1024**2  # bytes per second
EMIT_SECONDS = 3600
QUEUE_SECONDS = 300


class Metrics:
    """Emits metrics into one account and region; those of idle resources from time to time."""

    def __init__(self, account: str, region: str, now: Callable[[], float]) -> None:
        """Emit at the times that ``now`` tells."""
        self._account, self._region, self._now = account, region, now
        self._next = self._next_queues = 0.0
        self._measured: set[str] = set()

    def put(self, namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str]) -> None:
        """Emit one data point, now."""
        datum = {
            "MetricName": name,
            "Value": value,
            "Unit": unit,
            "Timestamp": datetime.fromtimestamp(self._now(), UTC).replace(tzinfo=None),
            "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
        }
        self._backend().put_metric_data(namespace, [datum])

    def next_due(self, now: float) -> float | None:
        """Ask for no stop of the clock: what resources look like is as well told late."""
        del now
        return None

    def fire(self, now: float) -> None:
        """Emit the metrics of queues that hold messages every five minutes, the others every hour.

        Those of a new resource come at once: the clock may be about to move past what asks for them.
        """
        if now >= self._next_queues:
            self._next_queues = now + QUEUE_SECONDS
            self.emit_queues()
        names = self._names()
        if now >= self._next or names != self._measured:
            self._next, self._measured = now + EMIT_SECONDS, names
            self.emit()

    def _names(self) -> set[str]:
        """Return what the resources are called whose metrics are emitted from time to time."""
        return {
            *efs_backends[self._account][self._region].file_systems_by_id,
            *s3_backends[self._account]["aws"].buckets,
            *dynamodb_backends[self._account][self._region].tables,
        }

    def emit_queues(self) -> None:
        """Emit how many messages wait, for each queue that has any."""
        for queue in list(sqs_backends[self._account][self._region].queues.values()):
            if visible := len([message for message in queue.messages if message.visible]):
                self.put("AWS/SQS", "ApproximateNumberOfMessagesVisible", visible, "Count", {"QueueName": queue.name})

    def emit(self) -> None:
        """Emit the metrics of file systems, buckets and tables."""
        for file_system in list(efs_backends[self._account][self._region].file_systems_by_id.values()):
            dimensions = {"FileSystemId": file_system.file_system_id}
            self.put("AWS/EFS", "BurstCreditBalance", BURST_CREDITS, "Bytes", dimensions)
            self.put("AWS/EFS", "PermittedThroughput", PERMITTED_THROUGHPUT, "Bytes/Second", dimensions)
        for bucket in list(s3_backends[self._account]["aws"].buckets.values()):
            size = sum(key.size for key in bucket.keys.values())
            dimensions = {"BucketName": bucket.name, "StorageType": "StandardStorage"}
            self.put("AWS/S3", "BucketSizeBytes", size, "Bytes", dimensions)
        for name in list(dynamodb_backends[self._account][self._region].tables):
            dimensions = {"TableName": name, "Operation": "PutItem"}
            self.put("AWS/DynamoDB", "SuccessfulRequestLatency", 4.0, "Milliseconds", dimensions)

    def _backend(self) -> CloudWatchBackend:
        return cloudwatch_backends[self._account][self._region]
