import { ANSWERS_PER_LOOKUP } from '../../lib/routing/dht/constants.ts';

/** Measured costs. CPU is in seconds of one core, at one end unless the field says otherwise. */
export interface Costs {
  /** Resident memory of the process itself, without peers and records. */
  readonly baseMb: number;
  readonly mbPerPeer: number;
  readonly bytesPerRecordHeld: number;
  /** CPU per second of a node without peers and work. */
  readonly idleCpu: number;
  /** CPU per second of one open connection, the pings of both hosts included. */
  readonly idleCpuPerPeer: number;
  readonly sendRecordCpu: number;
  readonly receiveRecordCpu: number;
  /** CPU for opening a stream for the records of one turn. */
  readonly openCpu: number;
  readonly bytesPerRecord: number;
  readonly bytesPerOpen: number;
  /** CPU for one connection: dial or accept, handshakes, identify. */
  readonly connectCpu: number;
  /** CPU per entry of the routing table in a search for the closest peers to a key. */
  readonly scanCpuPerPeer: number;
}

/** Which records a host sends, and how often. */
export interface Plan {
  readonly keysPerHost: number;
  /** Peers that hold a record. */
  readonly replication: number;
  /** From one refresh of a key to the next, in seconds. */
  readonly refreshSeconds: number;
  /** In how many turns of a round a receiver gets its keys. */
  readonly turns: number;
}

/** The load of one host of a fleet, in seconds, bytes and shares of a core. */
export interface HostLoad {
  readonly hosts: number;
  readonly connections: number;
  readonly connectionsMb: number;
  readonly recordsHeld: number;
  readonly recordsMb: number;
  readonly memoryMb: number;
  readonly idleCpu: number;
  /** Records sent; as many are received. */
  readonly recordsPerSecond: number;
  readonly opensPerSecond: number;
  readonly recordsPerOpen: number;
  readonly refreshBytes: number;
  /** CPU share for the records sent and for those received. */
  readonly refreshCpu: number;
  /** CPU of a host that starts and connects with all others. Each of these pays its own end. */
  readonly startCpu: number;
  /** CPU for announcing all keys for the first time, in full batches. */
  readonly announceCpu: number;
  /** CPU for the table scans of one lookup, at the asker and at the peers that it asks. */
  readonly lookupScanCpu: number;
}

/** Counts what a fleet of equal hosts costs each of them. Pure. */
export function hostLoad(hosts: number, costs: Costs, plan: Plan): HostLoad {
  const connections = hosts - 1;
  const holders = Math.min(plan.replication, connections);
  const recordsHeld = plan.keysPerHost * holders;
  const recordsPerSecond = recordsHeld / plan.refreshSeconds;
  const turnSeconds = plan.refreshSeconds / plan.turns;
  const opensPerSecond = receivers(connections, recordsPerSecond * turnSeconds) / turnSeconds;
  const scan = costs.scanCpuPerPeer * connections;
  const connectionsMb = costs.mbPerPeer * connections;
  const recordsMb = (costs.bytesPerRecordHeld * recordsHeld) / 1e6;
  const records = costs.sendRecordCpu + costs.receiveRecordCpu;
  const scansPerSecond = plan.keysPerHost / plan.refreshSeconds;
  return {
    hosts,
    connections,
    connectionsMb,
    recordsHeld,
    recordsMb,
    memoryMb: costs.baseMb + connectionsMb + recordsMb,
    idleCpu: costs.idleCpu + costs.idleCpuPerPeer * connections,
    recordsPerSecond,
    opensPerSecond,
    recordsPerOpen: recordsPerSecond / opensPerSecond,
    refreshBytes: recordsPerSecond * costs.bytesPerRecord + opensPerSecond * costs.bytesPerOpen,
    refreshCpu:
      recordsPerSecond * records + opensPerSecond * 2 * costs.openCpu + scansPerSecond * scan,
    startCpu: connections * costs.connectCpu,
    announceCpu: recordsHeld * costs.sendRecordCpu + plan.keysPerHost * scan,
    lookupScanCpu: (1 + ANSWERS_PER_LOOKUP) * scan,
  };
}

/** The expected number of peers that get a record, when each record goes to a random peer. */
function receivers(peers: number, records: number): number {
  return records === 0 ? 0 : peers * (1 - Math.exp(-records / peers));
}
