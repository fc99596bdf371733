"""The scheduler API: calls of a framework's scheduler, events of the master.

Source: Mesos include/mesos/v1/scheduler/scheduler.proto.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from tepui.wire import mesos
from tepui.wire.message import Int32, ProtoEnum, ProtoMessage, UInt32


class Event(ProtoMessage, frozen=True, kw_only=True):
    class Subscribed(ProtoMessage, frozen=True, kw_only=True):
        framework_id: Annotated[mesos.FrameworkID, 1]
        heartbeat_interval_seconds: Annotated[float | None, 2] = None
        master_info: Annotated[mesos.MasterInfo | None, 3] = None

    class Offers(ProtoMessage, frozen=True, kw_only=True):
        offers: Annotated[tuple[mesos.Offer, ...], 1] = ()

    class InverseOffers(ProtoMessage, frozen=True, kw_only=True):
        inverse_offers: Annotated[tuple[mesos.InverseOffer, ...], 1] = ()

    class Rescind(ProtoMessage, frozen=True, kw_only=True):
        offer_id: Annotated[mesos.OfferID, 1]

    class RescindInverseOffer(ProtoMessage, frozen=True, kw_only=True):
        inverse_offer_id: Annotated[mesos.OfferID, 1]

    class Update(ProtoMessage, frozen=True, kw_only=True):
        status: Annotated[mesos.TaskStatus, 1]

    class UpdateOperationStatus(ProtoMessage, frozen=True, kw_only=True):
        status: Annotated[mesos.OperationStatus, 1]

    class Message(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        executor_id: Annotated[mesos.ExecutorID, 2]
        data: Annotated[bytes, 3]

    class Failure(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID | None, 1] = None
        executor_id: Annotated[mesos.ExecutorID | None, 2] = None
        status: Annotated[Int32 | None, 3] = None

    class Error(ProtoMessage, frozen=True, kw_only=True):
        message: Annotated[str, 1]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        SUBSCRIBED = "SUBSCRIBED", 1
        OFFERS = "OFFERS", 2
        INVERSE_OFFERS = "INVERSE_OFFERS", 9
        RESCIND = "RESCIND", 3
        RESCIND_INVERSE_OFFER = "RESCIND_INVERSE_OFFER", 10
        UPDATE = "UPDATE", 4
        UPDATE_OPERATION_STATUS = "UPDATE_OPERATION_STATUS", 11
        MESSAGE = "MESSAGE", 5
        FAILURE = "FAILURE", 6
        ERROR = "ERROR", 7
        HEARTBEAT = "HEARTBEAT", 8

    type: Annotated[Event.Type | None, 1] = None
    subscribed: Annotated[Event.Subscribed | None, 2] = None
    offers: Annotated[Event.Offers | None, 3] = None
    inverse_offers: Annotated[Event.InverseOffers | None, 9] = None
    rescind: Annotated[Event.Rescind | None, 4] = None
    rescind_inverse_offer: Annotated[Event.RescindInverseOffer | None, 10] = None
    update: Annotated[Event.Update | None, 5] = None
    update_operation_status: Annotated[Event.UpdateOperationStatus | None, 11] = None
    message: Annotated[Event.Message | None, 6] = None
    failure: Annotated[Event.Failure | None, 7] = None
    error: Annotated[Event.Error | None, 8] = None


class Response(ProtoMessage, frozen=True, kw_only=True):
    class ReconcileOperations(ProtoMessage, frozen=True, kw_only=True):
        operation_statuses: Annotated[tuple[mesos.OperationStatus, ...], 1] = ()

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        RECONCILE_OPERATIONS = "RECONCILE_OPERATIONS", 1

    type: Annotated[Response.Type | None, 1] = None
    reconcile_operations: Annotated[Response.ReconcileOperations | None, 2] = None


class AttributeConstraint(ProtoMessage, frozen=True, kw_only=True):
    class Selector(ProtoMessage, frozen=True, kw_only=True):
        class PseudoattributeType(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            HOSTNAME = "HOSTNAME", 1
            REGION = "REGION", 2
            ZONE = "ZONE", 3

        pseudoattribute_type: Annotated[
            AttributeConstraint.Selector.PseudoattributeType | None, 1
        ] = None
        attribute_name: Annotated[str | None, 2] = None

    class Predicate(ProtoMessage, frozen=True, kw_only=True):
        class Exists(ProtoMessage, frozen=True, kw_only=True):
            pass

        class NotExists(ProtoMessage, frozen=True, kw_only=True):
            pass

        class TextEquals(ProtoMessage, frozen=True):
            value: Annotated[str, 1]

        class TextNotEquals(ProtoMessage, frozen=True):
            value: Annotated[str, 1]

        class TextMatches(ProtoMessage, frozen=True, kw_only=True):
            regex: Annotated[str, 1]

        class TextNotMatches(ProtoMessage, frozen=True, kw_only=True):
            regex: Annotated[str, 1]

        exists: Annotated[AttributeConstraint.Predicate.Exists | None, 1] = None
        not_exists: Annotated[AttributeConstraint.Predicate.NotExists | None, 2] = None
        text_equals: Annotated[AttributeConstraint.Predicate.TextEquals | None, 3] = None
        text_not_equals: Annotated[AttributeConstraint.Predicate.TextNotEquals | None, 4] = None
        text_matches: Annotated[AttributeConstraint.Predicate.TextMatches | None, 5] = None
        text_not_matches: Annotated[AttributeConstraint.Predicate.TextNotMatches | None, 6] = None

    selector: Annotated[AttributeConstraint.Selector, 1]
    predicate: Annotated[AttributeConstraint.Predicate, 2]


class OfferConstraints(ProtoMessage, frozen=True, kw_only=True):
    class RoleConstraints(ProtoMessage, frozen=True, kw_only=True):
        class Group(ProtoMessage, frozen=True, kw_only=True):
            attribute_constraints: Annotated[tuple[AttributeConstraint, ...], 1] = ()

        groups: Annotated[tuple[OfferConstraints.RoleConstraints.Group, ...], 1] = ()

    role_constraints: Annotated[dict[str, OfferConstraints.RoleConstraints], 1] = field(
        default_factory=dict
    )


class Call(ProtoMessage, frozen=True, kw_only=True):
    class Subscribe(ProtoMessage, frozen=True, kw_only=True):
        framework_info: Annotated[mesos.FrameworkInfo, 1]
        suppressed_roles: Annotated[tuple[str, ...], 2] = ()
        offer_constraints: Annotated[OfferConstraints | None, 3] = None

    class Accept(ProtoMessage, frozen=True, kw_only=True):
        offer_ids: Annotated[tuple[mesos.OfferID, ...], 1] = ()
        operations: Annotated[tuple[mesos.Offer.Operation, ...], 2] = ()
        filters: Annotated[mesos.Filters | None, 3] = None

    class Decline(ProtoMessage, frozen=True, kw_only=True):
        offer_ids: Annotated[tuple[mesos.OfferID, ...], 1] = ()
        filters: Annotated[mesos.Filters | None, 2] = None

    class AcceptInverseOffers(ProtoMessage, frozen=True, kw_only=True):
        inverse_offer_ids: Annotated[tuple[mesos.OfferID, ...], 1] = ()
        filters: Annotated[mesos.Filters | None, 2] = None

    class DeclineInverseOffers(ProtoMessage, frozen=True, kw_only=True):
        inverse_offer_ids: Annotated[tuple[mesos.OfferID, ...], 1] = ()
        filters: Annotated[mesos.Filters | None, 2] = None

    class Revive(ProtoMessage, frozen=True, kw_only=True):
        roles: Annotated[tuple[str, ...], 1] = ()

    class Kill(ProtoMessage, frozen=True, kw_only=True):
        task_id: Annotated[mesos.TaskID, 1]
        agent_id: Annotated[mesos.AgentID | None, 2] = None
        kill_policy: Annotated[mesos.KillPolicy | None, 3] = None

    class Shutdown(ProtoMessage, frozen=True, kw_only=True):
        executor_id: Annotated[mesos.ExecutorID, 1]
        agent_id: Annotated[mesos.AgentID, 2]

    class Acknowledge(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        task_id: Annotated[mesos.TaskID, 2]
        uuid: Annotated[bytes, 3]

    class AcknowledgeOperationStatus(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID | None, 1] = None
        resource_provider_id: Annotated[mesos.ResourceProviderID | None, 2] = None
        uuid: Annotated[bytes, 3]
        operation_id: Annotated[mesos.OperationID, 4]

    class Reconcile(ProtoMessage, frozen=True, kw_only=True):
        class Task(ProtoMessage, frozen=True, kw_only=True):
            task_id: Annotated[mesos.TaskID, 1]
            agent_id: Annotated[mesos.AgentID | None, 2] = None

        tasks: Annotated[tuple[Call.Reconcile.Task, ...], 1] = ()

    class ReconcileOperations(ProtoMessage, frozen=True, kw_only=True):
        class Operation(ProtoMessage, frozen=True, kw_only=True):
            operation_id: Annotated[mesos.OperationID, 1]
            agent_id: Annotated[mesos.AgentID | None, 2] = None
            resource_provider_id: Annotated[mesos.ResourceProviderID | None, 3] = None

        operations: Annotated[tuple[Call.ReconcileOperations.Operation, ...], 1] = ()

    class Message(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        executor_id: Annotated[mesos.ExecutorID, 2]
        data: Annotated[bytes, 3]

    class Request(ProtoMessage, frozen=True, kw_only=True):
        requests: Annotated[tuple[mesos.Request, ...], 1] = ()

    class Suppress(ProtoMessage, frozen=True, kw_only=True):
        roles: Annotated[tuple[str, ...], 1] = ()

    class UpdateFramework(ProtoMessage, frozen=True, kw_only=True):
        framework_info: Annotated[mesos.FrameworkInfo, 1]
        suppressed_roles: Annotated[tuple[str, ...], 2] = ()
        offer_constraints: Annotated[OfferConstraints | None, 3] = None

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        SUBSCRIBE = "SUBSCRIBE", 1
        TEARDOWN = "TEARDOWN", 2
        ACCEPT = "ACCEPT", 3
        DECLINE = "DECLINE", 4
        ACCEPT_INVERSE_OFFERS = "ACCEPT_INVERSE_OFFERS", 13
        DECLINE_INVERSE_OFFERS = "DECLINE_INVERSE_OFFERS", 14
        REVIVE = "REVIVE", 5
        KILL = "KILL", 6
        SHUTDOWN = "SHUTDOWN", 7
        ACKNOWLEDGE = "ACKNOWLEDGE", 8
        ACKNOWLEDGE_OPERATION_STATUS = "ACKNOWLEDGE_OPERATION_STATUS", 15
        RECONCILE = "RECONCILE", 9
        RECONCILE_OPERATIONS = "RECONCILE_OPERATIONS", 16
        MESSAGE = "MESSAGE", 10
        REQUEST = "REQUEST", 11
        SUPPRESS = "SUPPRESS", 12
        UPDATE_FRAMEWORK = "UPDATE_FRAMEWORK", 17

    framework_id: Annotated[mesos.FrameworkID | None, 1] = None
    type: Annotated[Call.Type | None, 2] = None
    subscribe: Annotated[Call.Subscribe | None, 3] = None
    accept: Annotated[Call.Accept | None, 4] = None
    decline: Annotated[Call.Decline | None, 5] = None
    accept_inverse_offers: Annotated[Call.AcceptInverseOffers | None, 13] = None
    decline_inverse_offers: Annotated[Call.DeclineInverseOffers | None, 14] = None
    revive: Annotated[Call.Revive | None, 15] = None
    kill: Annotated[Call.Kill | None, 6] = None
    shutdown: Annotated[Call.Shutdown | None, 7] = None
    acknowledge: Annotated[Call.Acknowledge | None, 8] = None
    acknowledge_operation_status: Annotated[Call.AcknowledgeOperationStatus | None, 17] = None
    reconcile: Annotated[Call.Reconcile | None, 9] = None
    reconcile_operations: Annotated[Call.ReconcileOperations | None, 18] = None
    message: Annotated[Call.Message | None, 10] = None
    request: Annotated[Call.Request | None, 11] = None
    suppress: Annotated[Call.Suppress | None, 16] = None
    update_framework: Annotated[Call.UpdateFramework | None, 19] = None


class APIResult(ProtoMessage, frozen=True, kw_only=True):
    status_code: Annotated[UInt32, 1]
    response: Annotated[Response | None, 2] = None
    error: Annotated[str | None, 3] = None
