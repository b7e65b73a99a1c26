export { collectivesVariable, type DeviceCollectives } from "./device-collectives.ts";
export {
  CollectiveError,
  type CollectiveErrorCode,
  LaunchError,
  RankEnvironmentError,
  type RankFailure,
} from "./errors.ts";
export { type LaunchOptions, type LaunchResult, launchRanks } from "./launch-ranks.ts";
export { ledgerSince, type RankLedgerEntry } from "./ledger.ts";
export { mpiLibraryVariable } from "./mpi-launcher.ts";
export { type Incoming, type LedgerEntry, ProcessGroup, type Share } from "./process-group.ts";
export { sharedFileVariable } from "./rank-environment.ts";
export { type JoinOptions, joinRanks, plannedRanks, type Ranks } from "./ranks.ts";
export { type RankPlace, type RankSource, resolveRank } from "./resolve-rank.ts";
