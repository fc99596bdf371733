"""The resource provider API.

Source: Mesos include/mesos/v1/resource_provider/resource_provider.proto.
"""

from __future__ import annotations

from typing import Annotated

from tepui.wire import mesos
from tepui.wire.message import ProtoEnum, ProtoMessage


class Event(ProtoMessage, frozen=True, kw_only=True):
    class Subscribed(ProtoMessage, frozen=True, kw_only=True):
        provider_id: Annotated[mesos.ResourceProviderID, 1]

    class ApplyOperation(ProtoMessage, frozen=True, kw_only=True):
        framework_id: Annotated[mesos.FrameworkID | None, 1] = None
        info: Annotated[mesos.Offer.Operation, 2]
        operation_uuid: Annotated[mesos.UUID, 3]
        resource_version_uuid: Annotated[mesos.UUID, 4]

    class PublishResources(ProtoMessage, frozen=True, kw_only=True):
        uuid: Annotated[mesos.UUID, 1]
        resources: Annotated[tuple[mesos.Resource, ...], 2] = ()

    class AcknowledgeOperationStatus(ProtoMessage, frozen=True, kw_only=True):
        status_uuid: Annotated[mesos.UUID, 1]
        operation_uuid: Annotated[mesos.UUID, 2]

    class ReconcileOperations(ProtoMessage, frozen=True, kw_only=True):
        operation_uuids: Annotated[tuple[mesos.UUID, ...], 1] = ()

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        SUBSCRIBED = "SUBSCRIBED", 1
        APPLY_OPERATION = "APPLY_OPERATION", 2
        PUBLISH_RESOURCES = "PUBLISH_RESOURCES", 3
        ACKNOWLEDGE_OPERATION_STATUS = "ACKNOWLEDGE_OPERATION_STATUS", 4
        RECONCILE_OPERATIONS = "RECONCILE_OPERATIONS", 5
        TEARDOWN = "TEARDOWN", 6

    type: Annotated[Event.Type | None, 1] = None
    subscribed: Annotated[Event.Subscribed | None, 2] = None
    apply_operation: Annotated[Event.ApplyOperation | None, 3] = None
    publish_resources: Annotated[Event.PublishResources | None, 4] = None
    acknowledge_operation_status: Annotated[Event.AcknowledgeOperationStatus | None, 5] = None
    reconcile_operations: Annotated[Event.ReconcileOperations | None, 6] = None


class Call(ProtoMessage, frozen=True, kw_only=True):
    class Subscribe(ProtoMessage, frozen=True, kw_only=True):
        resource_provider_info: Annotated[mesos.ResourceProviderInfo, 1]

    class UpdateOperationStatus(ProtoMessage, frozen=True, kw_only=True):
        framework_id: Annotated[mesos.FrameworkID | None, 1] = None
        status: Annotated[mesos.OperationStatus, 2]
        latest_status: Annotated[mesos.OperationStatus | None, 3] = None
        operation_uuid: Annotated[mesos.UUID, 4]

    class UpdateState(ProtoMessage, frozen=True, kw_only=True):
        operations: Annotated[tuple[mesos.Operation, ...], 1] = ()
        resources: Annotated[tuple[mesos.Resource, ...], 2] = ()
        resource_version_uuid: Annotated[mesos.UUID, 3]

    class UpdatePublishResourcesStatus(ProtoMessage, frozen=True, kw_only=True):
        class Status(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            OK = "OK", 1
            FAILED = "FAILED", 2

        uuid: Annotated[mesos.UUID, 1]
        status: Annotated[Call.UpdatePublishResourcesStatus.Status, 2]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        SUBSCRIBE = "SUBSCRIBE", 1
        UPDATE_OPERATION_STATUS = "UPDATE_OPERATION_STATUS", 2
        UPDATE_STATE = "UPDATE_STATE", 3
        UPDATE_PUBLISH_RESOURCES_STATUS = "UPDATE_PUBLISH_RESOURCES_STATUS", 4

    resource_provider_id: Annotated[mesos.ResourceProviderID | None, 1] = None
    type: Annotated[Call.Type | None, 2] = None
    subscribe: Annotated[Call.Subscribe | None, 3] = None
    update_operation_status: Annotated[Call.UpdateOperationStatus | None, 4] = None
    update_state: Annotated[Call.UpdateState | None, 5] = None
    update_publish_resources_status: Annotated[Call.UpdatePublishResourcesStatus | None, 6] = None
