// Made by `npm run types` from docs/reference/openapi.json. Do not edit.

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * About
         * @description The server's name and version, and the paths of its parts.
         */
        About: {
            /** Name */
            name: string;
            /** Version */
            version: string;
            /** Links */
            links: {
                [key: string]: string;
            };
        };
        /**
         * AccessScope
         * @description A permission of a principal for the data of its tenant. `admin` allows actions that affect all tenants.
         *
         *     `metrics` allows to read the metrics of the server.
         * @enum {string}
         */
        AccessScope: "submit" | "read" | "control" | "admin" | "metrics";
        /**
         * AgentList
         * @description The agents of this server, the default one first.
         */
        AgentList: {
            /** Agents */
            agents: components["schemas"]["AgentView"][];
        };
        /**
         * AgentState
         * @description Whether a worker can run an agent.
         * @enum {string}
         */
        AgentState: "loading" | "available" | "failed" | "stuck";
        /**
         * AgentView
         * @description An agent that messages can name.
         *
         *     The schemas are JSON Schemas. Until a worker has loaded the agent, the schemas, `graph`, `takes_text` and
         *     `description` are null. `context_schema` is also null if the agent takes no context.
         */
        AgentView: {
            /** Name */
            name: string;
            /**
             * Is Default
             * @description Whether messages that name no agent go to it.
             */
            is_default: boolean;
            /** Description */
            description: string | null;
            /**
             * Input Schema
             * @description The `input` of a message.
             */
            input_schema: {
                [key: string]: unknown;
            } | null;
            /**
             * Output Schema
             * @description The `output` of a message.
             */
            output_schema: {
                [key: string]: unknown;
            } | null;
            /**
             * Context Schema
             * @description The `context` of a message.
             */
            context_schema: {
                [key: string]: unknown;
            } | null;
            /**
             * State Schema
             * @description The values of a state. Null if the agent is no graph.
             */
            state_schema: {
                [key: string]: unknown;
            } | null;
            /**
             * Graph
             * @description The nodes and edges of the graph, in LangGraph's form. Null if the agent is no graph.
             */
            graph: {
                [key: string]: unknown;
            } | null;
            /**
             * Events
             * @description The `events` that a message can ask for.
             */
            events: components["schemas"]["ShownEvent"][];
            /**
             * Nodes
             * @description The nodes of its graph. Empty where they are not known.
             */
            nodes: string[];
            /**
             * Takes Text
             * @description Whether a message can have a `message` instead of an `input`.
             */
            takes_text: boolean | null;
            /**
             * Version
             * @description The version that the schemas are of. Null if its process names none.
             */
            version: string | null;
            workers: components["schemas"]["LiveWorkers"];
            /**
             * Versions
             * @description The versions of the live workers. The version whose first worker started last comes first.
             */
            versions: components["schemas"]["LiveVersion"][];
            /**
             * Error
             * @description Why a live worker cannot run it, without secrets.
             */
            error: string | null;
        };
        /**
         * Alive
         * @description The process answers.
         */
        Alive: {
            /**
             * Status
             * @default alive
             */
            status?: string;
        };
        /**
         * AreaView
         * @description A part of what the engine uses up.
         */
        AreaView: {
            /**
             * Name
             * @description `total`, and parts of it or what lies beside it: files, tables with their indexes, logs, `unused` space in a file, `memory` for the file of the agents' memory.
             */
            name: string;
            /**
             * Bytes
             * @description Null if the engine does not tell.
             */
            bytes: number | null;
            /**
             * Rows
             * @description Rows or keys, which may be the engine's estimate. Null if it has none.
             */
            rows: number | null;
        };
        /**
         * AudioBlock
         * @description A sound.
         */
        AudioBlock: {
            /**
             * Id
             * @description The id of the block.
             * @default null
             */
            id?: string | null;
            /**
             * Extras
             * @description What only the model's provider reads, such as `filename` for a file.
             * @default null
             */
            extras?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "audio";
            /**
             * Mime Type
             * @description The media type, such as `image/png`. Required with `base64`.
             * @default null
             */
            mime_type?: string | null;
            /**
             * Base64
             * @description The data in base64.
             * @default null
             */
            base64?: string | null;
            /**
             * File Id
             * @description The id of a file at the model's provider.
             * @default null
             */
            file_id?: string | null;
            /**
             * Url
             * @description Where the model's provider finds the data: `http` or `https`. Exactly one of `url`, `base64` and `file_id` is given.
             * @default null
             */
            url?: string | null;
        };
        /**
         * AuditAction
         * @description The kind of a change.
         * @enum {string}
         */
        AuditAction: "key.create" | "key.change" | "key.rotate" | "key.revoke" | "tenant.change" | "tenant.delete" | "tokens.end" | "session.end" | "queue.pause" | "queue.resume" | "worker.drain" | "worker.resume" | "message.cancel" | "message.change" | "message.answer" | "message.requeue" | "message.purge" | "thread.change" | "thread.delete" | "thread.fork" | "thread.state" | "item.put" | "item.delete" | "delivery.replay" | "data.erase";
        /**
         * AuditList
         * @description Records of the audit log, the newest first.
         */
        AuditList: {
            /** Records */
            records: components["schemas"]["AuditView"][];
        };
        /**
         * AuditView
         * @description The changes of one call, and its caller.
         */
        AuditView: {
            /**
             * Number
             * @description Grows with each record.
             */
            number: number;
            /** At */
            at: string;
            /**
             * Actor
             * @description `key:ID`; `subject:NAME` for an end user; `user:NAME` for a user of a proxy; `local` for the command line, and for programs of the server's host without a key; `anonymous` for others without a key.
             */
            actor: string;
            /**
             * Key Id
             * @description The API key that was presented, or that made the token.
             */
            key_id: string | null;
            /**
             * Address
             * @description The caller's address. Null for the command line.
             */
            address: string | null;
            action: components["schemas"]["AuditAction"];
            /**
             * Tenant
             * @description The tenant whose data was changed. Null for what concerns all tenants.
             */
            tenant: string | null;
            /**
             * Targets
             * @description The ids of what was changed.
             */
            targets: string[];
            /**
             * Affected
             * @description How many ids these are.
             */
            affected: number;
            /**
             * Details
             * @description What else the change was, by name, such as `source` of a fork and `grace_seconds` of a rotation.
             */
            details: {
                [key: string]: unknown;
            };
        };
        /**
         * BatchAccepted
         * @description The stored messages of a batch, in its order.
         */
        BatchAccepted: {
            /** Messages */
            messages: components["schemas"]["MessageAccepted"][];
        };
        /**
         * CancelReply
         * @description The state after a cancel. `cancelled`: the message has ended. `processing`: it will end as cancelled.
         */
        CancelReply: {
            /** Message Id */
            message_id: string;
            state: components["schemas"]["MessageState"];
            /** Message */
            message: string;
        };
        /**
         * CancelledData
         * @description The message was cancelled.
         */
        CancelledData: {
            /**
             * State
             * @constant
             */
            state: "cancelled";
            /** Completed At */
            completed_at: string;
        };
        /**
         * CancelledEvent
         * @description The message was cancelled.
         */
        CancelledEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "cancelled";
            data: components["schemas"]["CancelledData"];
        };
        /**
         * Change
         * @description A change. Fields that its type does not have are null.
         */
        Change: {
            type: components["schemas"]["ChangeType"];
            /**
             * At
             * @description When it happened, by the store's clock.
             */
            at: string;
            /** Message Id */
            message_id: string | null;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string | null;
            priority: components["schemas"]["Priority"] | null;
            /** @description The state of the message before. Null for a new message. */
            state_before: components["schemas"]["MessageState"] | null;
            /** @description The state afterwards. Null for a purged message. */
            state: components["schemas"]["MessageState"] | null;
            /**
             * Error Code
             * @description Why the message failed.
             */
            error_code: string | null;
            /** Worker Id */
            worker_id: string | null;
        };
        /**
         * ChangeList
         * @description Changes behind `after`, oldest first.
         */
        ChangeList: {
            /** Events */
            events: components["schemas"]["ListedChange"][];
            /**
             * Last Event Id
             * @description Give this as `after` to read the later changes.
             */
            last_event_id: string;
            /**
             * Reset
             * @description Whether changes behind `after` are no longer kept. The list then begins with the oldest that is.
             */
            reset: boolean;
            /**
             * More
             * @description Whether there are later changes already.
             */
            more: boolean;
        };
        /**
         * ChangeType
         * @description The kinds of changes.
         * @enum {string}
         */
        ChangeType: "message.accepted" | "message.processing" | "message.retry" | "message.released" | "message.lost" | "message.interrupted" | "message.resumed" | "message.requeued" | "message.completed" | "message.failed" | "message.cancelled" | "message.priority" | "message.purged" | "thread.deleted" | "queue.paused" | "queue.resumed" | "worker.started" | "worker.left" | "worker.lost" | "worker.draining" | "worker.drained" | "worker.resumed" | "agent.changed" | "agent.removed";
        /**
         * ChangesReset
         * @description The reader loads its lists. Later events are all changes since.
         */
        ChangesReset: {
            /** @description `start` without an id, `expired` for one whose later changes are not kept. */
            reason: components["schemas"]["ResetReason"];
        };
        /**
         * Check
         * @description One thing that must work. `detail` says what is wrong. It is empty if nothing is wrong.
         */
        Check: {
            /** Ok */
            ok: boolean;
            /** Detail */
            detail: string;
        };
        /**
         * Checkpoint
         * @description The name of a checkpoint. `checkpoint_ns` is empty except for the checkpoints of subgraphs.
         */
        Checkpoint: {
            /** Thread Id */
            thread_id: string;
            /** Checkpoint Ns */
            checkpoint_ns: string;
            /** Checkpoint Id */
            checkpoint_id: string;
        };
        /**
         * CheckpointsData
         * @description A checkpoint that was saved, as LangGraph gives it. Its configs have only the names of checkpoints.
         */
        CheckpointsData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            /** Checkpoints */
            checkpoints: {
                [key: string]: unknown;
            } | null;
        };
        /**
         * CheckpointsEvent
         * @description A checkpoint was saved.
         */
        CheckpointsEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "checkpoints";
            data: components["schemas"]["CheckpointsData"];
        };
        /**
         * ChunkData
         * @description A part of the answer. `index` counts from 0 within an attempt.
         */
        ChunkData: components["schemas"]["TextChunk"] | components["schemas"]["ToolCallChunk"] | components["schemas"]["ToolResultChunk"] | components["schemas"]["DiscardChunk"];
        /**
         * ChunkEvent
         * @description A part of the answer.
         */
        ChunkEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "chunk";
            data: components["schemas"]["ChunkData"];
        };
        /**
         * ConfigView
         * @description The settings of the message in LangGraph's config.
         */
        ConfigView: {
            /** Recursion Limit */
            recursion_limit: number | null;
            /** Tags */
            tags: string[];
            /** Configurable */
            configurable: {
                [key: string]: unknown;
            };
        };
        /**
         * CursorMoved
         * @description The id has moved, and nothing that the reader sees has changed.
         */
        CursorMoved: Record<string, never>;
        /**
         * CustomData
         * @description A value that the agent's code has written with `get_stream_writer`.
         */
        CustomData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            /** Data */
            data: unknown;
        };
        /**
         * CustomEvent
         * @description The agent's code wrote something.
         */
        CustomEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "custom";
            data: components["schemas"]["CustomData"];
        };
        /**
         * DeadLetter
         * @description A message that failed for good, with the reason in one sentence and each failed attempt.
         */
        DeadLetter: {
            /** Message Id */
            message_id: string;
            /** User Message */
            user_message: string;
            priority: components["schemas"]["Priority"];
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
            /** Created At */
            created_at: string;
            /** Failed At */
            failed_at: string | null;
            /** Reason */
            reason: string;
            /** Error */
            error: string | null;
            /** Error Code */
            error_code: string | null;
            /** Fingerprint */
            fingerprint: string | null;
            /** Attempt */
            attempt: number;
            /** Crashes */
            crashes: number;
            /** Attempts */
            attempts: components["schemas"]["FailedAttempt"][];
            /**
             * Subject
             * @description The end user to whom it belongs. Null if it belongs to none.
             */
            subject?: string | null;
        };
        /**
         * DeadLetterFilter
         * @description Matches dead letters that have all given values. Without values it matches all dead letters.
         */
        DeadLetterFilter: {
            /**
             * Thread Id
             * @default null
             */
            thread_id?: string | null;
            /**
             * Agent
             * @default null
             */
            agent?: string | null;
            /** @default null */
            priority?: components["schemas"]["Priority"] | null;
            /**
             * Error Code
             * @default null
             */
            error_code?: string | null;
            /**
             * Fingerprint
             * @default null
             */
            fingerprint?: string | null;
        };
        /**
         * DeadLetterGroup
         * @description Dead letters with one fingerprint. `error` is the newest dead letter's error.
         */
        DeadLetterGroup: {
            /** Fingerprint */
            fingerprint: string;
            /** Count */
            count: number;
            /** Error */
            error: string;
            /** Error Code */
            error_code: string;
            /** First Failed At */
            first_failed_at: string;
            /** Last Failed At */
            last_failed_at: string;
        };
        /**
         * DeadLetterGroups
         * @description Dead letters grouped by the kind of their failure, the most recent kind first.
         */
        DeadLetterGroups: {
            /** Groups */
            groups: components["schemas"]["DeadLetterGroup"][];
        };
        /**
         * DeadLetterList
         * @description Dead letters, the newest message first.
         */
        DeadLetterList: {
            /** Dead Letters */
            dead_letters: components["schemas"]["DeadLetter"][];
        };
        /**
         * DeadLetterSelection
         * @description Dead letters by their ids, or by a filter and the number of messages that it is expected to match.
         */
        DeadLetterSelection: {
            /**
             * Message Ids
             * @default null
             */
            message_ids?: string[] | null;
            /** @default null */
            filter?: components["schemas"]["DeadLetterFilter"] | null;
            /**
             * Expected Count
             * @description Required with a filter. Nothing is done if the filter matches a different number.
             * @default null
             */
            expected_count?: number | null;
        };
        /**
         * DebugData
         * @description A checkpoint or a task with its step and time, as LangGraph gives it.
         */
        DebugData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            /** Debug */
            debug: {
                [key: string]: unknown;
            } | null;
        };
        /**
         * DebugEvent
         * @description A checkpoint or a task.
         */
        DebugEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "debug";
            data: components["schemas"]["DebugData"];
        };
        /**
         * DeliveryAttempt
         * @description One try at a delivery: the status of the receiver's answer, or an error if the try failed.
         */
        DeliveryAttempt: {
            /** At */
            at: string;
            /** Status */
            status: number | null;
            /** Error */
            error: string | null;
        };
        /**
         * DeliveryList
         * @description Deliveries. The list of one message has the oldest first, the list of all messages the newest first.
         */
        DeliveryList: {
            /** Deliveries */
            deliveries: components["schemas"]["DeliveryView"][];
        };
        /**
         * DeliveryState
         * @description The state of a delivery.
         * @enum {string}
         */
        DeliveryState: "pending" | "delivered" | "failed";
        /**
         * DeliveryView
         * @description A delivery of a message's webhook: its event, its state, and every try.
         */
        DeliveryView: {
            /** Id */
            id: string;
            /** Message Id */
            message_id: string;
            /** Thread Id */
            thread_id: string | null;
            /** Url */
            url: string;
            event: components["schemas"]["WebhookEvent"];
            state: components["schemas"]["DeliveryState"];
            /** Tries */
            tries: number;
            /** Created At */
            created_at: string;
            /** Next At */
            next_at: string | null;
            /** Attempts */
            attempts: components["schemas"]["DeliveryAttempt"][];
        };
        /**
         * DiscardChunk
         * @description Takes back text that is not the answer. `kept`: the model's message stays in the conversation.
         */
        DiscardChunk: {
            /** Index */
            index: number;
            /**
             * Message
             * @description The id of its message in the agent's memory, if known.
             * @default null
             */
            message?: string | null;
            /**
             * Node
             * @description The graph's node that made it, if known.
             * @default null
             */
            node?: string | null;
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "discard";
            /** Chunk */
            chunk: string;
            /** Kept */
            kept: boolean;
            /**
             * Discard From
             * @description The id of the first event of the text.
             */
            discard_from: number;
        };
        /**
         * DoneData
         * @description The message is completed.
         */
        DoneData: {
            /**
             * State
             * @constant
             */
            state: "completed";
            /** Result */
            result: string;
            /** Completed At */
            completed_at: string;
            /**
             * Output
             * @description The result of a run without text, such as a structured response.
             * @default null
             */
            output?: unknown;
        };
        /**
         * DoneEvent
         * @description The message is completed.
         */
        DoneEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "done";
            data: components["schemas"]["DoneData"];
        };
        /**
         * ErasureKind
         * @description The target of an erasure: one conversation, an end user, or a tenant.
         * @enum {string}
         */
        ErasureKind: "thread" | "subject" | "tenant";
        /**
         * ErasureList
         * @description Erasures, the newest first.
         */
        ErasureList: {
            /** Erasures */
            erasures: components["schemas"]["ErasureView"][];
        };
        /**
         * ErasureState
         * @description Whether an erasure still works.
         * @enum {string}
         */
        ErasureState: "running" | "completed";
        /**
         * ErasureView
         * @description An erasure, which is also the receipt of what it removed.
         */
        ErasureView: {
            /** Id */
            id: string;
            /** @description What is erased: a thread, a subject (an end user) or a tenant. */
            kind: components["schemas"]["ErasureKind"];
            /** Tenant */
            tenant: string;
            /**
             * Name
             * @description The id of the thread or the name of the subject. Null for a tenant, and as soon as the erasure is completed: the receipt names nobody.
             */
            name: string | null;
            state: components["schemas"]["ErasureState"];
            /**
             * Requested By
             * @description `key:ID`; `subject` for an end user; `local` for the command line, and for programs of the server's host without a key; `anonymous` for other callers without a key.
             */
            requested_by: string;
            /** Started At */
            started_at: string;
            /**
             * Ended At
             * @description Null while the erasure works.
             */
            ended_at: string | null;
            /**
             * Counts
             * @description How much was removed, by kind, such as `messages`, `events`, `threads`, `memories` (what agents remembered), `items`, `attempts`, `deliveries`, `request_keys`, `api_keys`. `records`, `changes`, `forks` and (of a subject) `usage` were kept without the names. Kinds of which there was nothing are left out.
             */
            counts: {
                [key: string]: number;
            };
        };
        /**
         * ErrorCount
         * @description How many messages failed with an error code.
         */
        ErrorCount: {
            /** Code */
            code: string;
            /** Count */
            count: number;
        };
        /**
         * ErrorData
         * @description The message has failed. `code` is stable, `error` is for people.
         */
        ErrorData: {
            /**
             * State
             * @constant
             */
            state: "failed";
            /** Error */
            error: string;
            /** Code */
            code: string;
            /** Completed At */
            completed_at: string;
        };
        /**
         * ErrorEvent
         * @description The message has failed.
         */
        ErrorEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "error";
            data: components["schemas"]["ErrorData"];
        };
        /**
         * EventList
         * @description Events with ids above `after`, oldest first. `last_event_id` is the newest id in the log.
         */
        EventList: {
            /** Message Id */
            message_id: string;
            state: components["schemas"]["MessageState"];
            /** Events */
            events: components["schemas"]["StoredEvent"][];
            /** Last Event Id */
            last_event_id: number;
        };
        /**
         * FailedAttempt
         * @description An attempt that ended without a result.
         */
        FailedAttempt: {
            /** Attempt */
            attempt: number;
            /** Worker Id */
            worker_id: string;
            /** Started At */
            started_at: string;
            /** Ended At */
            ended_at: string;
            /** Error */
            error: string;
            /** Error Code */
            error_code: string;
            /** Node */
            node?: string | null;
            /** Error Type */
            error_type?: string | null;
            /** Where */
            where?: string | null;
            /** Traceback */
            traceback?: string | null;
        };
        /**
         * FileBlock
         * @description A file of any other type, such as a PDF.
         */
        FileBlock: {
            /**
             * Id
             * @description The id of the block.
             * @default null
             */
            id?: string | null;
            /**
             * Extras
             * @description What only the model's provider reads, such as `filename` for a file.
             * @default null
             */
            extras?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "file";
            /**
             * Mime Type
             * @description The media type, such as `image/png`. Required with `base64`.
             * @default null
             */
            mime_type?: string | null;
            /**
             * Base64
             * @description The data in base64.
             * @default null
             */
            base64?: string | null;
            /**
             * File Id
             * @description The id of a file at the model's provider.
             * @default null
             */
            file_id?: string | null;
            /**
             * Url
             * @description Where the model's provider finds the data: `http` or `https`. Exactly one of `url`, `base64` and `file_id` is given.
             * @default null
             */
            url?: string | null;
        };
        /**
         * Finding
         * @description A fault, or what may become one. `cure` is a command to copy. `docs` is a place in the documentation.
         */
        Finding: {
            code: components["schemas"]["FindingCode"];
            severity: components["schemas"]["Severity"];
            /** Title */
            title: string;
            /** Detail */
            detail: string;
            /** Cure */
            cure: string;
            /** Docs */
            docs: string;
        };
        /**
         * FindingCode
         * @description The stable names of what can be found. The documentation has a section on each, under "Troubleshoot".
         * @enum {string}
         */
        FindingCode: "setting_invalid" | "setting_misspelt" | "port_taken" | "server_unreachable" | "database_unusable" | "database_away" | "store_volatile" | "no_worker" | "workers_drained" | "worker_lost" | "workers_busy" | "agent_loading" | "agent_failed" | "agent_missing" | "queue_paused" | "queue_full" | "thread_waits" | "tenant_waits" | "hung_threads" | "loop_blocked" | "heartbeat_lost" | "memory_unusable" | "streams_cut" | "messages_fail" | "quota_exhausted" | "provider_refused" | "provider_limit" | "timeouts" | "retry_storm" | "poison_message" | "this_host_only" | "open_to_all" | "key_expires" | "clock_skew" | "engine_nearly_full" | "log_growing" | "long_transaction" | "few_connections";
        /**
         * ForkSource
         * @description Where a forked thread came from.
         */
        ForkSource: {
            /** Thread Id */
            thread_id: string;
            /**
             * Checkpoint Id
             * @description The checkpoint of that thread whose state the fork began with.
             */
            checkpoint_id: string;
            /**
             * Message Id
             * @description The message whose run had made that state.
             */
            message_id?: string | null;
            /**
             * Agent
             * @description The agent that made the state. The fork's states are read through it.
             */
            agent: string;
        };
        /**
         * GraphCommand
         * @description A change of the state, and the nodes that run next beside those that would: LangGraph's `Command`.
         */
        GraphCommand: {
            /** Update */
            update?: {
                [key: string]: unknown;
            } | null;
            /**
             * Goto
             * @default []
             */
            goto?: (string | components["schemas"]["NodeInput"])[];
        };
        /**
         * Health
         * @description The health of a process. `status` is `healthy`, `degraded`, or `starting` while its `agents` load.
         */
        Health: {
            /** Status */
            status: string;
            /** Version */
            version: string;
            /** Checks */
            checks: {
                [key: string]: components["schemas"]["Check"];
            };
            /** Agents */
            agents: components["schemas"]["ServedAgent"][];
        };
        /**
         * IfBusy
         * @description The choices for a new message whose thread has unfinished messages.
         *
         *     - `enqueue`: it waits behind them.
         *     - `reject`: it is refused, unless the only unfinished message waits for a human. Then that message is cancelled.
         *     - `interrupt`: they are cancelled. The agent's memory keeps their finished steps.
         *     - `rollback`: they are cancelled. The agent forgets all of their steps.
         * @enum {string}
         */
        IfBusy: "enqueue" | "reject" | "interrupt" | "rollback";
        /**
         * ImageBlock
         * @description An image.
         */
        ImageBlock: {
            /**
             * Id
             * @description The id of the block.
             * @default null
             */
            id?: string | null;
            /**
             * Extras
             * @description What only the model's provider reads, such as `filename` for a file.
             * @default null
             */
            extras?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "image";
            /**
             * Mime Type
             * @description The media type, such as `image/png`. Required with `base64`.
             * @default null
             */
            mime_type?: string | null;
            /**
             * Base64
             * @description The data in base64.
             * @default null
             */
            base64?: string | null;
            /**
             * File Id
             * @description The id of a file at the model's provider.
             * @default null
             */
            file_id?: string | null;
            /**
             * Url
             * @description Where the model's provider finds the data: `http` or `https`. Exactly one of `url`, `base64` and `file_id` is given.
             * @default null
             */
            url?: string | null;
        };
        /**
         * InterruptedData
         * @description The agent asks a human. The stream stays open for the events after the answer.
         */
        InterruptedData: {
            /**
             * State
             * @constant
             */
            state: "interrupted";
            /**
             * Attempt
             * @description The number of the attempt, from 1. The run after the answer to a question has the same number.
             */
            attempt: number;
            /** Interrupts */
            interrupts: components["schemas"]["Question"][];
            /** Expires At */
            expires_at: string;
        };
        /**
         * InterruptedEvent
         * @description The agent asks a human.
         */
        InterruptedEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "interrupted";
            data: components["schemas"]["InterruptedData"];
        };
        /**
         * ItemDelete
         * @description The item to delete.
         */
        ItemDelete: {
            /**
             * Namespace
             * @description The labels of a namespace, the outermost first.
             */
            namespace: string[];
            /** Key */
            key: string;
        };
        /**
         * ItemList
         * @description A page of items, the last updated first.
         */
        ItemList: {
            /** Items */
            items: components["schemas"]["ItemView"][];
        };
        /**
         * ItemPut
         * @description An item to store, in place of an earlier one with its namespace and key.
         */
        ItemPut: {
            /**
             * Namespace
             * @description The labels of a namespace, the outermost first.
             */
            namespace: string[];
            /** Key */
            key: string;
            /** Value */
            value: {
                [key: string]: unknown;
            };
            /**
             * Index
             * @description Only false or null, since there is no semantic search.
             * @default null
             */
            index?: false | null;
            /**
             * Ttl
             * @description Minutes without use after which the item expires; null for never. Without this field, `default_ttl` of the langgraph.json counts.
             * @default null
             */
            ttl?: number | null;
        };
        /**
         * ItemQuery
         * @description A search for items in a namespace and inside of it.
         */
        ItemQuery: {
            /**
             * Namespace Prefix
             * @description The labels of a namespace, the outermost first.
             * @default []
             */
            namespace_prefix?: string[];
            /**
             * Filter
             * @description What parts of the value must be: values, or the operators `$eq`, `$ne`, `$gt`, `$gte`, `$lt` and `$lte` with their operands.
             * @default null
             */
            filter?: {
                [key: string]: unknown;
            } | null;
            /**
             * Limit
             * @default 10
             */
            limit?: number;
            /**
             * Offset
             * @default 0
             */
            offset?: number;
            /**
             * Query
             * @description Only null, since there is no semantic search.
             * @default null
             */
            query?: string | null;
            /**
             * Refresh Ttl
             * @description Whether the time to live begins again. Null means `refresh_on_read` of the langgraph.json.
             * @default null
             */
            refresh_ttl?: boolean | null;
        };
        /**
         * ItemView
         * @description An item.
         */
        ItemView: {
            /** Namespace */
            namespace: string[];
            /** Key */
            key: string;
            /** Value */
            value: {
                [key: string]: unknown;
            };
            /** Created At */
            created_at: string;
            /** Updated At */
            updated_at: string;
        };
        /**
         * KeyChange
         * @description The limits and quotas to change. Fields that are not given stay as they are. Null gives a field its default.
         */
        KeyChange: {
            /** @default null */
            limits?: components["schemas"]["KeyLimitsView"] | null;
            /** @default null */
            quotas?: components["schemas"]["QuotasView"] | null;
        };
        /**
         * KeyCreate
         * @description A key to make.
         */
        KeyCreate: {
            /**
             * Name
             * @description What the key is for.
             * @default
             */
            name?: string;
            /**
             * Tenant
             * @description The tenant whose data the key may use.
             * @default default
             */
            tenant?: string;
            /**
             * Scopes
             * @description What the key may do: only what the caller may do.
             * @default [
             *       "submit",
             *       "read",
             *       "control"
             *     ]
             */
            scopes?: components["schemas"]["AccessScope"][];
            /**
             * Expires At
             * @description When the key expires: at most 100 years from now, and not after the caller. Null means never.
             * @default null
             */
            expires_at?: string | null;
            /**
             * Webhook Url
             * @description The webhook of messages that are submitted with the key and name none.
             * @default null
             */
            webhook_url?: string | null;
            /**
             * Webhook Secret
             * @description Signs the webhooks of all messages that are submitted with the key: `whsec_` and 24 to 64 bytes in base64, or two of these with a space between. Null means the server's `WEBHOOK_SECRET`. It is never shown.
             * @default null
             */
            webhook_secret?: string | null;
            limits?: components["schemas"]["KeyLimitsView"];
            quotas?: components["schemas"]["QuotasView"];
        };
        /**
         * KeyIssued
         * @description A key with its new secret, which is shown only once.
         */
        KeyIssued: {
            /** Id */
            id: string;
            /** Tenant */
            tenant: string;
            /** Name */
            name: string;
            /** Scopes */
            scopes: components["schemas"]["AccessScope"][];
            /** Created At */
            created_at: string;
            /**
             * Expires At
             * @description Null means never.
             */
            expires_at: string | null;
            /** Revoked At */
            revoked_at: string | null;
            /**
             * Last Used At
             * @description Up to a minute late.
             */
            last_used_at: string | null;
            /**
             * Previous Until
             * @description When the secret before the last rotation ends or ended.
             */
            previous_until: string | null;
            /**
             * Webhook Url
             * @description The webhook of messages that name none.
             */
            webhook_url: string | null;
            /**
             * Signs Webhooks
             * @description Whether the key has a secret that signs webhooks of its messages.
             */
            signs_webhooks: boolean;
            limits: components["schemas"]["KeyLimitsView"];
            quotas: components["schemas"]["QuotasView"];
            /**
             * Key
             * @description What callers present. Store it now: it cannot be shown again.
             */
            key: string;
        };
        /**
         * KeyLimitsView
         * @description Limits of a key. Null stands for the server's setting, 0 for no limit.
         */
        KeyLimitsView: {
            /**
             * Submits Per Minute
             * @description Messages that the key may submit in a minute.
             * @default null
             */
            submits_per_minute?: number | null;
        };
        /**
         * KeyList
         * @description Keys, also expired and revoked ones, by id.
         */
        KeyList: {
            /** Keys */
            keys: components["schemas"]["KeyView"][];
        };
        /**
         * KeyRotate
         * @description How to rotate a key.
         */
        KeyRotate: {
            /**
             * Grace Seconds
             * @description How long the present secret stays good.
             * @default 86400
             */
            grace_seconds?: number;
        };
        /**
         * KeyView
         * @description An API key, without its secrets.
         */
        KeyView: {
            /** Id */
            id: string;
            /** Tenant */
            tenant: string;
            /** Name */
            name: string;
            /** Scopes */
            scopes: components["schemas"]["AccessScope"][];
            /** Created At */
            created_at: string;
            /**
             * Expires At
             * @description Null means never.
             */
            expires_at: string | null;
            /** Revoked At */
            revoked_at: string | null;
            /**
             * Last Used At
             * @description Up to a minute late.
             */
            last_used_at: string | null;
            /**
             * Previous Until
             * @description When the secret before the last rotation ends or ended.
             */
            previous_until: string | null;
            /**
             * Webhook Url
             * @description The webhook of messages that name none.
             */
            webhook_url: string | null;
            /**
             * Signs Webhooks
             * @description Whether the key has a secret that signs webhooks of its messages.
             */
            signs_webhooks: boolean;
            limits: components["schemas"]["KeyLimitsView"];
            quotas: components["schemas"]["QuotasView"];
        };
        /**
         * LargestThreads
         * @description The largest threads of a tenant, the largest first.
         */
        LargestThreads: {
            /**
             * As Of
             * @description When the measurement began. Later changes may be missing.
             */
            as_of: string;
            /**
             * Complete
             * @description Whether the measurement has ended. Until then, the figures are too low.
             */
            complete: boolean;
            /**
             * Measuring
             * @description Whether a newer measurement runs. Ask again to see it.
             */
            measuring: boolean;
            /** Tenant */
            tenant: string;
            /**
             * Threads
             * @description At most the 1,000 largest ones, in pages.
             */
            threads: components["schemas"]["ThreadSizesView"][];
        };
        /**
         * LimitsView
         * @description Limits of a tenant. Null stands for the server's setting, 0 for no limit.
         */
        LimitsView: {
            /**
             * Submits Per Minute
             * @description Messages that the tenant may submit in a minute.
             * @default null
             */
            submits_per_minute?: number | null;
            /**
             * Subject Submits Per Minute
             * @description Messages that may be submitted in a minute for each end user.
             * @default null
             */
            subject_submits_per_minute?: number | null;
            /**
             * Streams
             * @description Open streams and WebSockets in each process.
             * @default null
             */
            streams?: number | null;
            /**
             * Queued
             * @description Messages that may be queued.
             * @default null
             */
            queued?: number | null;
            /**
             * Running
             * @description Messages that run at the same time, on all workers together.
             * @default null
             */
            running?: number | null;
        };
        /**
         * ListedChange
         * @description A change with its id.
         */
        ListedChange: {
            type: components["schemas"]["ChangeType"];
            /**
             * At
             * @description When it happened, by the store's clock.
             */
            at: string;
            /** Message Id */
            message_id: string | null;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string | null;
            priority: components["schemas"]["Priority"] | null;
            /** @description The state of the message before. Null for a new message. */
            state_before: components["schemas"]["MessageState"] | null;
            /** @description The state afterwards. Null for a purged message. */
            state: components["schemas"]["MessageState"] | null;
            /**
             * Error Code
             * @description Why the message failed.
             */
            error_code: string | null;
            /** Worker Id */
            worker_id: string | null;
            /** Id */
            id: string;
        };
        /**
         * LiveVersion
         * @description A version of an agent, and the live workers that have it. `version` is null for workers that name none.
         */
        LiveVersion: {
            /** Version */
            version: string | null;
            workers: components["schemas"]["LiveWorkers"];
        };
        /**
         * LiveWorkers
         * @description The live workers that are configured to run an agent, counted by the agent's state there.
         */
        LiveWorkers: {
            /**
             * Loading
             * @default 0
             */
            loading?: number;
            /**
             * Available
             * @default 0
             */
            available?: number;
            /**
             * Failed
             * @default 0
             */
            failed?: number;
            /**
             * Stuck
             * @default 0
             */
            stuck?: number;
        };
        /**
         * MessageAccepted
         * @description A message as it was stored. With `Prefer: wait=N`: as it is at the time of the reply.
         */
        MessageAccepted: {
            /** Message Id */
            message_id: string;
            state: components["schemas"]["MessageState"];
            /**
             * Queue Position
             * @description How many queued messages are claimed before this message: exact up to 10,000, an estimate above. Null while the message is delayed, and when it is not queued.
             */
            queue_position: number | null;
            /** Created At */
            created_at: string;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
            /** Estimated Start At */
            estimated_start_at?: string | null;
            waiting_reason?: components["schemas"]["WaitingReason"] | null;
            /**
             * Run At
             * @description The message is not claimed before this time, which `run_at`, `delay_seconds` or a retry sets. It stays after the message has begun. Null if the message could be claimed at once.
             */
            run_at?: string | null;
        };
        /**
         * MessageAnswer
         * @description The answer to an interrupted message: `value` for its only question, or `values` by the ids of its questions.
         */
        MessageAnswer: {
            /**
             * Value
             * @description Any JSON.
             * @default null
             */
            value?: unknown;
            /**
             * Values
             * @description Any JSON for each question.
             * @default null
             */
            values?: {
                [key: string]: unknown;
            } | null;
            /**
             * Alias
             * @description A further id of the message, from this answer on. Its stream begins with the event `resumed`. 409 if another message has it.
             * @default null
             */
            alias?: string | null;
        };
        /**
         * MessageBatch
         * @description Messages to accept together, in this order: all of them or none.
         */
        MessageBatch: {
            /** Messages */
            messages: components["schemas"]["MessageCreate"][];
        };
        /**
         * MessageCancelled
         * @description The message will not run.
         */
        MessageCancelled: {
            /**
             * Message
             * @default Message cancelled successfully
             */
            message?: string;
            /** Message Id */
            message_id: string;
        };
        /**
         * MessageChange
         * @description A change to a queued message.
         */
        MessageChange: {
            priority: components["schemas"]["Priority"];
        };
        /**
         * MessageCommand
         * @description A change of the graph's state, and nodes that run next. Give at least one of them.
         */
        MessageCommand: {
            /**
             * Update
             * @description Values by key of the state. The state's reducers apply them.
             * @default null
             */
            update?: {
                [key: string]: unknown;
            } | null;
            /**
             * Goto
             * @description Nodes that run next, beside those that come next anyway.
             * @default null
             */
            goto?: string | components["schemas"]["NodeToRun"] | (string | components["schemas"]["NodeToRun"])[] | null;
        };
        /**
         * MessageConfig
         * @description The settings of a message in LangGraph's config.
         */
        MessageConfig: {
            /**
             * Recursion Limit
             * @description Steps that the graph may take. By default the graph's or LangGraph's own limit.
             * @default null
             */
            recursion_limit?: number | null;
            /**
             * Tags
             * @description Tags of the run, for its traces.
             * @default null
             */
            tags?: string[] | null;
            /**
             * Configurable
             * @description Values by key that the graph reads. The server's setting CONFIGURABLE_KEYS names the keys.
             * @default null
             */
            configurable?: {
                [key: string]: unknown;
            } | null;
        };
        /**
         * MessageCreate
         * @description A message for an agent. It has one of `message`, `input`, `command` and `continue`.
         */
        MessageCreate: {
            /**
             * Input
             * @description The input of the agent's graph, in place of a message. `GET /agents` shows the schema that it must fit. `messages` in it may be a whole conversation, for a message without a thread.
             * @default null
             */
            input?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description A change of the state and nodes to go to, in place of a message. Needs a `thread_id`, and an agent that is a graph.
             * @default null
             */
            command?: components["schemas"]["MessageCommand"] | null;
            /**
             * Continue
             * @description Whether the graph goes on where it stopped, in place of a message: at a node of `interrupt_before` or `interrupt_after`, or after a cancel. Needs a `thread_id`, and an agent that is a graph.
             * @default false
             */
            continue?: boolean;
            /**
             * Message
             * @description The message of the user: a text that is not blank, or content blocks. Required without `input`, `command` and `continue`, and not allowed together with one of them.
             * @default null
             */
            message?: string | (components["schemas"]["TextBlock"] | components["schemas"]["ImageBlock"] | components["schemas"]["AudioBlock"] | components["schemas"]["VideoBlock"] | components["schemas"]["FileBlock"])[] | null;
            /**
             * Context
             * @description The runtime context of the run. `GET /agents` shows the schema that it must fit.
             * @default null
             */
            context?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description Limits, tags and values for the run.
             * @default null
             */
            config?: components["schemas"]["MessageConfig"] | null;
            /**
             * @description More urgent messages are claimed first.
             * @default normal
             */
            priority?: components["schemas"]["Priority"];
            /**
             * Thread Id
             * @description The thread of the message. A new id begins a thread. By default the message has no thread.
             * @default null
             */
            thread_id?: string | null;
            /**
             * Agent
             * @description The agent's name. By default the server's first agent.
             * @default null
             */
            agent?: string | null;
            /**
             * Checkpoint Id
             * @description The state of the thread that the run begins with, and from which the thread goes on. By default the newest state. Needs a `thread_id`, and an agent that is a graph.
             * @default null
             */
            checkpoint_id?: string | null;
            /**
             * Interrupt Before
             * @description Nodes before which the run stops, or `*` for all. The message then completes.
             * @default null
             */
            interrupt_before?: "*" | string[] | null;
            /**
             * Interrupt After
             * @description Nodes after which the run stops, or `*` for all. The message then completes.
             * @default null
             */
            interrupt_after?: "*" | string[] | null;
            /**
             * Max Attempts
             * @description Attempts before the message fails for good. By default the server's setting.
             * @default null
             */
            max_attempts?: number | null;
            /**
             * Timeout
             * @description Seconds that one attempt may take. By default the server's setting.
             * @default null
             */
            timeout?: number | null;
            /**
             * Run At
             * @description The message is not run before this time, which must be in the future and within a year.
             * @default null
             */
            run_at?: string | null;
            /**
             * Delay Seconds
             * @description The message is not run before this many seconds from now. Not together with `run_at`.
             * @default null
             */
            delay_seconds?: number | null;
            /**
             * @description What to do if the thread has unfinished messages. `enqueue`: wait behind them. `reject`: refuse the message with 409, unless the only unfinished message waits for a human; that message is then cancelled. `interrupt`: cancel them and keep their finished steps in the agent's memory. `rollback`: cancel them and have the agent forget their steps. All but `enqueue` need a `thread_id`.
             * @default enqueue
             */
            if_busy?: components["schemas"]["IfBusy"];
            /**
             * Events
             * @description Events that the log and the streams show besides the answer: `custom` has what the agent's code writes, `node` the start and end of each node, `values` the state after each step, `updates` what each node wrote to it, `messages` each piece of each message, and `tasks`, `checkpoints` and `debug` what LangGraph's stream modes of these names give. None by default.
             * @default null
             */
            events?: components["schemas"]["ShownEvent"][] | null;
            /**
             * Metadata
             * @description Texts, numbers, booleans and nulls by key, which are listed with the message and its thread. `GET /messages?metadata.KEY=value` finds messages by them. A null removes the key from the thread.
             * @default null
             */
            metadata?: {
                [key: string]: string | number | boolean | null;
            } | null;
            /**
             * Name
             * @description A new name for the thread. Needs a `thread_id`.
             * @default null
             */
            name?: string | null;
            /**
             * Client Message Id
             * @description The client's id for the message. The agent's memory and the events use it for the message of the user.
             * @default null
             */
            client_message_id?: string | null;
            /**
             * Aliases
             * @description Further ids of the message. They work wherever a path has the id of a message, unless a message has this id. 409 if another message has one of them.
             * @default null
             */
            aliases?: string[] | null;
            /**
             * Subject
             * @description The end user for whom the message is. Its thread then belongs to this end user. By default the end user of the caller's token or of the thread, if there is one.
             * @default null
             */
            subject?: string | null;
            /**
             * Webhook Url
             * @description Gets a signed POST with the message's last event after its end; see `webhook_events`.
             * @default null
             */
            webhook_url?: string | null;
            /**
             * Webhook Events
             * @description The events that the `webhook_url` receives: by default `completed`, `failed` and `cancelled`. `interrupted` reports each question to a human.
             * @default null
             */
            webhook_events?: components["schemas"]["WebhookEvent"][] | null;
        };
        /**
         * MessageDetails
         * @description The status of a message, its failed attempts, and what its submit gave.
         */
        MessageDetails: {
            /** Message Id */
            message_id: string;
            state: components["schemas"]["MessageState"];
            /**
             * User Message
             * @description The text of the message, or a text that stands for its content blocks or its `input`.
             */
            user_message: string;
            priority: components["schemas"]["Priority"];
            /** Created At */
            created_at: string;
            /** Started At */
            started_at: string | null;
            /** Completed At */
            completed_at: string | null;
            /** Result */
            result: string | null;
            /**
             * Output
             * @description The structured response, or an agent's result without text.
             */
            output?: unknown;
            /** Error */
            error: string | null;
            /** Error Code */
            error_code: string | null;
            /**
             * Queue Position
             * @description How many queued messages are claimed before this message: exact up to 10,000, an estimate above. Null while the message is delayed, and when it is not queued.
             */
            queue_position: number | null;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
            /**
             * Agent Version
             * @description The version of the agent that began the message and goes on with it. Null before the first attempt, and if the worker names no version.
             */
            agent_version: string | null;
            /**
             * Attempt
             * @description The number of the current attempt, or of the last attempt if the message has ended. While the message is queued: how many attempts count so far. An attempt does not count if a stopping worker released it, or if it asked a human who answered.
             */
            attempt: number;
            /** Estimated Start At */
            estimated_start_at?: string | null;
            waiting_reason?: components["schemas"]["WaitingReason"] | null;
            /**
             * Run At
             * @description The message is not claimed before this time, which `run_at`, `delay_seconds` or a retry sets. It stays after the message has begun. Null if the message could be claimed at once.
             */
            run_at?: string | null;
            /**
             * Cancel Requested
             * @default false
             */
            cancel_requested?: boolean;
            /** Fingerprint */
            fingerprint?: string | null;
            /**
             * Interrupts
             * @default []
             */
            interrupts?: components["schemas"]["Question"][];
            /** Interrupt Expires At */
            interrupt_expires_at?: string | null;
            /**
             * Metadata
             * @description Values by key.
             * @default {}
             */
            metadata?: {
                [key: string]: string | number | boolean | null;
            };
            /** @description What the model calls of all attempts used. Null before the first one. */
            usage?: components["schemas"]["UsageView"] | null;
            /**
             * Trace Id
             * @description The id of the message's trace: of the header `traceparent` of its submit, or of the trace that this server began. Null without either.
             */
            trace_id?: string | null;
            /**
             * Subject
             * @description The end user to whom it belongs. Null if it belongs to none.
             */
            subject?: string | null;
            /** Attempts */
            attempts: components["schemas"]["FailedAttempt"][];
            /** Crashes */
            crashes: number;
            /** Max Attempts */
            max_attempts: number | null;
            /** Timeout */
            timeout: number | null;
            /** Webhook Url */
            webhook_url: string | null;
            /** Webhook Events */
            webhook_events: components["schemas"]["WebhookEvent"][] | null;
            /**
             * Message
             * @description The text or the content blocks that were submitted. Null if an `input` was.
             */
            message: string | {
                [key: string]: unknown;
            }[] | null;
            /** Input */
            input: {
                [key: string]: unknown;
            } | null;
            /** Context */
            context: {
                [key: string]: unknown;
            } | null;
            config: components["schemas"]["ConfigView"];
            /** Events */
            events: components["schemas"]["ShownEvent"][];
            /** Client Message Id */
            client_message_id: string | null;
            /** @description The `command` of the submit. */
            command: components["schemas"]["GraphCommand"] | null;
            /**
             * Continue
             * @description The `continue` of the submit.
             */
            continue: boolean;
            /** Checkpoint Id */
            checkpoint_id: string | null;
            /** Interrupt Before */
            interrupt_before: string[];
            /** Interrupt After */
            interrupt_after: string[];
            /**
             * Aliases
             * @description Further ids of the message, from its submit and from answers.
             */
            aliases: string[];
        };
        /**
         * MessageList
         * @description Messages, the newest first.
         */
        MessageList: {
            /** Messages */
            messages: components["schemas"]["MessageStatus"][];
        };
        /**
         * MessagePiece
         * @description A piece of a message as LangChain has it. `metadata` comes with the first piece of each message.
         */
        MessagePiece: {
            /**
             * Piece
             * @description The message or chunk, with its `id`, `tool_call_chunks` and `usage_metadata`.
             */
            piece: unknown;
            /**
             * Metadata
             * @description The node, the step and the checkpoint's namespace, among others.
             * @default null
             */
            metadata?: {
                [key: string]: unknown;
            } | null;
        };
        /**
         * MessageRegenerate
         * @description The fields that the new message does not take over from the message that it replaces.
         */
        MessageRegenerate: {
            /**
             * @description By default the priority of the earlier message.
             * @default null
             */
            priority?: components["schemas"]["Priority"] | null;
            /**
             * If Busy
             * @description What to do if the thread has unfinished messages. `reject`: refuse with 409, unless the only one waits for a human; that message is then cancelled. `interrupt`: cancel them.
             * @default reject
             * @enum {string}
             */
            if_busy?: "reject" | "interrupt";
            /**
             * Metadata
             * @description By default the metadata of the earlier message.
             * @default null
             */
            metadata?: {
                [key: string]: string | number | boolean | null;
            } | null;
        };
        /**
         * MessageRegenerated
         * @description The stored message, and the messages whose place it takes.
         */
        MessageRegenerated: {
            /** Message Id */
            message_id: string;
            state: components["schemas"]["MessageState"];
            /**
             * Queue Position
             * @description How many queued messages are claimed before this message: exact up to 10,000, an estimate above. Null while the message is delayed, and when it is not queued.
             */
            queue_position: number | null;
            /** Created At */
            created_at: string;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
            /** Estimated Start At */
            estimated_start_at?: string | null;
            waiting_reason?: components["schemas"]["WaitingReason"] | null;
            /**
             * Run At
             * @description The message is not claimed before this time, which `run_at`, `delay_seconds` or a retry sets. It stays after the message has begun. Null if the message could be claimed at once.
             */
            run_at?: string | null;
            /**
             * Regenerates
             * @description The earlier message with the same input.
             */
            regenerates: string;
            /**
             * Rolled Back
             * @description Messages whose steps the agent forgets before the new message begins. They stay in the lists of messages, with their answers.
             */
            rolled_back: string[];
        };
        /**
         * MessageRequeued
         * @description The message is queued again, like a new message.
         */
        MessageRequeued: {
            /** Message Id */
            message_id: string;
            state: components["schemas"]["MessageState"];
            /**
             * Queue Position
             * @description How many queued messages are claimed before this message: exact up to 10,000, an estimate above. Null while the message is delayed, and when it is not queued.
             */
            queue_position: number | null;
            /** Created At */
            created_at: string;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
            /** Estimated Start At */
            estimated_start_at?: string | null;
            waiting_reason?: components["schemas"]["WaitingReason"] | null;
            /**
             * Run At
             * @description The message is not claimed before this time, which `run_at`, `delay_seconds` or a retry sets. It stays after the message has begun. Null if the message could be claimed at once.
             */
            run_at?: string | null;
            /** Message */
            message: string;
        };
        /**
         * MessageResumed
         * @description The answer is stored, and the message is queued again at the head of its thread.
         */
        MessageResumed: {
            /** Message Id */
            message_id: string;
            /** @default queued */
            state?: components["schemas"]["MessageState"];
            /** Thread Id */
            thread_id: string | null;
        };
        /**
         * MessageState
         * @description The state of a message. `app.policy.lifecycle` has the allowed transitions.
         * @enum {string}
         */
        MessageState: "queued" | "processing" | "completed" | "failed" | "cancelled" | "interrupted";
        /**
         * MessageStatus
         * @description The status of a message. `interrupts` has its questions while it waits for a human.
         */
        MessageStatus: {
            /** Message Id */
            message_id: string;
            state: components["schemas"]["MessageState"];
            /**
             * User Message
             * @description The text of the message, or a text that stands for its content blocks or its `input`.
             */
            user_message: string;
            priority: components["schemas"]["Priority"];
            /** Created At */
            created_at: string;
            /** Started At */
            started_at: string | null;
            /** Completed At */
            completed_at: string | null;
            /** Result */
            result: string | null;
            /**
             * Output
             * @description The structured response, or an agent's result without text.
             */
            output?: unknown;
            /** Error */
            error: string | null;
            /** Error Code */
            error_code: string | null;
            /**
             * Queue Position
             * @description How many queued messages are claimed before this message: exact up to 10,000, an estimate above. Null while the message is delayed, and when it is not queued.
             */
            queue_position: number | null;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
            /**
             * Agent Version
             * @description The version of the agent that began the message and goes on with it. Null before the first attempt, and if the worker names no version.
             */
            agent_version: string | null;
            /**
             * Attempt
             * @description The number of the current attempt, or of the last attempt if the message has ended. While the message is queued: how many attempts count so far. An attempt does not count if a stopping worker released it, or if it asked a human who answered.
             */
            attempt: number;
            /** Estimated Start At */
            estimated_start_at?: string | null;
            waiting_reason?: components["schemas"]["WaitingReason"] | null;
            /**
             * Run At
             * @description The message is not claimed before this time, which `run_at`, `delay_seconds` or a retry sets. It stays after the message has begun. Null if the message could be claimed at once.
             */
            run_at?: string | null;
            /**
             * Cancel Requested
             * @default false
             */
            cancel_requested?: boolean;
            /** Fingerprint */
            fingerprint?: string | null;
            /**
             * Interrupts
             * @default []
             */
            interrupts?: components["schemas"]["Question"][];
            /** Interrupt Expires At */
            interrupt_expires_at?: string | null;
            /**
             * Metadata
             * @description Values by key.
             * @default {}
             */
            metadata?: {
                [key: string]: string | number | boolean | null;
            };
            /** @description What the model calls of all attempts used. Null before the first one. */
            usage?: components["schemas"]["UsageView"] | null;
            /**
             * Trace Id
             * @description The id of the message's trace: of the header `traceparent` of its submit, or of the trace that this server began. Null without either.
             */
            trace_id?: string | null;
            /**
             * Subject
             * @description The end user to whom it belongs. Null if it belongs to none.
             */
            subject?: string | null;
        };
        /**
         * MessagesCancelled
         * @description The reply to a bulk cancel. `cancelled` messages have ended. `stopping` messages will end as cancelled.
         */
        MessagesCancelled: {
            /** Cancelled */
            cancelled: string[];
            /** Stopping */
            stopping: string[];
        };
        /**
         * MessagesData
         * @description A piece of a message, as the model streams it or a node writes it.
         */
        MessagesData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            messages: components["schemas"]["MessagePiece"] | null;
        };
        /**
         * MessagesEvent
         * @description A piece of a message.
         */
        MessagesEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "messages";
            data: components["schemas"]["MessagesData"];
        };
        /**
         * MessagesPurged
         * @description The messages that are deleted, together with the agents' memory that was kept only for them.
         */
        MessagesPurged: {
            /** Purged */
            purged: string[];
        };
        /**
         * MessagesReprioritized
         * @description The reply to a bulk change of priorities, with the ids of the changed messages.
         */
        MessagesReprioritized: {
            /** Reprioritized */
            reprioritized: string[];
        };
        /**
         * MessagesRequeued
         * @description The messages that are queued again, in their new order.
         */
        MessagesRequeued: {
            /** Requeued */
            requeued: components["schemas"]["MessageRequeued"][];
            /**
             * Message
             * @default Each message is at the tail of its thread.
             */
            message?: string;
        };
        /**
         * Metric
         * @description The figures that are kept for each period, agent and priority.
         *
         *     STARTED counts first attempts. LOST counts attempts whose worker was lost. USAGE adds up calls of models, when they
         *     are stored: its labels are the fields of `Tokens`. The last three are histograms: their labels are numbers of
         *     buckets, and `sum` for the sum in milliseconds. The labels of FAILED are error codes. Other figures have the empty
         *     label. ENDED is not kept: it stands for completed, failed and cancelled messages together.
         * @enum {string}
         */
        Metric: "accepted" | "started" | "ended" | "completed" | "failed" | "cancelled" | "interrupted" | "resumed" | "requeued" | "retried" | "released" | "lost" | "usage" | "wait" | "first_token" | "run";
        /**
         * ModelCallsData
         * @description Calls of one model. Further fields are the sums of what its provider reports.
         */
        ModelCallsData: {
            /** Calls */
            calls: number;
            /**
             * Cost
             * @description US dollars as a decimal number. Null if no price is known.
             */
            cost: string | null;
            /**
             * Cost Complete
             * @description Whether the prices of all these calls are known.
             */
            cost_complete: boolean;
        } & {
            [key: string]: unknown;
        };
        /**
         * ModelUsageView
         * @description The calls of one model.
         */
        ModelUsageView: {
            /**
             * Calls
             * @description Number of model calls.
             */
            calls: number;
            /** Input Tokens */
            input_tokens: number;
            /**
             * Cached Tokens
             * @description Input tokens that the provider had in its cache, a part of `input_tokens`.
             */
            cached_tokens: number;
            /** Output Tokens */
            output_tokens: number;
            /**
             * Reasoning Tokens
             * @description A part of `output_tokens`.
             */
            reasoning_tokens: number;
            /**
             * Total Tokens
             * @description Input and output tokens.
             */
            total_tokens: number;
            /**
             * Cost
             * @description US dollars as a decimal number, at the prices of the time of each call. Null if no price is known.
             */
            cost: string | null;
            /**
             * Cost Complete
             * @description Whether the prices of all calls are known. If not, the cost is too low.
             */
            cost_complete: boolean;
            /** Model */
            model: string;
        };
        /**
         * NamespaceList
         * @description A page of namespaces in the order of their labels.
         */
        NamespaceList: {
            /** Namespaces */
            namespaces: string[][];
        };
        /**
         * NamespaceQuery
         * @description A search for namespaces. `*` stands for any label.
         */
        NamespaceQuery: {
            /**
             * Prefix
             * @default null
             */
            prefix?: string[] | null;
            /**
             * Suffix
             * @default null
             */
            suffix?: string[] | null;
            /**
             * Max Depth
             * @description Namespaces are cut to this many labels, and listed once.
             * @default null
             */
            max_depth?: number | null;
            /**
             * Limit
             * @default 100
             */
            limit?: number;
            /**
             * Offset
             * @default 0
             */
            offset?: number;
        };
        /**
         * NodeData
         * @description A node has started or ended. `task` is the same in both events, and differs between runs of the same node.
         */
        NodeData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            /**
             * State
             * @enum {string}
             */
            state: "start" | "end";
            /** Node */
            node: string;
            /** Task */
            task: string;
        };
        /**
         * NodeEvent
         * @description A node has started or ended.
         */
        NodeEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "node";
            data: components["schemas"]["NodeData"];
        };
        /**
         * NodeInput
         * @description A node to go to, with an input of its own in place of the state: LangGraph's `Send`.
         */
        NodeInput: {
            /** Node */
            node: string;
            /** Input */
            input?: unknown;
        };
        /**
         * NodeToRun
         * @description A node that runs next, with an input of its own in place of the state.
         */
        NodeToRun: {
            /** Node */
            node: string;
            /**
             * Input
             * @description Any JSON.
             * @default null
             */
            input?: unknown;
        };
        /**
         * Period
         * @description The period of a quota, of UTC.
         * @enum {string}
         */
        Period: "day" | "month";
        /**
         * Point
         * @description One step of a series. Percentiles and mean are in seconds, and null for counts and where nothing was measured.
         */
        Point: {
            /**
             * At
             * @description The begin of the step.
             */
            at: string;
            /** Count */
            count: number;
            /** Mean */
            mean: number | null;
            /** P50 */
            p50: number | null;
            /** P95 */
            p95: number | null;
            /** P99 */
            p99: number | null;
            /** @description Only of the metric `usage`, whose `count` is the number of calls. */
            tokens: components["schemas"]["TokensView"] | null;
        };
        /**
         * Priority
         * @description How urgent a message is. Messages of one priority are served in the order of their submits.
         * @enum {string}
         */
        Priority: "high" | "normal" | "low";
        /**
         * Problem
         * @description A problem as RFC 9457 defines it. `code` is stable, `detail` is for people, `state` is the message's state.
         */
        Problem: {
            /**
             * Type
             * @default about:blank
             */
            type?: string;
            /** Title */
            title: string;
            /** Status */
            status: number;
            /** Detail */
            detail: string;
            /** Code */
            code: string;
            /**
             * Errors
             * @default []
             */
            errors?: components["schemas"]["ProblemError"][];
            /** @default null */
            state?: components["schemas"]["MessageState"] | null;
        };
        /**
         * ProblemError
         * @description One wrong field.
         */
        ProblemError: {
            /** Field */
            field: string;
            /** Detail */
            detail: string;
        };
        /**
         * ProcessingData
         * @description A worker has begun an attempt.
         */
        ProcessingData: {
            /**
             * State
             * @constant
             */
            state: "processing";
            /**
             * Attempt
             * @description The number of the attempt, from 1. The run after the answer to a question has the same number.
             */
            attempt: number;
        };
        /**
         * ProcessingEvent
         * @description An attempt has begun.
         */
        ProcessingEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "processing";
            data: components["schemas"]["ProcessingData"];
        };
        /**
         * ProcessingMessage
         * @description A message that a worker processes. `events` is the number of events in its log, 0 if it was just deleted.
         */
        ProcessingMessage: {
            /** Id */
            id: string;
            priority: components["schemas"]["Priority"];
            /** Started At */
            started_at: string | null;
            /** User Message */
            user_message: string;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
            /** Attempt */
            attempt: number;
            /** Events */
            events: number;
        };
        /**
         * Question
         * @description A question of an agent to a human. `value` is any JSON from the agent.
         */
        Question: {
            /** Id */
            id: string;
            /** Value */
            value: unknown;
        };
        /**
         * QueuePaused
         * @description Whether the queue is paused. Even then, running messages go on and new messages are accepted.
         */
        QueuePaused: {
            /** Paused */
            paused: boolean;
        };
        /**
         * QueueState
         * @description The queue at one moment. The lists hold the first `limit` messages. The totals count all messages.
         */
        QueueState: {
            /** Total Queued */
            total_queued: number;
            /** Total Processing */
            total_processing: number;
            /** Total Completed */
            total_completed: number;
            /** Total Failed */
            total_failed: number;
            /** Total Cancelled */
            total_cancelled: number;
            /** Total Interrupted */
            total_interrupted: number;
            /** Paused */
            paused: boolean;
            /** Queued Messages */
            queued_messages: components["schemas"]["QueuedMessage"][];
            current_processing: components["schemas"]["ProcessingMessage"] | null;
            /** Processing Messages */
            processing_messages: components["schemas"]["ProcessingMessage"][];
        };
        /**
         * QueuedFilter
         * @description Matches queued messages that have all given values. At least one value is needed.
         */
        QueuedFilter: {
            /**
             * Thread Id
             * @default null
             */
            thread_id?: string | null;
            /**
             * Agent
             * @default null
             */
            agent?: string | null;
            /** @default null */
            priority?: components["schemas"]["Priority"] | null;
        };
        /**
         * QueuedMessage
         * @description A queued message.
         */
        QueuedMessage: {
            /** Id */
            id: string;
            priority: components["schemas"]["Priority"];
            /** Created At */
            created_at: string;
            /** User Message */
            user_message: string;
            /** Thread Id */
            thread_id: string | null;
            /** Agent */
            agent: string;
        };
        /**
         * QueuedSelection
         * @description A priority for queued messages, which are given by their ids, or by a filter.
         */
        QueuedSelection: {
            priority: components["schemas"]["Priority"];
            /**
             * Message Ids
             * @default null
             */
            message_ids?: string[] | null;
            /** @default null */
            filter?: components["schemas"]["QueuedFilter"] | null;
            /**
             * Expected Count
             * @description Only with a filter. Nothing is done if the filter matches a different number.
             * @default null
             */
            expected_count?: number | null;
        };
        /**
         * QuotaView
         * @description A quota, and what is left of it.
         */
        QuotaView: {
            /**
             * Of
             * @description Whose quota it is: `tenant`, `key` or `subject`.
             */
            of: string;
            /**
             * Unit
             * @description `messages` or `tokens`.
             */
            unit: string;
            period: components["schemas"]["Period"];
            /** Limit */
            limit: number;
            /** Used */
            used: number;
            /** Left */
            left: number;
            /**
             * Resets At
             * @description When the next day or month begins.
             */
            resets_at: string;
        };
        /**
         * QuotasView
         * @description Quotas in a day or a month of UTC. Null stands for no quota.
         */
        QuotasView: {
            /**
             * Messages Per Day
             * @default null
             */
            messages_per_day?: number | null;
            /**
             * Messages Per Month
             * @default null
             */
            messages_per_month?: number | null;
            /**
             * Tokens Per Day
             * @description Input and output tokens of model calls.
             * @default null
             */
            tokens_per_day?: number | null;
            /**
             * Tokens Per Month
             * @default null
             */
            tokens_per_month?: number | null;
        };
        /**
         * Report
         * @description The result of an examination. `healthy` is false if a finding is an error. The worst findings come first.
         */
        Report: {
            /** Healthy */
            healthy: boolean;
            /** Checks */
            checks: number;
            /** Findings */
            findings: components["schemas"]["Finding"][];
            /** Unchecked */
            unchecked: components["schemas"]["Unchecked"][];
        };
        /**
         * ResetData
         * @description The events after the reader's offset are deleted. The events that are left follow.
         *
         *     `text` is the answer, empty unless the message has completed.
         */
        ResetData: {
            state: components["schemas"]["MessageState"];
            /** Text */
            text: string;
        };
        /**
         * ResetEvent
         * @description Sent instead of events that the log no longer has.
         */
        ResetEvent: {
            /**
             * Id
             * @description The log does not store this event.
             */
            id: null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "reset";
            data: components["schemas"]["ResetData"];
        };
        /**
         * ResetReason
         * @description Why a reader has to load its lists anew.
         * @enum {string}
         */
        ResetReason: "start" | "expired";
        /**
         * ResumedData
         * @description The human answered, and the message is queued again. The step that asked runs again.
         */
        ResumedData: {
            /**
             * State
             * @constant
             */
            state: "queued";
            /**
             * Discard From
             * @description Drop the earlier events from this id on.
             */
            discard_from: number;
            /**
             * Answers
             * @description The answers by the ids of the questions.
             */
            answers: {
                [key: string]: unknown;
            };
        };
        /**
         * ResumedEvent
         * @description The human answered.
         */
        ResumedEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "resumed";
            data: components["schemas"]["ResumedData"];
        };
        /**
         * RetryData
         * @description The attempt ended without a result, and the message is queued again.
         */
        RetryData: {
            /**
             * State
             * @constant
             */
            state: "queued";
            /**
             * Attempt
             * @description The number of the attempt, from 1. The run after the answer to a question has the same number.
             */
            attempt: number;
            /** Error */
            error: string;
            /** Next At */
            next_at: string;
            /**
             * Discard From
             * @description Drop the earlier events from this id on.
             */
            discard_from: number;
        };
        /**
         * RetryEvent
         * @description An attempt ended without a result.
         */
        RetryEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "retry";
            data: components["schemas"]["RetryData"];
        };
        /**
         * SeriesGrouping
         * @description By what a series is divided. STATE divides only Metric.ENDED, and CODE only Metric.FAILED.
         * @enum {string}
         */
        SeriesGrouping: "agent" | "priority" | "state" | "code" | "tenant";
        /**
         * SeriesList
         * @description A metric over time. Groups with the most come first; from the 21st on they are added up as `other`.
         */
        SeriesList: {
            /** Metric */
            metric: string;
            /** Step */
            step: number;
            /** Series */
            series: components["schemas"]["SeriesView"][];
        };
        /**
         * SeriesView
         * @description The points of one group, oldest first; of everything without `group_by`.
         */
        SeriesView: {
            /** Group */
            group: string | null;
            /** Points */
            points: components["schemas"]["Point"][];
        };
        /**
         * ServedAgent
         * @description An agent that a worker is configured to run. `error` says why it cannot be loaded or run, without secrets.
         *
         *     `version` is the version that the worker has of it, None if the worker names none.
         */
        ServedAgent: {
            /** Name */
            name: string;
            state: components["schemas"]["AgentState"];
            /** Error */
            error?: string | null;
            /** Version */
            version?: string | null;
        };
        /**
         * ServerNow
         * @description The queue of all tenants and its workers at this moment.
         */
        ServerNow: {
            /**
             * Waiting
             * @description Messages that wait for a worker or for their thread, by the priority of their place in the claim order. With `PRIORITY_AGING_SECONDS` there is one order, `all`.
             */
            waiting: {
                [key: string]: number;
            };
            /**
             * Oldest Seconds
             * @description How long the first of them in the claim order has waited.
             */
            oldest_seconds: {
                [key: string]: number;
            };
            /** Delayed */
            delayed: number;
            /** Processing */
            processing: number;
            /** Interrupted */
            interrupted: number;
            /** Dead Letters */
            dead_letters: number;
            /** Paused */
            paused: boolean;
            /**
             * Workers
             * @description Live workers.
             */
            workers: number;
            /**
             * Slots
             * @description Messages that they can run at a time; drained workers have none.
             */
            slots: number;
            /** Slots Busy */
            slots_busy: number;
        };
        /**
         * SessionCreate
         * @description A credential to sign in with.
         */
        SessionCreate: {
            /**
             * Credential
             * Format: password
             * @description An API key, or a token of the identity provider.
             */
            credential: string;
        };
        /**
         * SessionView
         * @description The caller of a request, and their session if they have one.
         */
        SessionView: {
            /**
             * Actor
             * @description Who calls: `key:ID`, `subject:NAME` for an end user, `user:NAME` for a user of a proxy, `local` for programs of the server's host without a key, `anonymous` for other callers without a key.
             */
            actor: string;
            /** Tenant */
            tenant: string;
            /**
             * Subject
             * @description The end user for whom the caller acts.
             */
            subject: string | null;
            /** Scopes */
            scopes: components["schemas"]["AccessScope"][];
            /**
             * Expires At
             * @description When the session ends if it is not used before, or when the credential expires. Null: never.
             */
            expires_at: string | null;
            /**
             * Ends At
             * @description When the session ends at the latest. Null for callers without one.
             */
            ends_at: string | null;
            /**
             * Csrf Token
             * @description To be sent as `X-CSRF-Token` with each request of the session that changes something. Null for callers without a session.
             */
            csrf_token: string | null;
            /**
             * Hide Payloads
             * @description Whether pages should hide the texts of messages until they are asked for, as HIDE_PAYLOADS says.
             */
            hide_payloads: boolean;
        };
        /**
         * SettingList
         * @description All settings, in the order of the reference.
         */
        SettingList: {
            /** Settings */
            settings: components["schemas"]["SettingView"][];
        };
        /**
         * SettingSource
         * @description Where the value of a setting comes from. `file` is the file `.env`.
         * @enum {string}
         */
        SettingSource: "environment" | "file" | "default";
        /**
         * SettingView
         * @description A setting as this process has it.
         */
        SettingView: {
            /**
             * Name
             * @description The environment variable.
             */
            name: string;
            /**
             * Value
             * @description The value that is in effect, with `***` for secrets. Null: none.
             */
            value: boolean | number | string | string[] | {
                [key: string]: string;
            } | null;
            /** @description What sets it: a variable of the `environment`, the `file` .env, or nothing, which leaves the `default`. */
            source: components["schemas"]["SettingSource"];
            /**
             * Default
             * @description The value without a variable. Null: none.
             */
            default: boolean | number | string | string[] | {
                [key: string]: string;
            } | null;
            /**
             * Differs
             * @description Whether the value is another than the default, also where both are masked.
             */
            differs: boolean;
            /**
             * Meaning
             * @description What it is for, in a sentence or two.
             */
            meaning: string;
            /**
             * Masked
             * @description Whether a secret in the value is replaced by `***`.
             */
            masked: boolean;
        };
        /**
         * Severity
         * @description How much a finding matters. With an error, messages wait or fail, or will soon.
         * @enum {string}
         */
        Severity: "error" | "warning" | "note";
        /**
         * ShownEvent
         * @description Types of events that a run shows only if its message asks for them.
         *
         *     `custom` is written by the agent's code. `node` is the start or end of a node. `values` is the whole state after a
         *     step. `updates` is the change of the state by a node. `messages` is each piece of each message as the model streams
         *     it, tool calls in pieces too. `tasks`, `checkpoints` and `debug` are what LangGraph's stream modes of these names
         *     give.
         * @enum {string}
         */
        ShownEvent: "custom" | "node" | "values" | "updates" | "messages" | "tasks" | "checkpoints" | "debug";
        /**
         * StateInterrupt
         * @description A question that a node has asked.
         */
        StateInterrupt: {
            /** Id */
            id: string;
            /**
             * Value
             * @description Any JSON.
             */
            value: unknown;
        };
        /**
         * StateTask
         * @description A node that runs next, with what it already has: an error, questions or a result.
         */
        StateTask: {
            /** Id */
            id: string;
            /**
             * Name
             * @description The node.
             */
            name: string;
            /**
             * Error
             * @description Why the step failed, if it did.
             */
            error: string | null;
            /** Interrupts */
            interrupts: components["schemas"]["StateInterrupt"][];
            /**
             * Result
             * @description What the node has returned already, any JSON; null if it has not.
             */
            result: unknown;
            /** @description The state of the subgraph that the node runs. Null unless asked for. */
            state: components["schemas"]["ThreadState"] | null;
        };
        /**
         * StateUpdate
         * @description A change of a thread's state, as if a node had returned the values.
         */
        StateUpdate: {
            /**
             * Values
             * @description Values by keys of the state, which the state's reducers apply: messages are added. Null with `as_node` `"__end__"` ends what comes next.
             */
            values: unknown;
            /**
             * As Node
             * @description The node that the values come from. By default the node that ran last, if only one did.
             * @default null
             */
            as_node?: string | null;
            /**
             * Checkpoint Id
             * @description The checkpoint to change. The result is the newest state, also of an earlier checkpoint.
             * @default null
             */
            checkpoint_id?: string | null;
            /**
             * Agent
             * @description By default that of the newest message that has begun.
             * @default null
             */
            agent?: string | null;
        };
        /**
         * StateUpdated
         * @description The checkpoint with the changed state.
         */
        StateUpdated: {
            checkpoint: components["schemas"]["Checkpoint"];
        };
        /**
         * StatisticsView
         * @description The queue now, and what happened in a window of time.
         */
        StatisticsView: {
            /**
             * Since
             * @description The begin of the window, rounded down to a period.
             */
            since: string;
            /**
             * Until
             * @description The end of the window, rounded up to a period.
             */
            until: string;
            /**
             * Step
             * @description The length of the periods from which the window is added up, in seconds.
             */
            step: number;
            /**
             * Messages
             * @description The tenant's messages by state, now.
             */
            messages: {
                [key: string]: number;
            };
            /**
             * Queued By Priority
             * @description The tenant's queued messages by their own priorities, those for a later time included.
             */
            queued_by_priority: {
                [key: string]: number;
            };
            /**
             * Counts
             * @description What happened in the window: `started` counts first attempts, `retried` failed attempts that another follows, `released` attempts that a worker put back, `lost` those whose worker was lost.
             */
            counts: {
                [key: string]: number;
            };
            /** Completed Per Minute */
            completed_per_minute: number;
            /**
             * Error Rate
             * @description The share of failed messages in those that ended; null if none did.
             */
            error_rate: number | null;
            /**
             * Errors
             * @description The ten most frequent error codes of failed messages.
             */
            errors: components["schemas"]["ErrorCount"][];
            /** @description From the submit, or from `run_at`, to the first attempt. */
            wait: components["schemas"]["TimesView"];
            /** @description From the first attempt to the first piece of the answer, of messages that completed. */
            first_token: components["schemas"]["TimesView"];
            /** @description From the first attempt to the end, of messages that completed. */
            run: components["schemas"]["TimesView"];
            /** @description What was used in the window, by the time of the calls. */
            tokens: components["schemas"]["TokensView"];
            /** @description Null for callers without the scope `admin`. */
            server: components["schemas"]["ServerNow"] | null;
        };
        /**
         * Step
         * @description The distance between two points, in seconds.
         * @enum {integer}
         */
        Step: 60 | 300 | 3600 | 86400;
        /**
         * StorageReport
         * @description The storage of tenants and of the engine, and the settings that decide about it.
         */
        StorageReport: {
            /**
             * Tenants
             * @description By their names.
             */
            tenants: components["schemas"]["TenantStorageView"][];
            /**
             * Engine
             * @description What the database uses up for all tenants. Null for callers without the scope `admin`.
             */
            engine: components["schemas"]["AreaView"][] | null;
            /**
             * Settings
             * @description The settings of the process that answers.
             */
            settings: components["schemas"]["StorageSetting"][];
        };
        /**
         * StorageSetting
         * @description A setting that decides how much is kept, or for how long.
         */
        StorageSetting: {
            /** Name */
            name: string;
            /** Value */
            value: number;
            /** Default */
            default: number;
            /** Meaning */
            meaning: string;
        };
        /**
         * StoredEvent
         * @description An event of a message's log. `data` is what the stream sends.
         */
        StoredEvent: components["schemas"]["ProcessingEvent"] | components["schemas"]["VersionEvent"] | components["schemas"]["ChunkEvent"] | components["schemas"]["CustomEvent"] | components["schemas"]["NodeEvent"] | components["schemas"]["ValuesEvent"] | components["schemas"]["UpdatesEvent"] | components["schemas"]["MessagesEvent"] | components["schemas"]["TasksEvent"] | components["schemas"]["CheckpointsEvent"] | components["schemas"]["DebugEvent"] | components["schemas"]["UsageEvent"] | components["schemas"]["RetryEvent"] | components["schemas"]["InterruptedEvent"] | components["schemas"]["ResumedEvent"] | components["schemas"]["DoneEvent"] | components["schemas"]["ErrorEvent"] | components["schemas"]["CancelledEvent"];
        /**
         * StreamEvent
         * @description An event of a stream, with its data parsed. `type` has the value that the stream calls `event`.
         */
        StreamEvent: components["schemas"]["WaitingEvent"] | components["schemas"]["ResetEvent"] | components["schemas"]["ProcessingEvent"] | components["schemas"]["VersionEvent"] | components["schemas"]["ChunkEvent"] | components["schemas"]["CustomEvent"] | components["schemas"]["NodeEvent"] | components["schemas"]["ValuesEvent"] | components["schemas"]["UpdatesEvent"] | components["schemas"]["MessagesEvent"] | components["schemas"]["TasksEvent"] | components["schemas"]["CheckpointsEvent"] | components["schemas"]["DebugEvent"] | components["schemas"]["UsageEvent"] | components["schemas"]["RetryEvent"] | components["schemas"]["InterruptedEvent"] | components["schemas"]["ResumedEvent"] | components["schemas"]["DoneEvent"] | components["schemas"]["ErrorEvent"] | components["schemas"]["CancelledEvent"];
        /**
         * TasksData
         * @description The start or the end of a task, as LangGraph gives it.
         */
        TasksData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            /** Tasks */
            tasks: {
                [key: string]: unknown;
            } | null;
        };
        /**
         * TasksEvent
         * @description A task has started or ended.
         */
        TasksEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "tasks";
            data: components["schemas"]["TasksData"];
        };
        /**
         * TenantChange
         * @description The settings to change. Fields that are not given stay as they are. Null gives a field its default.
         */
        TenantChange: {
            /**
             * Weight
             * @description The share of the workers beside other tenants: 2 gets twice as much as 1, the default.
             * @default null
             */
            weight?: number | null;
            /** @default null */
            limits?: components["schemas"]["LimitsView"] | null;
            /**
             * @description Quotas of the whole tenant.
             * @default null
             */
            quotas?: components["schemas"]["QuotasView"] | null;
            /**
             * @description Quotas of each end user.
             * @default null
             */
            subject_quotas?: components["schemas"]["QuotasView"] | null;
            /**
             * Retention Days
             * @description Days to keep finished messages, and threads without messages, instead of `RETENTION_DAYS`.
             * @default null
             */
            retention_days?: number | null;
            /**
             * Event Retention Hours
             * @description Hours to keep the events of finished messages, instead of `EVENT_RETENTION_HOURS`.
             * @default null
             */
            event_retention_hours?: number | null;
        };
        /**
         * TenantList
         * @description Records of tenants, by name.
         */
        TenantList: {
            /** Tenants */
            tenants: components["schemas"]["TenantView"][];
        };
        /**
         * TenantStorageView
         * @description The storage of one tenant, and how long it is kept.
         */
        TenantStorageView: {
            /**
             * As Of
             * @description When the measurement began. Later changes may be missing.
             */
            as_of: string;
            /**
             * Complete
             * @description Whether the measurement has ended. Until then, the figures are too low.
             */
            complete: boolean;
            /**
             * Measuring
             * @description Whether a newer measurement runs. Ask again to see it.
             */
            measuring: boolean;
            /** Messages */
            messages: number;
            /**
             * Message Bytes
             * @description UTF-8 bytes of contents, options, metadata, results, outputs, errors, questions and answers. Images and files are parts of contents.
             */
            message_bytes: number;
            /** Events */
            events: number;
            /**
             * Event Bytes
             * @description UTF-8 bytes of the data of events.
             */
            event_bytes: number;
            /**
             * Memory Bytes
             * @description Bytes of what the agents remember, as the engine stores it. Null if the agents' memory is away.
             */
            memory_bytes: number | null;
            /**
             * Total Bytes
             * @description All of these bytes.
             */
            total_bytes: number;
            /** Tenant */
            tenant: string;
            /** Threads */
            threads: number;
            /**
             * Items
             * @description Number of items that agents keep across threads.
             */
            items: number;
            /**
             * Item Bytes
             * @description UTF-8 bytes of the values of items.
             */
            item_bytes: number;
            /**
             * Retention Days
             * @description Days after their end until messages of the tenant are deleted.
             */
            retention_days: number;
            /**
             * Event Retention Hours
             * @description Hours after its end until the events of a message are deleted.
             */
            event_retention_hours: number;
        };
        /**
         * TenantView
         * @description The record of a tenant.
         */
        TenantView: {
            /** Tenant */
            tenant: string;
            /** Weight */
            weight: number;
            limits: components["schemas"]["LimitsView"];
            quotas: components["schemas"]["QuotasView"];
            subject_quotas: components["schemas"]["QuotasView"];
            /** Retention Days */
            retention_days: number | null;
            /** Event Retention Hours */
            event_retention_hours: number | null;
            /** Created At */
            created_at: string;
            /** Changed At */
            changed_at: string;
        };
        /**
         * TextBlock
         * @description A text.
         */
        TextBlock: {
            /**
             * Id
             * @description The id of the block.
             * @default null
             */
            id?: string | null;
            /**
             * Extras
             * @description What only the model's provider reads, such as `filename` for a file.
             * @default null
             */
            extras?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "text";
            /** Text */
            text: string;
        };
        /**
         * TextChunk
         * @description Text of the answer (`content`), or text of the model's reasoning if the model provides it.
         */
        TextChunk: {
            /** Index */
            index: number;
            /**
             * Message
             * @description The id of its message in the agent's memory, if known.
             * @default null
             */
            message?: string | null;
            /**
             * Node
             * @description The graph's node that made it, if known.
             * @default null
             */
            node?: string | null;
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "content" | "reasoning";
            /** Chunk */
            chunk: string;
        };
        /**
         * ThreadCreate
         * @description A new thread without messages.
         */
        ThreadCreate: {
            /**
             * Thread Id
             * @description The id of the new thread. By default a new UUID.
             * @default null
             */
            thread_id?: string | null;
            /**
             * Name
             * @description The name of the thread. By default it has none.
             * @default null
             */
            name?: string | null;
            /**
             * Metadata
             * @description The metadata of the thread. By default it has none.
             * @default null
             */
            metadata?: {
                [key: string]: string | number | boolean | null;
            } | null;
            /**
             * Subject
             * @description The end user to whom the thread belongs. By default the end user of the caller's token, if there is one.
             * @default null
             */
            subject?: string | null;
            /**
             * Ttl
             * @description Minutes without activity after which the thread is deleted with its messages and what agents remember of it. Null stands for `THREAD_TTL_MINUTES`. A thread with unfinished messages stays.
             * @default null
             */
            ttl?: number | null;
            /**
             * If Exists
             * @description What to do if a thread has this id. `raise`: refuse with 409. `do_nothing`: return that thread as it is, with 200.
             * @default raise
             * @enum {string}
             */
            if_exists?: "raise" | "do_nothing";
        };
        /**
         * ThreadDetails
         * @description A thread, with its messages counted by state.
         */
        ThreadDetails: {
            /** Thread Id */
            thread_id: string;
            /** Message Count */
            message_count: number;
            /** Created At */
            created_at: string;
            /** Last Activity */
            last_activity: string;
            /** States */
            states: {
                [key: string]: number;
            };
            /**
             * Name
             * @description The latest `name` that a message or a change has given the thread, null if there is none.
             */
            name: string | null;
            /** @description `interrupted`: a message waits for a human. `busy`: messages are queued or processing. `error`: all have ended, and the one that ended last has failed. `idle`: none of these. */
            status: components["schemas"]["ThreadStatus"];
            /**
             * Metadata
             * @description The newest value of each key in the metadata of the thread's messages and in changes of the thread.
             */
            metadata: {
                [key: string]: string | number | boolean | null;
            };
            /** @description Where the thread was forked from, null if it was not. */
            forked_from?: components["schemas"]["ForkSource"] | null;
            /**
             * Subject
             * @description The end user to whom it belongs. Null if it belongs to none.
             */
            subject?: string | null;
            /**
             * Ttl
             * @description Minutes without activity after which the thread is deleted with its messages and what agents remember of it. Null stands for `THREAD_TTL_MINUTES`. A thread with unfinished messages stays.
             */
            ttl?: number | null;
        };
        /**
         * ThreadFork
         * @description A new thread from a state of another one: at a checkpoint or after a message, by default the newest state.
         */
        ThreadFork: {
            /**
             * Checkpoint Id
             * @description The checkpoint to begin with.
             * @default null
             */
            checkpoint_id?: string | null;
            /**
             * Message Id
             * @description The message after whose run to begin. Not with a checkpoint.
             * @default null
             */
            message_id?: string | null;
            /**
             * Thread Id
             * @description The id of the new thread. By default a new UUID.
             * @default null
             */
            thread_id?: string | null;
            /**
             * Name
             * @description The name of the new thread. By default it has none.
             * @default null
             */
            name?: string | null;
            /**
             * Metadata
             * @description The metadata of the new thread. By default it has none.
             * @default null
             */
            metadata?: {
                [key: string]: string | number | boolean | null;
            } | null;
        };
        /**
         * ThreadHistory
         * @description A page of a thread's states, newest first.
         */
        ThreadHistory: {
            /** States */
            states: components["schemas"]["ThreadState"][];
        };
        /**
         * ThreadMessages
         * @description A page of a thread's messages, oldest first. `total_messages` counts the messages of all pages.
         */
        ThreadMessages: {
            /** Thread Id */
            thread_id: string;
            /** Total Messages */
            total_messages: number;
            /** Messages */
            messages: components["schemas"]["MessageStatus"][];
        };
        /**
         * ThreadPatch
         * @description A change to a thread: a new name, values of its metadata, or a new TTL.
         */
        ThreadPatch: {
            /**
             * Name
             * @description The new name. Null removes the name.
             * @default null
             */
            name?: string | null;
            /**
             * Metadata
             * @description Values by key, which are merged into the thread's metadata. A null removes the key.
             * @default null
             */
            metadata?: {
                [key: string]: string | number | boolean | null;
            } | null;
            /**
             * Ttl
             * @description Minutes without activity after which the thread is deleted with its messages and what agents remember of it. Null stands for `THREAD_TTL_MINUTES`. A thread with unfinished messages stays.
             * @default null
             */
            ttl?: number | null;
        };
        /**
         * ThreadSizesView
         * @description The storage of one thread.
         */
        ThreadSizesView: {
            /** Messages */
            messages: number;
            /**
             * Message Bytes
             * @description UTF-8 bytes of contents, options, metadata, results, outputs, errors, questions and answers. Images and files are parts of contents.
             */
            message_bytes: number;
            /** Events */
            events: number;
            /**
             * Event Bytes
             * @description UTF-8 bytes of the data of events.
             */
            event_bytes: number;
            /**
             * Memory Bytes
             * @description Bytes of what the agents remember, as the engine stores it. Null if the agents' memory is away.
             */
            memory_bytes: number | null;
            /**
             * Total Bytes
             * @description All of these bytes.
             */
            total_bytes: number;
            /** Thread Id */
            thread_id: string;
        };
        /**
         * ThreadSort
         * @description The times by which threads are listed.
         * @enum {string}
         */
        ThreadSort: "updated" | "created";
        /**
         * ThreadState
         * @description The state of a conversation. Without any step yet, `values` is an empty object and `checkpoint` null.
         */
        ThreadState: {
            /**
             * Values
             * @description The values by key, as JSON.
             */
            values: unknown;
            /**
             * Next
             * @description The nodes that come next; empty after the end of a run.
             */
            next: string[];
            /** Tasks */
            tasks: components["schemas"]["StateTask"][];
            /**
             * Interrupts
             * @description The questions that wait for an answer.
             */
            interrupts: components["schemas"]["StateInterrupt"][];
            checkpoint: components["schemas"]["Checkpoint"] | null;
            /** @description The checkpoint before this one. */
            parent_checkpoint: components["schemas"]["Checkpoint"] | null;
            /**
             * Metadata
             * @description LangGraph's metadata, with the metadata of the message.
             */
            metadata: {
                [key: string]: unknown;
            };
            /**
             * Message Id
             * @description The message whose run made this state.
             */
            message_id: string | null;
            /** Created At */
            created_at: string | null;
        };
        /**
         * ThreadStatus
         * @description The state of a conversation, by its messages.
         *
         *     - `interrupted`: a message waits for a human.
         *     - `busy`: messages are queued or processing, and none waits for a human.
         *     - `error`: all messages have ended, and the one that ended last has failed.
         *     - `idle`: none of these.
         * @enum {string}
         */
        ThreadStatus: "idle" | "busy" | "interrupted" | "error";
        /**
         * ThreadStorageView
         * @description The storage of one thread, and the time of its measurement.
         */
        ThreadStorageView: {
            /**
             * As Of
             * @description When the measurement began. Later changes may be missing.
             */
            as_of: string;
            /**
             * Complete
             * @description Whether the measurement has ended. Until then, the figures are too low.
             */
            complete: boolean;
            /**
             * Measuring
             * @description Whether a newer measurement runs. Ask again to see it.
             */
            measuring: boolean;
            /** Messages */
            messages: number;
            /**
             * Message Bytes
             * @description UTF-8 bytes of contents, options, metadata, results, outputs, errors, questions and answers. Images and files are parts of contents.
             */
            message_bytes: number;
            /** Events */
            events: number;
            /**
             * Event Bytes
             * @description UTF-8 bytes of the data of events.
             */
            event_bytes: number;
            /**
             * Memory Bytes
             * @description Bytes of what the agents remember, as the engine stores it. Null if the agents' memory is away.
             */
            memory_bytes: number | null;
            /**
             * Total Bytes
             * @description All of these bytes.
             */
            total_bytes: number;
            /** Thread Id */
            thread_id: string;
        };
        /**
         * ThreadSummary
         * @description A thread in the list of threads.
         */
        ThreadSummary: {
            /** Thread Id */
            thread_id: string;
            /** Message Count */
            message_count: number;
            /** Created At */
            created_at: string;
            /** Last Activity */
            last_activity: string;
            /** Last Message Preview */
            last_message_preview: string;
            /**
             * Name
             * @description The latest `name` that a message or a change has given the thread, null if there is none.
             */
            name: string | null;
            /** @description `interrupted`: a message waits for a human. `busy`: messages are queued or processing. `error`: all have ended, and the one that ended last has failed. `idle`: none of these. */
            status: components["schemas"]["ThreadStatus"];
            /**
             * Metadata
             * @description The newest value of each key in the metadata of the thread's messages and in changes of the thread.
             */
            metadata: {
                [key: string]: string | number | boolean | null;
            };
            /** @description Where the thread was forked from, null if it was not. */
            forked_from?: components["schemas"]["ForkSource"] | null;
            /**
             * Subject
             * @description The end user to whom it belongs. Null if it belongs to none.
             */
            subject?: string | null;
            /**
             * Ttl
             * @description Minutes without activity after which the thread is deleted with its messages and what agents remember of it. Null stands for `THREAD_TTL_MINUTES`. A thread with unfinished messages stays.
             */
            ttl?: number | null;
        };
        /**
         * TicketCreate
         * @description A ticket to make.
         */
        TicketCreate: {
            /**
             * Message Id
             * @description The only message whose stream the ticket opens.
             * @default null
             */
            message_id?: string | null;
        };
        /**
         * TicketIssued
         * @description A ticket. It cannot be shown again.
         */
        TicketIssued: {
            /**
             * Ticket
             * @description To be sent as `?ticket=` to a stream or to `/ws`, once.
             */
            ticket: string;
            /** Expires At */
            expires_at: string;
        };
        /**
         * TimesView
         * @description How long something took, in seconds. Percentiles are estimated from buckets; null where nothing was measured.
         */
        TimesView: {
            /** Count */
            count: number;
            /** Mean */
            mean: number | null;
            /** P50 */
            p50: number | null;
            /** P95 */
            p95: number | null;
            /** P99 */
            p99: number | null;
        };
        /**
         * TokenCreate
         * @description A token to make. What is left out is not narrowed.
         */
        TokenCreate: {
            /**
             * Subject
             * @description The end user: the token sees only messages and threads that belong to them.
             * @default null
             */
            subject?: string | null;
            /**
             * Thread Ids
             * @description The only threads that the token may use, besides those with the prefix.
             * @default null
             */
            thread_ids?: string[] | null;
            /**
             * Thread Prefix
             * @description What the ids of the threads that the token may use begin with.
             * @default null
             */
            thread_prefix?: string | null;
            /**
             * Agents
             * @description The only agents whose messages the token may use.
             * @default null
             */
            agents?: string[] | null;
            /**
             * Scopes
             * @description What the token may do: only what the caller may do. By default `submit` and `read`.
             * @default null
             */
            scopes?: ("submit" | "read" | "control")[] | null;
            /**
             * Expires In
             * @description Seconds for which the token is good. It never outlives the caller's key.
             * @default 900
             */
            expires_in?: number;
            /**
             * Rate Per Minute
             * @description Requests a minute that the token may make. It is kept in the token and not yet enforced.
             * @default null
             */
            rate_per_minute?: number | null;
        };
        /**
         * TokenIssued
         * @description A token. It cannot be shown again.
         */
        TokenIssued: {
            /**
             * Token
             * @description To be sent as `Authorization: Bearer TOKEN`.
             */
            token: string;
            /** Expires At */
            expires_at: string;
            /** Subject */
            subject: string | null;
            /** Scopes */
            scopes: components["schemas"]["AccessScope"][];
        };
        /**
         * TokensRevoke
         * @description The tokens to end: those of a `subject`, or with `all` those of the tenant.
         */
        TokensRevoke: {
            /**
             * Subject
             * @description The end user whose tokens end.
             * @default null
             */
            subject?: string | null;
            /**
             * All
             * @description Whether all tokens of the tenant end.
             * @default null
             */
            all?: true | null;
        };
        /**
         * TokensRevoked
         * @description The tokens were ended. Every process refuses them within seconds.
         */
        TokensRevoked: {
            /**
             * Subject
             * @description The end user whose tokens were ended; null for all of the tenant.
             */
            subject: string | null;
        };
        /**
         * TokensView
         * @description Model calls, their tokens and their cost in US dollars.
         */
        TokensView: {
            /** Calls */
            calls: number;
            /** Input Tokens */
            input_tokens: number;
            /** Output Tokens */
            output_tokens: number;
            /**
             * Cached Tokens
             * @description A part of `input_tokens`.
             */
            cached_tokens: number;
            /**
             * Reasoning Tokens
             * @description A part of `output_tokens`.
             */
            reasoning_tokens: number;
            /**
             * Cost
             * @description Null if no call has a known price.
             */
            cost: string | null;
            /**
             * Cost Complete
             * @description Whether the price of every call is known.
             */
            cost_complete: boolean;
        };
        /**
         * ToolCall
         * @description A call of a tool by the agent.
         */
        ToolCall: {
            /** Id */
            id: string | null;
            /** Name */
            name: string;
            /** Args */
            args: {
                [key: string]: unknown;
            };
        };
        /**
         * ToolCallChunk
         * @description The agent calls a tool.
         */
        ToolCallChunk: {
            /** Index */
            index: number;
            /**
             * Message
             * @description The id of its message in the agent's memory, if known.
             * @default null
             */
            message?: string | null;
            /**
             * Node
             * @description The graph's node that made it, if known.
             * @default null
             */
            node?: string | null;
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "tool_call";
            chunk: components["schemas"]["ToolCall"];
        };
        /**
         * ToolResult
         * @description The result of a tool; `status` is `success` or `error`.
         */
        ToolResult: {
            /** Id */
            id: string | null;
            /** Name */
            name: string | null;
            /** Content */
            content: string;
            /** Status */
            status: string;
        };
        /**
         * ToolResultChunk
         * @description A tool has ended.
         */
        ToolResultChunk: {
            /** Index */
            index: number;
            /**
             * Message
             * @description The id of its message in the agent's memory, if known.
             * @default null
             */
            message?: string | null;
            /**
             * Node
             * @description The graph's node that made it, if known.
             * @default null
             */
            node?: string | null;
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "tool_result";
            chunk: components["schemas"]["ToolResult"];
        };
        /**
         * Unchecked
         * @description A check that could not be made, and why.
         */
        Unchecked: {
            /** Check */
            check: string;
            /** Reason */
            reason: string;
        };
        /**
         * UnfinishedFilter
         * @description Matches unfinished messages that have all given values. At least one value is needed.
         */
        UnfinishedFilter: {
            /**
             * Thread Id
             * @default null
             */
            thread_id?: string | null;
            /**
             * Agent
             * @default null
             */
            agent?: string | null;
            /** @default null */
            priority?: components["schemas"]["Priority"] | null;
            /**
             * Error Code
             * @default null
             */
            error_code?: string | null;
            /**
             * Fingerprint
             * @default null
             */
            fingerprint?: string | null;
            /**
             * State
             * @description `queued`, `processing` or `interrupted`, or a list of these states. By default all three.
             * @default null
             */
            state?: components["schemas"]["MessageState"] | components["schemas"]["MessageState"][] | null;
        };
        /**
         * UnfinishedSelection
         * @description Unfinished messages by their ids, or by a filter.
         */
        UnfinishedSelection: {
            /**
             * Message Ids
             * @default null
             */
            message_ids?: string[] | null;
            /** @default null */
            filter?: components["schemas"]["UnfinishedFilter"] | null;
            /**
             * Expected Count
             * @description Only with a filter. Nothing is done if the filter matches a different number.
             * @default null
             */
            expected_count?: number | null;
        };
        /**
         * UpdatesData
         * @description The values that nodes wrote to the state, by the names of the nodes.
         */
        UpdatesData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            /** Updates */
            updates: {
                [key: string]: unknown;
            } | null;
        };
        /**
         * UpdatesEvent
         * @description Nodes wrote to the state.
         */
        UpdatesEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "updates";
            data: components["schemas"]["UpdatesData"];
        };
        /**
         * UsageData
         * @description The model calls of a step by model: what their providers report, how many they are, and their cost.
         *
         *     The providers report `input_tokens`, `output_tokens` and details. Calls of an attempt without a result count too,
         *     although its other events are discarded.
         */
        UsageData: {
            /** Models */
            models: {
                [key: string]: components["schemas"]["ModelCallsData"];
            };
        };
        /**
         * UsageEvent
         * @description The usage of a step's model calls.
         */
        UsageEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "usage";
            data: components["schemas"]["UsageData"];
        };
        /**
         * UsageFormat
         * @description The forms of a reply with usage.
         * @enum {string}
         */
        UsageFormat: "json" | "csv";
        /**
         * UsageGroup
         * @description A property by which usage is grouped. Days and hours are of UTC.
         * @enum {string}
         */
        UsageGroup: "hour" | "day" | "tenant" | "key" | "subject" | "agent" | "model";
        /**
         * UsageReport
         * @description Usage by groups, in the order of their names.
         */
        UsageReport: {
            /** Since */
            since: string;
            /**
             * Until
             * @description The end of the window. Usage of this time is not included.
             */
            until: string;
            /** Group By */
            group_by: components["schemas"]["UsageGroup"][];
            /**
             * Currency
             * @description The currency of each `cost`: always `USD`.
             */
            currency: string;
            /** Rows */
            rows: components["schemas"]["UsageRow"][];
            /**
             * Quotas
             * @description What is left of the quotas of the tenant, of the caller's API key and of the end user. They count in days and months of UTC, whatever the window of the report.
             */
            quotas: components["schemas"]["QuotaView"][];
        };
        /**
         * UsageRow
         * @description The usage of one group.
         */
        UsageRow: {
            /**
             * Hour
             * @description The begin of the hour.
             */
            hour: string | null;
            /**
             * Day
             * @description The day in UTC, such as `2026-11-29`.
             */
            day: string | null;
            /** Tenant */
            tenant: string | null;
            /**
             * Key
             * @description The id of the API key. Null for messages that no key submitted.
             */
            key: string | null;
            /**
             * Subject
             * @description The end user. Null for messages without one.
             */
            subject: string | null;
            /** Agent */
            agent: string | null;
            /** Model */
            model: string | null;
            /**
             * Calls
             * @description Number of model calls.
             */
            calls: number;
            /** Input Tokens */
            input_tokens: number;
            /**
             * Cached Tokens
             * @description Input tokens that the provider had in its cache, a part of `input_tokens`.
             */
            cached_tokens: number;
            /** Output Tokens */
            output_tokens: number;
            /**
             * Reasoning Tokens
             * @description A part of `output_tokens`.
             */
            reasoning_tokens: number;
            /**
             * Total Tokens
             * @description Input and output tokens.
             */
            total_tokens: number;
            /**
             * Cost
             * @description US dollars as a decimal number, at the prices of the time of each call. Null if no price is known.
             */
            cost: string | null;
            /**
             * Cost Complete
             * @description Whether the prices of all calls are known. If not, the cost is too low.
             */
            cost_complete: boolean;
        };
        /**
         * UsageView
         * @description The usage of all attempts of a message: the sums, and the same by model.
         */
        UsageView: {
            /**
             * Calls
             * @description Number of model calls.
             */
            calls: number;
            /** Input Tokens */
            input_tokens: number;
            /**
             * Cached Tokens
             * @description Input tokens that the provider had in its cache, a part of `input_tokens`.
             */
            cached_tokens: number;
            /** Output Tokens */
            output_tokens: number;
            /**
             * Reasoning Tokens
             * @description A part of `output_tokens`.
             */
            reasoning_tokens: number;
            /**
             * Total Tokens
             * @description Input and output tokens.
             */
            total_tokens: number;
            /**
             * Cost
             * @description US dollars as a decimal number, at the prices of the time of each call. Null if no price is known.
             */
            cost: string | null;
            /**
             * Cost Complete
             * @description Whether the prices of all calls are known. If not, the cost is too low.
             */
            cost_complete: boolean;
            /** Models */
            models: components["schemas"]["ModelUsageView"][];
        };
        /**
         * ValuesData
         * @description The graph's state before the first step and after every step.
         */
        ValuesData: {
            /**
             * Path
             * @description The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph.
             * @default null
             */
            path?: string[] | null;
            /**
             * Omitted
             * @description The length of an event of more than 1 MiB, whose content is left out.
             * @default null
             */
            omitted?: number | null;
            /** Values */
            values: unknown;
        };
        /**
         * ValuesEvent
         * @description The state of the graph.
         */
        ValuesEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "values";
            data: components["schemas"]["ValuesData"];
        };
        /**
         * VersionData
         * @description The message goes on with another version of its agent, since no live worker has the version that began it.
         *
         *     `to` is null if a worker with any version may go on with it.
         */
        VersionData: {
            /**
             * State
             * @constant
             */
            state: "queued";
            /** From */
            from: string;
            /** To */
            to: string | null;
        };
        /**
         * VersionEvent
         * @description Another version of the agent goes on with the message.
         */
        VersionEvent: {
            /**
             * Id
             * @description Counts from 1 within the message, without gaps.
             */
            id: number;
            /**
             * At
             * @description When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored together have the same.
             * @default null
             */
            at?: string | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "version";
            data: components["schemas"]["VersionData"];
        };
        /**
         * VideoBlock
         * @description A video.
         */
        VideoBlock: {
            /**
             * Id
             * @description The id of the block.
             * @default null
             */
            id?: string | null;
            /**
             * Extras
             * @description What only the model's provider reads, such as `filename` for a file.
             * @default null
             */
            extras?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "video";
            /**
             * Mime Type
             * @description The media type, such as `image/png`. Required with `base64`.
             * @default null
             */
            mime_type?: string | null;
            /**
             * Base64
             * @description The data in base64.
             * @default null
             */
            base64?: string | null;
            /**
             * File Id
             * @description The id of a file at the model's provider.
             * @default null
             */
            file_id?: string | null;
            /**
             * Url
             * @description Where the model's provider finds the data: `http` or `https`. Exactly one of `url`, `base64` and `file_id` is given.
             * @default null
             */
            url?: string | null;
        };
        /**
         * WaitingCode
         * @description Why a message waits. Existing codes are stable; new ones may be added.
         * @enum {string}
         */
        WaitingCode: "delayed" | "paused" | "no_worker" | "workers_drained" | "agent_unavailable" | "version_unavailable" | "thread_busy" | "ahead_in_queue" | "fair_share" | "tenant_running" | "slots_busy" | "starting_soon";
        /**
         * WaitingData
         * @description The message is queued. Sent first, and again when its position or its reason to wait changes.
         */
        WaitingData: {
            /**
             * State
             * @constant
             */
            state: "queued";
            /**
             * Position
             * @description How many queued messages are claimed before this message: exact up to 10,000, an estimate above. Null while the message is delayed, and when it is not queued.
             */
            position: number | null;
            /** Message */
            message: string;
            /** Estimated Start At */
            estimated_start_at: string | null;
            waiting_reason: components["schemas"]["WaitingReason"] | null;
            /**
             * Run At
             * @description The message is not claimed before this time, which `run_at`, `delay_seconds` or a retry sets. It stays after the message has begun. Null if the message could be claimed at once.
             */
            run_at: string | null;
        };
        /**
         * WaitingEvent
         * @description Sent while the message is queued.
         */
        WaitingEvent: {
            /**
             * Id
             * @description The log does not store this event.
             */
            id: null;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "waiting";
            data: components["schemas"]["WaitingData"];
        };
        /**
         * WaitingReason
         * @description Why a queued message waits: a stable code and a sentence.
         */
        WaitingReason: {
            code: components["schemas"]["WaitingCode"];
            /** Message */
            message: string;
        };
        /**
         * WebhookEvent
         * @description A state of a message that its webhook can report.
         * @enum {string}
         */
        WebhookEvent: "completed" | "failed" | "cancelled" | "interrupted";
        /**
         * Worker
         * @description A process that claims messages, as of its last heartbeat.
         *
         *     `agents` and `load` are None if it does not report them.
         *     `state` tells whether it claims messages.
         *     `clock_ahead_ms` is by how much the clock of its host was ahead of the store's time; negative if it was behind.
         */
        Worker: {
            /** Id */
            id: string;
            /** Host */
            host: string;
            /** Pid */
            pid: number;
            /** Slots */
            slots: number;
            /** Started At */
            started_at: string;
            /** Last Beat */
            last_beat: string;
            /**
             * Clock Ahead Ms
             * @default 0
             */
            clock_ahead_ms?: number;
            /** @default active */
            state?: components["schemas"]["WorkerState"];
            /** Agents */
            agents?: components["schemas"]["ServedAgent"][] | null;
            load?: components["schemas"]["WorkerLoad"] | null;
        };
        /**
         * WorkerList
         * @description The live processes on all hosts that run messages, oldest first.
         *
         *     A process is live if it sent a heartbeat within the length of a lease.
         */
        WorkerList: {
            /** Workers */
            workers: components["schemas"]["Worker"][];
        };
        /**
         * WorkerLoad
         * @description The work of a worker, as of its last heartbeat.
         *
         *     `busy` is how many slots are in use. `memory_bytes` is the memory that its process holds, None if the host does not
         *     tell. `tokens_per_second` is estimated from the text that its agents wrote lately. `runs` has the messages that it
         *     runs, MOST_RUNS of them at most.
         */
        WorkerLoad: {
            /** Busy */
            busy: number;
            /** Memory Bytes */
            memory_bytes: number | null;
            /** Tokens Per Second */
            tokens_per_second: number;
            /**
             * Runs
             * @default []
             */
            runs?: components["schemas"]["WorkerRun"][];
        };
        /**
         * WorkerRun
         * @description A message that a worker runs.
         */
        WorkerRun: {
            /** Message Id */
            message_id: string;
            /** Tenant */
            tenant: string;
            /** Agent */
            agent: string;
        };
        /**
         * WorkerState
         * @description Whether a worker claims messages. A draining worker ends its runs; a drained one has none left.
         * @enum {string}
         */
        WorkerState: "active" | "draining" | "drained";
        ListMessagesQuery: {
            /**
             * State
             * @description Only messages in one of these states.
             */
            state?: components["schemas"]["MessageState"][] | null;
            /**
             * Subject
             * @description Only messages of this end user. None for a caller who acts for another one.
             */
            subject?: string | null;
            /**
             * Q
             * @description Only entries that contain this text, in any case. A request searches for about half a second, so a page may be short or empty while `Link` leads on.
             */
            q?: string | null;
            /**
             * Count
             * @description Whether to tell in `X-Pagination-Total` how many messages match. Above 10,000, only `X-Pagination-Total-At-Least` tells this limit, unless `state` is the only filter. Not with `q`.
             * @default false
             */
            count?: boolean;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
            /**
             * Thread Id
             * @description Only messages of this thread.
             */
            thread_id?: string | null;
            /**
             * Agent
             * @description Only messages for this agent.
             */
            agent?: string | null;
            /**
             * Priority
             * @description Only messages of this priority.
             */
            priority?: components["schemas"]["Priority"] | null;
            /**
             * Error Code
             * @description Only messages that failed with this code.
             */
            error_code?: string | null;
            /**
             * Fingerprint
             * @description Only messages whose failure has this fingerprint.
             */
            fingerprint?: string | null;
        };
        GetQueueQuery: {
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
        };
        ListDeadLettersQuery: {
            /**
             * Subject
             * @description Only messages of this end user. None for a caller who acts for another one.
             */
            subject?: string | null;
            /**
             * Q
             * @description Only entries that contain this text, in any case. A request searches for about half a second, so a page may be short or empty while `Link` leads on.
             */
            q?: string | null;
            /**
             * Count
             * @description Whether to tell in `X-Pagination-Total` how many messages match. Above 10,000, only `X-Pagination-Total-At-Least` tells this limit, unless `state` is the only filter. Not with `q`.
             * @default false
             */
            count?: boolean;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
            /**
             * Thread Id
             * @description Only messages of this thread.
             */
            thread_id?: string | null;
            /**
             * Agent
             * @description Only messages for this agent.
             */
            agent?: string | null;
            /**
             * Priority
             * @description Only messages of this priority.
             */
            priority?: components["schemas"]["Priority"] | null;
            /**
             * Error Code
             * @description Only messages that failed with this code.
             */
            error_code?: string | null;
            /**
             * Fingerprint
             * @description Only messages whose failure has this fingerprint.
             */
            fingerprint?: string | null;
        };
        GroupDeadLettersQuery: {
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
        };
        ListDeliveriesQuery: {
            /**
             * State
             * @description Only deliveries in one of these states.
             */
            state?: components["schemas"]["DeliveryState"][] | null;
            /**
             * Event
             * @description Only deliveries of one of these events.
             */
            event?: components["schemas"]["WebhookEvent"][] | null;
            /**
             * Message Id
             * @description Only deliveries of this message.
             */
            message_id?: string | null;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        StreamMessageQuery: {
            /**
             * After
             * @description The same as the header `Last-Event-ID`, which takes precedence.
             */
            after?: string | null;
            /**
             * Ticket
             * @description A ticket from `POST /tickets`, for readers that can send no header.
             */
            ticket?: string | null;
        };
        ListMessageEventsQuery: {
            /**
             * After
             * @description The same as the header `Last-Event-ID`, which takes precedence.
             */
            after?: string | null;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 500
             */
            limit?: number;
        };
        StreamChangesQuery: {
            /**
             * Type
             * @description Only changes of one of these types.
             */
            type?: components["schemas"]["ChangeType"][] | null;
            /**
             * State
             * @description Only messages that are in one of these states afterwards.
             */
            state?: components["schemas"]["MessageState"][] | null;
            /**
             * Agent
             * @description Only changes of this agent and its messages.
             */
            agent?: string | null;
            /**
             * Thread Id
             * @description Only changes of this thread and its messages.
             */
            thread_id?: string | null;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 500
             */
            limit?: number;
            /**
             * After
             * @description The same as the header `Last-Event-ID`, which takes precedence.
             */
            after?: string | null;
            /**
             * Ticket
             * @description A ticket from `POST /tickets`, for readers that can send no header.
             */
            ticket?: string | null;
        };
        GetThreadStateQuery: {
            /**
             * Agent
             * @description The agent through which the state is read. By default that of the newest message that has begun.
             */
            agent?: string | null;
            /**
             * Checkpoint Id
             * @description The checkpoint to read. By default the newest one.
             */
            checkpoint_id?: string | null;
            /**
             * Subgraphs
             * @description Whether `tasks` have the states of subgraphs that have not ended.
             * @default false
             */
            subgraphs?: boolean;
        };
        GetThreadHistoryQuery: {
            /**
             * Agent
             * @description The agent through which the state is read. By default that of the newest message that has begun.
             */
            agent?: string | null;
            /**
             * Limit
             * @description Maximum number of states.
             * @default 10
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        GetStorageQuery: {
            /**
             * Tenant
             * @description Only this tenant. Other tenants need the scope `admin`.
             */
            tenant?: string | null;
            /**
             * Max Age
             * @description How many seconds ago the measurement may have begun. 0 measures anew. By default 60, and longer if a measurement takes more than 6 seconds.
             */
            max_age?: number | null;
            /**
             * Limit
             * @description Maximum number of tenants.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        ListLargestThreadsQuery: {
            /**
             * Tenant
             * @description Only this tenant. Other tenants need the scope `admin`.
             */
            tenant?: string | null;
            /**
             * Max Age
             * @description How many seconds ago the measurement may have begun. 0 measures anew. By default 60, and longer if a measurement takes more than 6 seconds.
             */
            max_age?: number | null;
            /**
             * Limit
             * @description Maximum number of threads.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        GetThreadStorageQuery: {
            /**
             * Max Age
             * @description How many seconds ago the measurement may have begun. 0 measures anew. By default 60, and longer if a measurement takes more than 6 seconds.
             */
            max_age?: number | null;
        };
        ListThreadsQuery: {
            /**
             * Subject
             * @description Only threads of this end user. None for a caller who acts for another one.
             */
            subject?: string | null;
            /**
             * @description The time by which to order: the last activity, or the creation.
             * @default updated
             */
            sort_by?: components["schemas"]["ThreadSort"];
            /**
             * Sort Order
             * @description `desc`: the latest first.
             * @default desc
             * @enum {string}
             */
            sort_order?: "desc" | "asc";
            /**
             * Q
             * @description Only entries that contain this text, in any case. A request searches for about half a second, so a page may be short or empty while `Link` leads on.
             */
            q?: string | null;
            /**
             * Count
             * @description Whether to tell in `X-Pagination-Total` how many threads match. Not with `q`.
             * @default false
             */
            count?: boolean;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 1000
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
            /**
             * Thread Id
             * @description Only the threads with these ids.
             */
            thread_id?: string[] | null;
            /**
             * Status
             * @description Only threads with this status.
             */
            status?: components["schemas"]["ThreadStatus"] | null;
        };
        GetThreadMessagesQuery: {
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 200
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        GetItemQuery: {
            /**
             * Namespace
             * @description The labels of the namespace, joined by periods.
             */
            namespace: string;
            /**
             * Key
             * @description The key of the item.
             */
            key: string;
            /**
             * Refresh Ttl
             * @description Whether the time to live begins again.
             */
            refresh_ttl?: boolean | null;
        };
        ListErasuresQuery: {
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
        };
        ListKeysQuery: {
            /**
             * Tenant
             * @description Only keys of this tenant.
             */
            tenant?: string | null;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        ListTenantsQuery: {
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        ListAuditQuery: {
            /**
             * Tenant
             * @description Only changes of this tenant's data.
             */
            tenant?: string | null;
            /**
             * Actor
             * @description Only changes by this actor, such as `key:ID`.
             */
            actor?: string | null;
            /**
             * Action
             * @description Only this action.
             */
            action?: components["schemas"]["AuditAction"] | null;
            /**
             * Target
             * @description Only changes of what has this id.
             */
            target?: string | null;
            /**
             * Since
             * @description Only changes at this time or later.
             */
            since?: string | null;
            /**
             * Until
             * @description Only changes before this time.
             */
            until?: string | null;
            /**
             * Limit
             * @description Maximum number of entries.
             * @default 100
             */
            limit?: number;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        ListUsageQuery: {
            /**
             * Since
             * @description Only usage at this hour or later: a time of RFC 3339 or a date. By default 30 days ago.
             */
            since?: string | null;
            /**
             * Until
             * @description Only usage before this hour. By default up to the present hour.
             */
            until?: string | null;
            /**
             * Group By
             * @description What to group by, separated by commas: `hour` or `day`, `tenant`, `key`, `subject`, `agent`, `model`. An empty text gives one row.
             * @default day
             */
            group_by?: string;
            /**
             * Tenant
             * @description Only usage of this tenant. Other tenants need the scope `admin`.
             */
            tenant?: string | null;
            /**
             * Key
             * @description Only messages that were submitted with this API key.
             */
            key?: string | null;
            /**
             * Subject
             * @description Only messages of this end user.
             */
            subject?: string | null;
            /**
             * Agent
             * @description Only messages for this agent.
             */
            agent?: string | null;
            /**
             * Model
             * @description Only calls of this model.
             */
            model?: string | null;
            /**
             * Format
             * @description `csv` is the same as `Accept: text/csv`, and gives all groups at once.
             */
            format?: components["schemas"]["UsageFormat"] | null;
            /**
             * Limit
             * @description Maximum number of groups, by default 100.
             */
            limit?: number | null;
            /**
             * Cursor
             * @description Where to continue: from the `Link` of the previous page.
             */
            cursor?: string | null;
        };
        GetStatisticsQuery: {
            /**
             * Since
             * @description The begin of the window: a time of RFC 3339 or a date.
             */
            since?: string | null;
            /**
             * Until
             * @description The end of the window. Now by default.
             */
            until?: string | null;
            /**
             * Agent
             * @description Only messages of this agent.
             */
            agent?: string | null;
        };
        GetStatisticsSeriesQuery: {
            /** @description What to show. */
            metric: components["schemas"]["Metric"];
            /**
             * @description Seconds between two points.
             * @default 60
             */
            step?: components["schemas"]["Step"];
            /**
             * Since
             * @description The begin of the window: a time of RFC 3339 or a date. 60 points before its end by default.
             */
            since?: string | null;
            /**
             * Until
             * @description The end of the window. Now by default.
             */
            until?: string | null;
            /**
             * Agent
             * @description Only messages of this agent.
             */
            agent?: string | null;
            /**
             * Group By
             * @description A series for each value: `state` only for `ended`, `code` only for `failed`, `tenant` only with the scope `admin`.
             */
            group_by?: components["schemas"]["SeriesGrouping"] | null;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
