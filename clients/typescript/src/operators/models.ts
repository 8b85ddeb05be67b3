/** The data of requests and replies that only operators use, as the API names it. */

import type { QueryOf, Schemas } from "../models.js";

export type QueueState = Schemas["QueueState"];
export type QueuePaused = Schemas["QueuePaused"];
export type ThreadState = Schemas["ThreadState"];
export type StateUpdated = Schemas["StateUpdated"];
export type Worker = Schemas["Worker"];
export type DeadLetter = Schemas["DeadLetter"];
export type DeadLetterGroup = Schemas["DeadLetterGroup"];
export type Requeued = Schemas["MessagesRequeued"];
export type Purged = Schemas["MessagesPurged"];
export type Delivery = Schemas["DeliveryView"];
export type Key = Schemas["KeyView"];
export type KeyIssued = Schemas["KeyIssued"];
export type Tenant = Schemas["TenantView"];
export type Token = Schemas["TokenIssued"];
export type TokensRevoked = Schemas["TokensRevoked"];
export type Cancellations = Schemas["MessagesCancelled"];
export type Reprioritized = Schemas["MessagesReprioritized"];
export type Caller = Schemas["SessionView"];
export type CancelledQueued = Schemas["MessageCancelled"];
export type AuditRecord = Schemas["AuditView"];
export type Erasure = Schemas["ErasureView"];
export type Item = Schemas["ItemView"];
export type QuotaUse = Schemas["QuotaView"];
export type UsageRow = Schemas["UsageRow"];
export type StorageReport = Schemas["StorageReport"];
export type TenantStorage = Schemas["TenantStorageView"];
export type ThreadSizes = Schemas["ThreadSizesView"];
export type ThreadStorage = Schemas["ThreadStorageView"];
export type StatisticsView = Schemas["StatisticsView"];
export type SeriesList = Schemas["SeriesList"];
export type Metric = Schemas["Metric"];
export type ChangePage = Schemas["ChangeList"];
export type About = Schemas["About"];
export type Alive = Schemas["Alive"];
export type Health = Schemas["Health"];
export type Report = Schemas["Report"];
export type Setting = Schemas["SettingView"];

/** Failed messages by their ids, or `expected_count` of them by a filter. */
export type DeadLetterSelection =
  { message_ids: readonly string[] } | { filter: Schemas["DeadLetterFilter"]; expected_count: number };

/** The fields of a new key. */
export type KeyFields = Omit<Schemas["KeyCreate"], "expires_at"> & { expires_at?: string | Date | null };

/** The labels of a namespace, the outermost first, or a text that is the only label. */
export type Namespace = string | readonly string[];

export type StateQuery = QueryOf<"GetThreadStateQuery">;
export type HistoryQuery = QueryOf<"GetThreadHistoryQuery">;
export type QueueQuery = QueryOf<"GetQueueQuery">;
export type DeadLetterQuery = QueryOf<"ListDeadLettersQuery">;
export type DeadLetterGroupQuery = QueryOf<"GroupDeadLettersQuery">;
export type DeliveryQuery = QueryOf<"ListDeliveriesQuery">;
export type KeyQuery = QueryOf<"ListKeysQuery">;
export type TenantQuery = QueryOf<"ListTenantsQuery">;
export type ErasureQuery = QueryOf<"ListErasuresQuery">;
export type AuditQuery = QueryOf<"ListAuditQuery">;
export type StorageQuery = QueryOf<"GetStorageQuery">;
export type LargestThreadsQuery = QueryOf<"ListLargestThreadsQuery">;
export type ThreadStorageQuery = QueryOf<"GetThreadStorageQuery">;
export type StatisticsQuery = QueryOf<"GetStatisticsQuery">;
export type SeriesQuery = Omit<QueryOf<"GetStatisticsSeriesQuery">, "metric">;
export type ChangeListQuery = QueryOf<"StreamChangesQuery">;

/** The changes that a stream shows. */
export type ChangeQuery = Omit<ChangeListQuery, "after" | "limit">;

/** Items by their values. The server has no semantic search. */
export type ItemQuery = Omit<Schemas["ItemQuery"], "namespace_prefix" | "query">;

export type NamespaceQuery = Omit<Schemas["NamespaceQuery"], "prefix" | "suffix"> & {
  readonly prefix?: Namespace | undefined;
  readonly suffix?: Namespace | undefined;
};

export type QuotaQuery = Pick<QueryOf<"ListUsageQuery">, "tenant" | "subject">;

export type UsageQuery = Omit<QueryOf<"ListUsageQuery">, "group_by"> & {
  readonly group_by?: readonly Schemas["UsageGroup"][] | undefined;
};
