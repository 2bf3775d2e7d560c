"""The stack's table: the lease and the backups' items. The only module that calls DynamoDB."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from orchestrator.clients import PATIENT
from orchestrator.state import RUNNING, SUCCESS, History, Item

log = logging.getLogger(__name__)

CONDITION_FAILED = "ConditionalCheckFailed"


class RefusedError(Exception):
    """A conditional write was refused."""

    def __init__(self, items: list[Item | None], refused: list[bool]) -> None:
        """Given, in the order of the writes, the items in the way (None is no item) and which writes were refused."""
        super().__init__("a conditional write was refused")
        self.items = items
        self.refused = refused


@dataclass(frozen=True)
class Update:
    """Changes to an item: attributes to set, to set if they are absent, and to remove, on a condition."""

    key: str
    put: Mapping[str, Any] = field(default_factory=dict)
    put_if_absent: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    condition: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Put:
    """A whole item to write, on a condition."""

    item: Item
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """The table of one stack, by its name. Made anew for each invocation."""

    name: str

    def read(self, key: str) -> Item | None:
        """Return the item with this key as it is now, None if there is none."""
        reply = self._dynamodb.get_item(TableName=self.name, Key=_to_dynamodb({"BackupId": key}), ConsistentRead=True)
        return _from_dynamodb(reply["Item"]) if "Item" in reply else None

    def put(self, put: Put) -> None:
        """Write an item. Raises RefusedError if its condition does not hold."""
        try:
            self._dynamodb.put_item(**self._put(put))
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise _refused(error) from error

    def update(self, update: Update) -> Item:
        """Change an item and return all of it. Raises RefusedError if its condition does not hold."""
        try:
            reply = self._dynamodb.update_item(**self._update(update), ReturnValues="ALL_NEW")
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise _refused(error) from error
        return _from_dynamodb(reply["Attributes"])

    def write_all(self, writes: list[Put | Update]) -> None:
        """Do all these writes or none. Raises RefusedError if a condition does not hold."""
        items = [{"Put": self._put(w)} if isinstance(w, Put) else {"Update": self._update(w)} for w in writes]
        try:
            self._dynamodb.transact_write_items(TransactItems=items)
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            reasons = error.response["CancellationReasons"]
            refused = [reason.get("Code") == CONDITION_FAILED for reason in reasons]
            if not any(refused):
                raise  # a conflict with another writer, or the table's limits: the event is tried again
            raise RefusedError(
                [_from_dynamodb(r["Item"]) if r.get("Item") else None for r in reasons], refused
            ) from error

    def release(self, backup_id: str) -> None:
        """Remove the lease if it is still this backup's."""
        try:
            self._dynamodb.delete_item(
                TableName=self.name,
                Key=_to_dynamodb({"BackupId": RUNNING}),
                ConditionExpression="RunningBackupId = :backup",
                ExpressionAttributeValues=_to_dynamodb({":backup": backup_id}),
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            log.info("the lease of backup %s is gone already", backup_id)

    def history(self) -> History:
        """Return what the table's items of all backups say together."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self.name,
            ConsistentRead=True,
            FilterExpression="BackupStatus = :success OR attribute_exists(MailClaim)",
            ProjectionExpression="BackupId, BackupStatus, BackupStopTime",
            ExpressionAttributeValues=_to_dynamodb({":success": SUCCESS}),
        )
        return History.from_items([_from_dynamodb(item) for page in pages for item in page["Items"]])

    def _put(self, put: Put) -> dict[str, Any]:
        request = {"TableName": self.name, "Item": _to_dynamodb(put.item)}
        return request | _conditions(put.condition, put.values)

    def _update(self, update: Update) -> dict[str, Any]:
        request = {"TableName": self.name, "Key": _to_dynamodb({"BackupId": update.key})}
        expression, values = _expression(update)
        if expression:
            request["UpdateExpression"] = expression
        return request | _conditions(update.condition, values | dict(update.values))

    @cached_property
    def _dynamodb(self) -> Any:
        return boto3.client("dynamodb", config=PATIENT)


def _to_dynamodb(item: Mapping[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items()}


def _from_dynamodb(item: Mapping[str, Any]) -> Item:
    deserialize = TypeDeserializer().deserialize
    return {name: _plain(deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    """DynamoDB's numbers are Decimal; whole ones become int, the others float."""
    if type(value).__name__ == "Decimal":
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _conditions(condition: str, values: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    if condition:
        request["ConditionExpression"] = condition
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if values:
        request["ExpressionAttributeValues"] = _to_dynamodb(values)
    return request


def _expression(update: Update) -> tuple[str, dict[str, Any]]:
    """Given an update, return its UpdateExpression and the values that it names."""
    values: dict[str, Any] = {}
    sets: list[str] = []
    for number, (name, value) in enumerate(update.put.items()):
        values[f":put{number}"] = value
        sets.append(f"{name} = :put{number}")
    for number, (name, value) in enumerate(update.put_if_absent.items()):
        values[f":absent{number}"] = value
        sets.append(f"{name} = if_not_exists({name}, :absent{number})")
    parts = ["SET " + ", ".join(sets)] if sets else []
    if update.remove:
        parts.append("REMOVE " + ", ".join(update.remove))
    return " ".join(parts), values


def _refused(error: Any) -> RefusedError:
    item = error.response.get("Item")
    return RefusedError([_from_dynamodb(item) if item else None], [True])
