/**
 * What one thing costs, as it was measured. CPU in seconds of one core, at one end unless it says
 * otherwise.
 */
export interface Costs {
  /** Resident memory that is the process's own, without a peer and without records. */
  readonly baseMb: number;
  readonly mbPerPeer: number;
  readonly bytesPerRecordHeld: number;
  /** With nothing to do, without a peer: a second's. */
  readonly idleCpu: number;
  /** For a connection that is kept, both hosts' pings included: a second's. */
  readonly idleCpuPerPeer: number;
  readonly sendRecordCpu: number;
  readonly receiveRecordCpu: number;
  /** Opening a stream for the records of one turn. */
  readonly openCpu: number;
  readonly bytesPerRecord: number;
  readonly bytesPerOpen: number;
  /** Dial or accept, handshakes, identify. */
  readonly connectCpu: number;
  /** Looking at one entry of the table for the closest ones to a key. */
  readonly scanCpuPerPeer: number;
}

/** What is told, and how often. */
export interface Plan {
  readonly keysPerHost: number;
  /** Peers that hold a record. */
  readonly replication: number;
  /** From one refresh of a key to the next, in seconds. */
  readonly refreshSeconds: number;
  /** How often within a round a receiver is sent some of its keys. */
  readonly turns: number;
}

/** What one host of a fleet has and does, in seconds, bytes and shares of a core. */
export interface HostLoad {
  readonly hosts: number;
  readonly connections: number;
  readonly connectionsMb: number;
  readonly recordsHeld: number;
  readonly recordsMb: number;
  readonly memoryMb: number;
  readonly idleCpu: number;
  /** Out; as many come in. */
  readonly recordsPerSecond: number;
  readonly opensPerSecond: number;
  readonly recordsPerOpen: number;
  readonly refreshBytes: number;
  /** Of those that go out and of those that come in. */
  readonly refreshCpu: number;
  /**
   * CPU of a host that starts and connects with all others; each of the others pays its part of it.
   */
  readonly startCpu: number;
  /** Announcing all keys for the first time, batches full. */
  readonly announceCpu: number;
  /**
   * Table scans of one lookup at all hosts that take part in it: the asker and the six that it
   * asks.
   */
  readonly lookupScanCpu: number;
}

const ASKED = 6;

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
    lookupScanCpu: (1 + ASKED) * scan,
  };
}

/** How many of the peers are among those that so many records go to, each to a peer of chance. */
function receivers(peers: number, records: number): number {
  return records === 0 ? 0 : peers * (1 - Math.exp(-records / peers));
}
